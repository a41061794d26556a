"""The process that trains: a Tune actor that stays warm from trial to trial."""

import errno
import gc
import traceback
from collections.abc import Iterator
from typing import Any, TypeGuard

import torch
from ray import tune

from trainables.job import Job, run
from trainables.task import Report

TRIAL_ERRORS = "error.txt"


class TrialActor(tune.Trainable):
    """Trains one job after another, an epoch a step.

    What a step gives is `{"epoch", "value"}` (and `"second"`, if there are two objectives), or `{"failed": reason}`
    when the training raised, or `{"ended": True}` when it had nothing more to report, or `{"halt": reason}` when no
    trial could go on. So an exception of the user's code costs its trial, not this process with its imported
    libraries and loaded data.
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """What a trial's slot offers."""
        return tune.PlacementGroupFactory([config["bundle"]])

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first job."""
        gc.freeze()  # The imported libraries stay: later collections need not look at them.
        self._take(config["job"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another job."""
        self.cleanup()
        self._take(new_config["job"])
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch."""
        try:
            report = next(self._reports, None)
        except torch.AcceleratorError:
            raise  # The device's context is broken, and this process with it.
        except Exception as error:
            self.cleanup()
            if is_disk_full(error):
                return {"halt": f"{error.strerror}: {self._job.folder}"}
            self._keep_traceback(error)
            return {"failed": describe(error)}
        if report is None:
            return {"ended": True}
        objective, metrics = self._job.objective, report.metrics
        second = {"second": metrics[objective.second.name]} if objective.second else {}
        warning = {"warning": report.warning} if report.warning else {}
        return {"epoch": report.epoch, "value": metrics[objective.name], **second, **warning}

    def cleanup(self) -> None:
        """End the training at hand and free its memory, the GPU's too."""
        self._reports.close()  # type: ignore[attr-defined]
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing: checkpoints lie in the trial's folder."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing: a job looks for its checkpoint itself."""

    def _take(self, job: Job) -> None:
        self._job = job
        self._reports: Iterator[Report] = run(job)

    def _keep_traceback(self, error: Exception) -> None:
        self._job.folder.mkdir(parents=True, exist_ok=True)
        text = "".join(traceback.format_exception(error))
        (self._job.folder / TRIAL_ERRORS).write_text(text, encoding="utf-8")


def is_disk_full(error: Exception) -> TypeGuard[OSError]:
    """Whether the trial is not to blame: there is no room to write."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def describe(error: BaseException) -> str:
    """An exception in one line, with the place where it was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    first_line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})"
