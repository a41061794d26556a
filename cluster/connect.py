"""Connecting to Ray, and working out how many trials fit."""

import contextlib
import logging
import os
import socket
import tempfile
import textwrap
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.local_ray import local_settings
from results.study.folder import StudyError, StudyFolder
from search_spaces import Resources
from trainables.mirror import Mirror, inside

ROOT = Path(__file__).resolve().parent.parent
MAX_TRIALS_PER_GPU = 4
REACH_S, LISTEN_S = 60.0, 10.0
SHOWN_CHARACTERS = 600
FOR_WORKERS = {
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",
    "MPLBACKEND": "agg",
}  # Nobody sees a window there.
BYTES_PER_GB = 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One machine of the cluster.

    Attributes:
        offers: What it has, by Ray's names: `CPU`, `GPU`, `memory` in bytes, others.
    """

    offers: Mapping[str, float]

    def places(self, needs: Mapping[str, float]) -> int:
        """How many workers it holds that need so much each."""
        return min(
            _times(name, self.offers.get(name, 0.0), amount)
            for name, amount in needs.items()
            if amount
        )


def _times(name: str, offered: float, needed: float) -> int:
    """How often a need is met; a fraction of a GPU is never made of the rests of two."""
    if name == "GPU" and needed < 1:
        return int(offered) * int(1 / needed + 1e-9)
    return int(offered / needed + 1e-9)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """What a running Ray offers.

    Attributes:
        nodes: The machines that are alive.
        dashboard: The dashboard's address; empty when there is none.
    """

    nodes: tuple[Node, ...]
    dashboard: str = ""

    @property
    def cpus(self) -> float:
        """All CPU cores."""
        return sum(node.offers.get("CPU", 0.0) for node in self.nodes)

    @property
    def gpus(self) -> float:
        """All GPUs."""
        return sum(node.offers.get("GPU", 0.0) for node in self.nodes)

    def needs(self, resources: Resources) -> dict[str, float]:
        """What a worker needs, by Ray's names; `memory` in bytes."""
        gpus, memory = self._gpus_per_worker(resources), resources.memory_gb * BYTES_PER_GB
        return {"CPU": resources.cpus, "GPU": gpus, "memory": memory, **resources.custom}

    def _gpus_per_worker(self, resources: Resources) -> float:
        """The GPUs of a worker: a number as it stands; with `auto`, trials share each GPU.

        As many share it as have the CPUs that they need, at most four. Workers that train together
        get a whole one each, as NCCL refuses to have two of them on one GPU.
        """
        if resources.gpus != "auto":
            return resources.gpus
        if self.gpus < 1:
            return 0.0
        if resources.workers > 1:
            return 1.0
        trials_per_gpu = int(self.cpus / resources.cpus / self.gpus)
        return 1 / min(MAX_TRIALS_PER_GPU, max(1, trials_per_gpu))

    def slots(self, resources: Resources, wanted: int | None = None) -> int:
        """How many trials can train at once; at most `wanted`.

        Raises:
            StudyError: when not even one fits, with the arithmetic.
        """
        needs, workers = self.needs(resources), resources.workers
        if workers > 1 and 0 < needs["GPU"] < 1:
            raise StudyError(
                "workers that train together need whole GPUs, got "
                f"resources.gpus={needs['GPU']:g}; set it to 1"
            )
        if not self.places(resources):
            raise StudyError(
                f"no trial can ever be placed: {self.shortage(resources)}; lower "
                f"resources.{'cpus or gpus' if workers == 1 else 'workers, cpus or gpus'}, or "
                "what else it asks for"
            )
        return self.places(resources, wanted)

    def shortage(self, resources: Resources) -> str:
        """In words, what a trial needs beside what there is."""
        needs, workers = self.needs(resources), resources.workers
        each = f"{amounts_text(needs, needs)} on one machine"
        each = (
            f"each needs {each}"
            if workers == 1
            else f"each needs {workers} workers, a worker {each}"
        )
        has = "; ".join(amounts_text(node.offers, needs) for node in self.nodes)
        places = sum(node.places(needs) for node in self.nodes)
        return f"{each}; the machines have {has}, room for {places}"

    def places(self, resources: Resources, wanted: int | None = None) -> int:
        """How many trials can train at once, also if that is none; at most `wanted`."""
        needs = self.needs(resources)
        places = sum(node.places(needs) for node in self.nodes) // resources.workers
        return min(places, wanted) if wanted else places


def amounts_text(amounts: Mapping[str, float], names: Mapping[str, float]) -> str:
    """Resources in words: CPUs, GPUs, and of the others those that are needed."""
    others = [
        name for name, amount in names.items() if amount and name not in ("CPU", "GPU", "memory")
    ]
    memory = (
        [f"{amounts.get('memory', 0.0) / BYTES_PER_GB:.3g} GB of memory"] if names["memory"] else []
    )
    texts = [f"{amounts.get('CPU', 0.0):g} CPUs", f"{amounts.get('GPU', 0.0):g} GPUs", *memory]
    texts += [f"{amounts.get(name, 0.0):g} {name}" for name in others]
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def connect(address: str | None) -> Cluster:
    """Start Ray on this machine, or join the cluster at `address` (`auto`, or HOST:PORT).

    Worker processes can import this project; where the user's modules are looked for, each job
    says. Ray is started from the project's folder, as it has all its processes look for modules in
    the folder that it is started from before anywhere else: a file `token.py` there would break
    them.

    Raises:
        StudyError: when there is no cluster at the address, Ray can't start here, or was started by
            the user's code.
    """
    if ray.is_initialized():
        raise StudyError(
            "Ray was started already, by code of the task as it was imported (ray.init): leave "
            "that to Rungs, or guard it with: if __name__ == '__main__':"
        )
    # A process that asks for no GPU keeps CUDA_VISIBLE_DEVICES as it is, instead of seeing none.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    local = {} if address else local_settings()
    try:
        _check_listens(address)
        with contextlib.chdir(ROOT):
            context = ray.init(
                address=address or "local",
                logging_level=logging.ERROR,
                log_to_driver=False,
                runtime_env={"env_vars": {"PYTHONPATH": python_path, **FOR_WORKERS}},
                **local,
            )
    except Exception as error:  # A bare one, when one of Ray's processes doesn't start.
        raise StudyError(_why_not(address, error, local)) from error
    return current_cluster(context.dashboard_url or "")


def _check_listens(address: str | None) -> None:
    """Make sure that somebody listens at HOST:PORT: Ray itself tries a wrong one for minutes.

    Raises:
        OSError: when nobody does.
    """
    found = (os.environ.get("RAY_ADDRESS") if address == "auto" else address) or ""
    host, _, port = found.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LISTEN_S).close()


def _why_not(address: str | None, error: Exception, local: Mapping[str, Any]) -> str:
    """Why there is no Ray."""
    why = textwrap.shorten(str(error), SHOWN_CHARACTERS)
    if not address:
        return (
            f"Ray can't start on this machine: {why}; is there room in {local['_temp_dir']}, to "
            "which it writes (TMPDIR moves it), and in /dev/shm?"
        )
    sends_token = os.environ.get("RAY_AUTH_MODE") == "token"
    hint = "" if sends_token else "; if it asks for a token: RAY_AUTH_MODE=token"
    return f"no Ray cluster can be joined at {address}: {why}{hint}"


def current_cluster(dashboard: str = "") -> Cluster:
    """What the Ray that this process is connected to has now."""
    nodes = tuple(Node(offers=node["Resources"]) for node in _alive())
    return Cluster(nodes=nodes, dashboard=dashboard)


def check_code(task: str, import_paths: Sequence[str] = ()) -> None:
    """Make sure that every machine can import this project, and the task.

    With one machine that goes without saying.

    Raises:
        StudyError: names the machines that can't, and what they lack.
    """
    if len(_alive()) < 2:
        return
    module, _, attribute = task.partition(":")
    names = ["cluster", *([module.partition(".")[0]] if attribute else [])]

    def lacking(
        names: list[str],
    ) -> list[str]:  # Within: so it is sent itself, and not where to import it from.
        from importlib.machinery import PathFinder
        from importlib.util import find_spec

        return [
            name
            for name in names
            if not (PathFinder.find_spec(name, import_paths) or find_spec(name))
        ]

    lost = {host: found for host, found in _ask_all(lacking, names, otherwise=[]) if found}
    if lost:
        text = "; ".join(
            f"{host} has no module {', '.join(found)}" for host, found in sorted(lost.items())
        )
        raise StudyError(
            f"{text}: put the code on every machine at {ROOT}, or have Ray send it: ray job "
            "submit --working-dir ."
        )


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def check_reachable(study: StudyFolder) -> None:
    """Make sure that every machine can use the study's folder, or the store that has its copy.

    With one machine and no copy that goes without saying.

    Raises:
        StudyError: names the machines that can't.
    """
    if study.mirror:
        _check_mirror(study.mirror)
        return
    if len(_alive()) < 2:
        return
    folder = study.path
    token = uuid.uuid4().hex
    note = folder.resolve() / f".reach-{token}"
    note.write_text(token, encoding="utf-8")
    try:
        lost = sorted(
            {
                host
                for host, reached in _ask_all(_reaches, note, token, otherwise=False)
                if not reached
            }
        )
    finally:
        for path in folder.glob(f".reach-{token}*"):
            path.unlink(missing_ok=True)
    if lost:
        raise StudyError(
            f"{folder.resolve()} can't be reached from {', '.join(lost)}: trials write their "
            "checkpoints there, so it must lie on a file system that all machines share; name one "
            "by --out, or a store by --checkpoints"
        )


def _check_mirror(uri: str) -> None:
    lost = sorted({host for host, stored in _ask_all(_stores, uri, otherwise=False) if not stored})
    if lost:
        raise StudyError(
            f"{uri.partition('?')[0]} can't be written and read from {', '.join(lost)}, where "
            "trials would keep their "
            "checkpoints: is the bucket there, and may these machines use it?"
        )


def _stores(uri: str) -> bool:
    """Run on a machine: whether what it sends to the store comes back."""
    with tempfile.TemporaryDirectory() as name:
        note, back, token = Path(name) / "note", Path(name) / "back", uuid.uuid4().hex
        note.mkdir()
        (note / token).write_text(token, encoding="utf-8")
        mirror = Mirror(inside(uri, f"reach-{token}"))
        mirror.push(note)
        mirror.pull(back)
        mirror.delete()
        return (back / token).read_text(encoding="utf-8") == token


def _ask_all(
    function: Callable[..., Any], *arguments: object, otherwise: Any
) -> list[tuple[str, Any]]:
    """The name of each machine with its answer, which is `otherwise` if it can't give one.

    Machines that have left meanwhile are left out.
    """
    asked = [(node, _run_on(node["NodeID"], function, *arguments)) for node in _alive()]
    answered = [(node, _answer(answer, otherwise)) for node, answer in asked]
    still_there = {node["NodeID"] for node in _alive()}
    return [
        (node["NodeManagerHostname"], answer)
        for node, answer in answered
        if node["NodeID"] in still_there
    ]


def _run_on(node_id: str, function: Callable[..., Any], *arguments: object) -> Any:
    there = NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=there)(function).remote(*arguments)


def _reaches(note: Path, token: str) -> bool:
    """Run on a machine: whether it sees the launcher's note and can leave one beside it."""
    try:
        note.with_name(f"{note.name}-{uuid.uuid4().hex}").write_text(token, encoding="utf-8")
        return note.read_text(encoding="utf-8") == token
    except OSError:
        return False


def _answer(answer: Any, otherwise: Any) -> Any:
    """What a machine answers; `otherwise` if it can't."""
    try:
        return ray.get(answer, timeout=REACH_S)
    except (ray.exceptions.RayError, TimeoutError):
        return otherwise
