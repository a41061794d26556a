"""The schedulers by their names in a space."""

from cluster.search.asha import Asha
from cluster.search.freeze_thaw import FreezeThaw
from cluster.search.hyperband import Hyperband
from cluster.search.median import MedianStopping
from cluster.search.promotion import Promotion
from cluster.search.scheduler import Scheduler, Searched
from search_spaces import Space
from search_spaces.space import Objective


def make_scheduler(space: Space, objective: Objective, searched: Searched) -> Scheduler:
    """A scheduler that was told nothing yet.

    Args:
        space: Names it.
        objective: What trials are compared by.
        searched: The study, for schedulers that look at more than the reports.
    """
    search, rungs, max_epochs = space.search, space.rungs, space.budget.max_epochs
    match search.scheduler:
        case "asha":
            return Asha(rungs=rungs, reduction=search.reduction, objective=objective)
        case "freeze_thaw":
            return FreezeThaw(space, objective, searched)
        case "promotion":
            return Promotion(
                rungs=rungs, reduction=search.reduction, objective=objective, max_epochs=max_epochs
            )
        case "hyperband":
            return Hyperband(
                rungs=rungs, reduction=search.reduction, objective=objective, max_epochs=max_epochs
            )
        case "median":
            return MedianStopping(grace_epochs=search.grace_epochs, objective=objective)
        case "none" | "auto":  # A study has chosen before.
            return Scheduler()
