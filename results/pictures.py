"""Pictures: what a trained model does with validation data, as its task draws it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from results.study.best import BestEpoch
from results.study.folder import StudyError
from results.study.record import StudyRecord
from search_spaces import SpaceError
from trainables.config import TaskError
from trainables.task import Task, load_task
from trainables.trial_folder import write_atomically
from trainables.user_code.importing import describe, import_from

DOTS_PER_INCH = 120
ROWS = (0, 1, 2, 3)


def draw(record: StudyRecord, *, trial: int | None, rows: Sequence[int]) -> list[Path]:
    """Draw a trial's model at its best epoch: PNG files in the study's `pictures` folder.

    Args:
        record: The study.
        trial: Its number; None is the best that still has a model.
        rows: Which samples of the validation split to show.

    Raises:
        StudyError: when there is no such trial, its model is not kept, a row isn't there, the
            task draws nothing, or the folder can't be written.
    """
    from results.drawing import figures_of  # It brings PyTorch: most reports draw nothing new.

    import_from(record.description.import_paths)
    record.folder.fetch()
    best = kept_trial(record, trial)
    figures = figures_of(record, best, rows)
    target = record.folder.pictures
    paths = [target / f"trial-{best.number:04d}-{name}.png" for name in figures]
    try:
        target.mkdir(parents=True, exist_ok=True)
        for path, figure in zip(paths, figures.values(), strict=True):
            write_atomically(
                path, partial(figure.savefig, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight")
            )
        _all_drawn(record, best).touch()
    except OSError as error:
        raise StudyError(
            f"{target} can't be written: {error.strerror}; copy the study and draw there"
        ) from error
    return paths


def _all_drawn(record: StudyRecord, best: BestEpoch) -> Path:
    """Is there, and was touched last, when none of a trial's pictures is missing."""
    return record.folder.pictures / f".trial-{best.number:04d}.drawn"


def draw_best(record: StudyRecord) -> str | None:
    """Draw the best trial's pictures unless they lie there already.

    Gives why not, where they can't be drawn.

    A task that draws none, a search that runs and models that aren't kept are no reasons to say
    anything.
    """
    try:
        import_from(record.description.import_paths)
        if record.holder is None and draws(record.description.space.task) and not drawn(record):
            draw(record, trial=None, rows=ROWS)
    except (StudyError, SpaceError, TaskError) as error:
        return f"no new pictures of the best trial: {error}"
    except (Exception, SystemExit) as error:
        # The task is anyone's code; the report is written whatever it raises.
        return f"no new pictures of the best trial: {describe(error)}"
    return None


def draws(task: str) -> bool:
    """Whether a task has pictures of its own."""
    found = load_task(task)
    return isinstance(found, Task) and type(found).pictures is not Task.pictures


def drawn(record: StudyRecord) -> bool:
    """Whether the best trial's pictures are younger than its model, or it has no model."""
    for best in record.ranked():
        model = record.folder.trial(best.number).best
        if model.exists():
            made = _all_drawn(record, best)
            return made.exists() and made.stat().st_mtime_ns >= model.stat().st_mtime_ns
    return True


def kept_trial(record: StudyRecord, trial: int | None) -> BestEpoch:
    """The best trial whose model is kept, or the one that is asked for."""
    bests = record.ranked()
    kept = [best for best in bests if record.folder.trial(best.number).best.exists()]
    if trial is None and kept:
        return kept[0]
    found = [best for best in kept if best.number == trial]
    if found:
        return found[0]
    numbers = ", ".join(str(best.number) for best in kept) or "none yet"
    wanted = "there is no trial" if trial is None else f"trial {trial} is not one"
    raise StudyError(f"{record.folder.path}: {wanted} whose model is kept; those are {numbers}")
