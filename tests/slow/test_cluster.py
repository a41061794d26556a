"""Proves that a search uses a cluster's nodes, and survives losing one.

pytest -m slow tests/slow/test_cluster.py

The nodes are real ones of `ray start`, on loopback, with one CPU and one GPU (which Ray merely
counts) each.
"""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import pytest
from optuna.trial import TrialState

from results.study.notes import Notes
from tests.slow.conftest import ROOT, Launch, finish, record, wait_until

RAY = Path(sys.executable).with_name("ray")

NODES = """\
task: toy:train
objective: {maximize: score}
parameters: {x: {float: [0.1, 1.0]}}
fixed: {kind: good, epoch_s: 0.6, note_node: true}
search: {scheduler: none}
"""
LINES = """\
task: toy:Line
parameters: {optim.lr: {float: [0.001, 0.1], log: true}}
fixed: {optim.scheduler: constant, data.kind: dies_once, data.log: epochs.txt}
search: {scheduler: none}
budget: {trials: 2, max_epochs: 4, retries: 2}
resources: {cpus: 0.9, gpus: 0, workers: 2}
"""
TINY = (
    "model.layers=1",
    "model.width=16",
    "model.heads=2",
    "data.batch_size=64",
    "search.grace_epochs=1",
)


class LocalCluster:
    """Nodes of this test, each `ray start --block` in a process group of its own."""

    def __init__(self, machine_types: Mapping[str, Mapping[str, object]] | None = None):
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        soon = {
            "RAY_health_check_failure_threshold": "2",
            "RAY_health_check_period_ms": "1000",
        }  # A lost node is seen.
        self.env = token | ({} if machine_types else soon)
        self._temporary = tempfile.TemporaryDirectory(
            prefix="ray-"
        )  # Sockets lie in it: its path must be short.
        self._folder, self._nodes = Path(self._temporary.name), list[subprocess.Popen[bytes]]()
        port, dashboard = free_port(), free_port()
        self.address = f"127.0.0.1:{port}"
        head = [
            "--head",
            f"--port={port}",
            f"--dashboard-port={dashboard}",
            f"--temp-dir={self._folder / 'ray'}",
        ]
        self.add(*head, *(self._scaling(machine_types) if machine_types else []))

    def _scaling(self, machine_types: Mapping[str, Mapping[str, object]]) -> list[str]:
        """A head without room, whose autoscaler starts nodes on this machine."""
        self.env |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
        lists = (
            "initialization",
            "setup",
            "head_setup",
            "worker_setup",
            "head_start_ray",
            "worker_start_ray",
        )
        config = {
            "cluster_name": "here",
            "max_workers": 8,
            "idle_timeout_minutes": 0.1,
            "upscaling_speed": 1.0,
            "provider": {
                "type": "fake_multinode",
                "gcs_address": self.address,
                "use_node_id_as_ip": True,
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
            },
            "head_node_type": "head",
            "available_node_types": {
                "head": {"resources": {"CPU": 0}, "node_config": {}},
                **machine_types,
            },
            **{name: {} for name in ("auth", "docker", "file_mounts", "head_node", "worker_nodes")},
            **{f"{name}_commands": [] for name in lists},
            **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
            "file_mounts_sync_continuously": False,
        }
        path = self._folder / "autoscaler.json"
        path.write_text(json.dumps(config))
        return [f"--autoscaling-config={path}", "--num-cpus=0", "--num-gpus=0"]

    def add(self, *options: str, inside: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
        """Another node, started by the command `inside`; comes back when it has joined."""
        options = options or (f"--address={self.address}",)
        command = [
            *inside,
            str(RAY),
            "start",
            "--block",
            "--num-cpus=1",
            "--num-gpus=1",
            "--node-ip-address=127.0.0.1",
            *options,
        ]
        path = self._folder / f"node-{len(self._nodes)}.log"
        with path.open("wb") as log:
            env = {**os.environ, **self.env}
            process = subprocess.Popen(
                command, env=env, stdout=log, stderr=log, start_new_session=True
            )
        self._nodes.append(process)
        deadline = time.monotonic() + 90
        while "Ray runtime started" not in path.read_text():
            assert time.monotonic() < deadline and process.poll() is None, path.read_text()
            time.sleep(0.2)
        return process

    def held(self) -> dict[str, float]:
        """CPUs and GPUs that are not free, as a new process that joins sees it."""
        has, free = self._resources()
        return {name: has[name] - free.get(name, 0) for name in ("CPU", "GPU")}

    def total(self, name: str) -> float:
        """What the nodes have together of a resource."""
        return self._resources()[0].get(name, 0)

    def _resources(self) -> tuple[dict[str, float], dict[str, float]]:
        code = (
            f"import json, ray; ray.init('{self.address}', logging_level='ERROR', "
            "log_to_driver=False)\n"
            "print('found', json.dumps([ray.cluster_resources(), ray.available_resources()]))"
        )
        env = {**os.environ, **self.env}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=90
        )
        has, free = json.loads(done.stdout.split("found", 1)[1].splitlines()[0])
        return has, free

    def kill(self, node: "subprocess.Popen[bytes]") -> None:
        """End a node as a power failure would."""
        root = psutil.Process(node.pid)
        for process in [*root.children(recursive=True), root]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        node.wait()

    def close(self) -> None:
        """End all nodes."""
        for node in reversed(self._nodes):
            if node.poll() is None:
                self.kill(node)
        self._temporary.cleanup()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    local = LocalCluster()
    try:
        local.add()
        local.add()
        yield local
    finally:
        local.close()


def nodes_of(workplace: Path, name: str) -> dict[int, list[str]]:
    """For each trial, the nodes it was on, by its own notes."""
    notes = (workplace / "runs" / name / "trials").glob("*/node.txt")
    return {int(path.parent.name): path.read_text().split() for path in notes}


def all_nodes(workplace: Path, name: str) -> set[str]:
    return {node for nodes in nodes_of(workplace, name).values() for node in nodes}


def test_fractions_of_gpus_on_all_nodes(
    workplace: Path, launch: Launch, cluster: LocalCluster
) -> None:
    (workplace / "fractions.yaml").write_text(
        NODES.replace("epoch_s: 0.6", "epoch_s: 0.1")
        + "budget: {trials: 9, max_epochs: 6}\nresources: {cpus: 0.5, gpus: 0.5}\n"
    )
    process = launch("--space", "fractions.yaml", "--address", cluster.address, env=cluster.env)
    code, output = finish(process)
    assert code == 0, output
    assert "3 CPUs, 3 GPUs: 6 trials at once" in output
    study = record(workplace, "fractions")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 9
    assert len(all_nodes(workplace, "fractions")) == 3
    assert cluster.held() == {"CPU": 0, "GPU": 0}


def test_who_runs_out_of_memory_on_a_shared_gpu_is_trained_again_on_a_whole_one(
    workplace: Path, launch: Launch, cluster: LocalCluster
) -> None:
    (workplace / "shared.yaml").write_text(
        "task: toy:train\nobjective: {maximize: score}\n"
        "parameters: {x: {float: [0.1, 1.0]}, "
        "kind: {choice: [good, wants_a_whole_gpu, out_of_gpu_memory]}}\n"
        "fixed: {epoch_s: 0.05, note_node: true}\n"
        "start: [{kind: good, x: 0.5}, {kind: wants_a_whole_gpu}, {kind: out_of_gpu_memory}, "
        "{kind: good, x: 0.6}]\nsearch: {scheduler: none}\n"
        "budget: {trials: 4, max_epochs: 4}\nresources: {cpus: 0.25, gpus: 0.25}\n"
    )
    process = launch("--space", "shared.yaml", "--address", cluster.address, env=cluster.env)
    code, output = finish(process)
    assert code == 0, output
    study = record(workplace, "shared")
    assert [(trial.state.name, Notes.of(trial).alone) for trial in study.trials] == [
        ("COMPLETE", False),
        ("COMPLETE", True),
        ("FAIL", True),
        ("COMPLETE", False),
    ]
    assert cluster.held() == {"CPU": 0, "GPU": 0}


def test_a_node_is_lost_and_another_one_joins(
    workplace: Path, launch: Launch, cluster: LocalCluster
) -> None:
    (workplace / "nodes.yaml").write_text(
        NODES + "budget: {trials: 10, max_epochs: 9, retries: 3}\nresources: {cpus: 1, gpus: 1}\n"
    )
    process = launch("--space", "nodes.yaml", "--address", cluster.address, env=cluster.env)
    wait_until(lambda: len(all_nodes(workplace, "nodes")) == 3, process)
    cluster.kill(cluster._nodes[-1])
    known = all_nodes(workplace, "nodes")
    cluster.add()
    code, output = finish(process)
    assert code == 0, output
    study = record(workplace, "nodes")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 10
    assert all(max(trial.intermediate_values) == 9 for trial in study.trials)
    places = nodes_of(workplace, "nodes")
    assert any(len(set(nodes)) == 2 for nodes in places.values()), (
        "the trial of the lost node went on elsewhere"
    )
    assert all_nodes(workplace, "nodes") - known, "the node that joined was used"
    assert cluster.held() == {"CPU": 0, "GPU": 0}


def test_a_folder_that_a_machine_lacks_is_told_and_a_machine_that_left_is_not_asked(
    workplace: Path, cluster: LocalCluster
) -> None:
    hides_it = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs tmpfs "$0" && exec "$@"',
        str(workplace),
    )
    if os.geteuid() != 0 or subprocess.run([*hides_it, "true"]).returncode:
        pytest.skip("only root may hide a folder from a process, in a container with CAP_SYS_ADMIN")
    node = cluster.add(inside=hides_it)
    code = (
        "import pathlib, psutil\n"
        "from cluster.connect import check_reachable, connect\n"
        "from results.study.folder import StudyError, StudyFolder\n"
        f"connect('{cluster.address}')\n"
        "folder = StudyFolder(pathlib.Path('runs'))\n"
        "folder.path.mkdir()\n"
        "try: check_reachable(folder)\n"
        "except StudyError as error: print(error)\n"
        f"root = psutil.Process({node.pid})\n"
        "for process in [*root.children(recursive=True), root]: process.kill()\n"
        "check_reachable(folder)\n"
        "print('the others reach it')\n"
    )
    env = {**os.environ, **cluster.env, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=workplace,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "runs can't be reached from " in done.stdout, done.stderr
    assert done.returncode == 0 and "the others reach it" in done.stdout, done.stderr
    node.wait()


def test_machines_without_the_code_are_told(cluster: LocalCluster) -> None:
    code = (
        "from cluster.connect import check_code, connect\n"
        f"connect('{cluster.address}')\n"
        "check_code('gpt2_classifier')\n"
        "check_code('nobody_has_this.task:train')\n"
    )
    env = {**os.environ, **cluster.env}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=90
    )
    assert (
        "StudyError" in done.stderr
        and "has no module nobody_has_this: put the code on every" in done.stderr
    )


def test_a_cluster_that_scales_is_asked_for_machines_and_lets_them_go(
    workplace: Path, launch: Launch
) -> None:
    machine = {
        "resources": {"CPU": 1, "GPU": 1},
        "node_config": {},
        "min_workers": 0,
        "max_workers": 4,
    }
    cluster = LocalCluster({"gpu": machine})
    try:
        (workplace / "grows.yaml").write_text(
            NODES.replace("epoch_s: 0.6", "epoch_s: 0.4")
            + "budget: {trials: 4, max_epochs: 6}\nresources: {cpus: 1, gpus: 1}\n"
        )
        options = ("--space", "grows.yaml", "--address", cluster.address, "--concurrent", "2")
        code, output = finish(launch(*options, env=cluster.env))
        assert code == 0, output
        assert "no room for a trial yet" in output
        study = record(workplace, "grows")
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
        assert len(all_nodes(workplace, "grows")) == 2, "as many as were asked for"
        deadline = time.monotonic() + 60
        while cluster.total("GPU"):
            assert time.monotonic() < deadline, "idle machines stay"
        process = launch(*options, "--name", "waits", "--set", "resources.gpus=2", env=cluster.env)
        assert process.stdout
        assert any("no room for a trial yet" in line for line in process.stdout)
        process.terminate()
        code, output = finish(process, timeout_s=60)
        assert code == 130 and "go on with: python launch.py --resume" in output, output
    finally:
        cluster.close()


def test_two_workers_on_two_nodes_one_of_which_dies(
    workplace: Path, launch: Launch, cluster: LocalCluster
) -> None:
    (workplace / "lines.yaml").write_text(LINES)
    (workplace / "epochs.txt").touch()
    code, output = finish(
        launch("--space", "lines.yaml", "--address", cluster.address, env=cluster.env)
    )
    assert code == 0, output
    assert "1 trials at once" in output
    study = record(workplace, "lines")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    assert all(sorted(trial.intermediate_values) == [1, 2, 3, 4] for trial in study.trials)
    assert len(list(workplace.glob("died-*"))) >= 1, "a worker of each trial died once"
    assert cluster.held() == {"CPU": 0, "GPU": 0}


def test_a_built_in_task_by_two_workers_is_stopped_early_and_trained_again(
    workplace: Path, launch: Launch, cluster: LocalCluster
) -> None:
    options = (
        "--trials",
        "6",
        "--max-epochs",
        "3",
        "--name",
        "pairs",
        "--address",
        cluster.address,
        "--concurrent",
        "1",
    )
    workers = (
        "resources.workers=2",
        "resources.cpus=0.5",
        "resources.gpus=0",
        "search.reduction=2",
    )
    code, output = finish(
        launch("--space", "v6", *options, "--set", *TINY, *workers, env=cluster.env)
    )
    assert code == 0, output
    study = record(workplace, "pairs")
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert cluster.held() == {"CPU": 0, "GPU": 0}
    env = {**cluster.env, "RAY_ADDRESS": cluster.address}
    code, output = finish(launch("train", "runs/pairs/best.yaml", "--workers", "2", env=env))
    assert code == 0 and "best accuracy" in output, output
    assert cluster.held() == {"CPU": 0, "GPU": 0}
