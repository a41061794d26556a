"""`search: auto`: sampler and scheduler chosen by what is searched, and why."""

from dataclasses import replace

from search_spaces.space import AUTO, Objective, Search, Space


def choose_search(space: Space, objective: Objective, *, resumes: bool) -> tuple[Space, str | None]:
    """A space that leaves the search open, with one chosen for it; and the reason, for people.

    One that names its search stays as it is, without a reason.

    Args:
        space: Any.
        objective: What is compared.
        resumes: Whether a trial surely goes on from where it was frozen.
    """
    if space.search != AUTO:
        return space, None
    search, why = _chosen(objective, resumes=resumes)
    return replace(space, search=search), why


def _chosen(objective: Objective, *, resumes: bool) -> tuple[Search, str]:
    if not resumes:
        why = "a function may have to train a frozen trial again from its start, so none is frozen"
        return Search(sampler="tpe", scheduler="asha"), why
    if objective.second is not None:
        why = "of two objectives a Gaussian process finds the front, by another weight each time"
        return Search(sampler="gp", scheduler="promotion"), why
    why = "trials can be frozen at any epoch, so a model of their curves says which one goes on"
    return Search(sampler="curves", scheduler="freeze_thaw"), why
