"""Where trials are compared, for those who stop them and those who show it."""


def rung_epochs(*, grace_epochs: int, reduction: int, max_epochs: int) -> list[int]:
    """The epochs at which trials are compared: grace, grace x reduction, ... below max_epochs."""
    epochs, epoch = [], grace_epochs
    while epoch < max_epochs:
        epochs.append(epoch)
        epoch *= reduction
    return epochs
