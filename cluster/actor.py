"""The Tune actor of a slot, which stays warm from trial to trial.

A new process for each trial would import torch and read the data anew, which takes seconds.
"""

from typing import Any

from ray import tune

from cluster.group import Group
from cluster.ray_private import name_process
from cluster.trainer import LocalTrainer, Outcome, Trainer
from search_spaces.space import Objective
from trainables.job import Job


class TrialActor(tune.Trainable):
    """Trains one job after another, an epoch a step: by itself, or by a group of workers.

    What a step gives is `{"epoch", "value"}` (and `"second"`, if there are two objectives), or
    `{"failed": reason, "out_of_memory": ...}` when the training raised, or `{"ended": True}` when
    it had nothing more to report, or `{"halt": reason}` when no trial could go on.
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """What a trial's slot offers."""
        return tune.PlacementGroupFactory([config["bundle"]])

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first job."""
        self._slot: str = config["slot"]
        self._trainer: Trainer = (
            LocalTrainer() if config["group"] is None else Group(config["group"])
        )
        self._take(config)

    def __repr__(self) -> str:
        return self._slot  # Ray's dashboard lists actors by this; what one trains changes.

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another job."""
        self._take(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch."""
        name_process(self._title)
        return tune_result(self._trainer.step(), self._job.objective)

    def cleanup(self) -> None:
        """End for good."""
        self._trainer.end()

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing: checkpoints lie in the trial's folder."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing: a job looks for its checkpoint itself."""

    def _take(self, config: dict[str, Any]) -> None:
        self._job: Job = config["job"]
        self._title: str = config["title"]
        self._trainer.take(self._job)
        # A line in the process's log, too. Only now: the trainer has put standard output back,
        # which the user's code before may have replaced.
        print(self._title, flush=True)


def tune_result(outcome: Outcome, objective: Objective) -> dict[str, Any]:
    """An outcome as a result of Tune's, which must be a dictionary.

    Tune sends it to the driver, where `StudyScheduler.on_trial_result` takes it apart.
    """
    if outcome.failed is not None:
        return {"failed": outcome.failed, "out_of_memory": outcome.out_of_memory}
    if outcome.halt is not None:
        return {"halt": outcome.halt}
    report = outcome.report
    if report is None:
        return {"ended": True}
    second = {"second": report.metrics[objective.second.name]} if objective.second else {}
    warning = {"warning": report.warning} if report.warning else {}
    return {"epoch": report.epoch, "value": report.metrics[objective.name], **second, **warning}
