"""Where trials are compared, for those who stop them and those who show it."""


def rung_epochs(*, grace_epochs: int, reduction: int, max_epochs: int) -> list[int]:
    """The epochs at which trials are compared: grace, grace x reduction, ... below max_epochs."""
    epochs, epoch = [], grace_epochs
    while epoch < max_epochs:
        epochs.append(epoch)
        epoch *= reduction
    return epochs


def look_epochs(grace_epochs: int, max_epochs: int) -> list[int]:
    """The epochs at which freeze-thaw search looks at a trial: each twice the one before."""
    return rung_epochs(grace_epochs=grace_epochs, reduction=2, max_epochs=max_epochs)


def halving_cost(*, trials: int, grace_epochs: int, reduction: int, max_epochs: int) -> int:
    """The epochs that successive halving takes, from rung to rung, for so many trials.

    At least one trial gets to the end.
    """
    rungs = rung_epochs(grace_epochs=grace_epochs, reduction=reduction, max_epochs=max_epochs)
    epochs, left, before = 0, trials, 0
    for epoch in [*rungs, max_epochs]:
        epochs += left * (epoch - before)
        left, before = max(1, left // reduction), epoch
    return epochs
