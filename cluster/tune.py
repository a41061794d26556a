"""A search: Ray Tune runs the study's trials in warm actors, until all are done or it is halted.

Tune is used for what it is good at: placing actors, keeping them warm, and starting a trial again
whose process has died. What to train, when to stop it and what is kept is the study's to say; see
`tune_hooks`.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from ray import tune

from cluster.actor import TrialActor
from cluster.connect import Cluster, current_cluster
from cluster.group import GroupSpec
from cluster.metrics import Metrics
from cluster.ray_private import mend_out_of_memory
from cluster.search.study import Study
from cluster.slots import Slots
from cluster.tune_hooks import Halt, StudyCallback, StudyScheduler, StudySearcher, View
from results.study.folder import StudyFolder

TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # Trials write their own metrics and events.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Interrupts are the launcher's, by way of Halt.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # The journal is the only state that is kept.
    "TUNE_FORCE_TRIAL_CLEANUP_S": "2",  # An actor in the middle of an epoch is not waited for.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # A step may also say that its trial failed.
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # All actors start at once; the slots say how many.
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # The study notes the reason, the trial's folder the rest.
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000",  # `Cluster.slots` has told it.
    "RAY_AIR_NEW_OUTPUT": "0",  # What is seen of a search is the view's.
}


def search(
    study: Study,
    cluster: Cluster,
    *,
    concurrent: int | None,
    view: View,
    halt: Halt,
    after_last: Callable[[], None] = lambda: None,
) -> None:
    """Run the study's trials.

    On return every trial is finished or waits for a later launch; none is running.

    Calls `after_last` when the last trial has been handed out.

    Raises:
        StudyError: when no trial can ever be placed.
    """
    slots = Slots(
        study.space.resources,
        cluster,
        wanted=concurrent,
        group=group_spec(study, cluster),
        current_cluster=current_cluster,
    )
    metrics = Metrics(study, slots)
    os.environ.update(TUNE_SETTINGS)
    mend_out_of_memory()
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    scratch = fresh_scratch(study.folder)
    try:
        tune.Tuner(
            TrialActor,
            tune_config=tune.TuneConfig(
                num_samples=-1,  # Without end: the searcher says when there is no more.
                search_alg=StudySearcher(study, slots, metrics, halt, after_last),
                scheduler=StudyScheduler(study, slots, metrics, halt),
                reuse_actors=True,
                trial_name_creator=lambda trial: f"trial-{trial.config['number']:04d}",
                trial_dirname_creator=lambda trial: (
                    f"{trial.config['number']:04d}-{trial.trial_id}"
                ),
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=scratch,
                verbose=0,
                stop=halt,
                # Trials write their own checkpoints; Tune need not ask for one at their end.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[StudyCallback(study, view, metrics, halt)],
                failure_config=tune.FailureConfig(max_failures=study.space.budget.retries),
            ),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(study.folder.scratch, ignore_errors=True)
    # What was halted in the middle is left to a later launch, which goes on from its checkpoint.
    with halt.on_write_error():
        study.release()


def fresh_scratch(folder: StudyFolder) -> str:
    """A folder for what Tune writes, which nobody reads.

    One that a killed launcher of this study left is removed.
    """
    prefix = f"rungs-tune-{sha256(str(folder.path.resolve()).encode()).hexdigest()[:12]}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    return tempfile.mkdtemp(prefix=prefix)


def group_spec(study: Study, cluster: Cluster) -> GroupSpec | None:
    """The workers of a trial, if there are several."""
    resources = study.space.resources
    if resources.workers == 1:
        return None
    return GroupSpec(
        workers=resources.workers,
        needs=cluster.needs(resources),
        scratch=study.folder.scratch.resolve(),
    )
