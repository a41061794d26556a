"""Proves that Ray, KubeRay, Slurm and launch.py take the files of cluster/deploy.

pytest tests/cluster/test_cluster_files.py

No cloud is asked: the files for `ray up` are checked by Ray's own schema, KubeRay's by its rules,
and Slurm's script is run beside a `srun`, `scontrol`, `ray` and `python` that only write down how
they were called.
"""

import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ray.autoscaler._private.util import prepare_config, validate_config

import launch
from results.exit_codes import EXIT_DONE, EXIT_INTERRUPTED, EXIT_MISTAKE
from search_spaces.load import find_space

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "cluster" / "deploy"
CLOUDS = ("aws.yaml", "gcp.yaml")
YAML_FILES = (*CLOUDS, "kuberay.yaml")
ALL_FILES = (*YAML_FILES, "slurm.sbatch")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
STUDIES = {"aws.yaml": "/mnt/rungs", "gcp.yaml": "/mnt/rungs", "kuberay.yaml": "/runs"}


def text_of(name: str) -> str:
    return (DEPLOY / name).read_text()


def head_of(name: str) -> list[str]:
    """The comment that a file opens with, a shebang left out, one entry a line."""
    lines = [line for line in text_of(name).splitlines() if not line.startswith("#!")]
    end = next(
        number
        for number, line in enumerate(lines)
        if not line.startswith("#") or line.startswith("#SBATCH")
    )
    return [line[1:] for line in lines[:end]]


def body_of(name: str) -> str:
    """A file without the comment that it opens with."""
    return "\n".join(text_of(name).splitlines()[len(head_of(name)) :])


def parts_of_the_code() -> set[str]:
    """What of a checkout an installation needs."""
    tools = PROJECT["tool"]["setuptools"]
    modules = {f"{module}.py" for module in tools["py-modules"]}
    packages = {name.rstrip("*") for name in tools["packages"]["find"]["include"]}
    return {"pyproject.toml", PROJECT["project"]["readme"], *modules, *packages}


def search_arguments(command: str) -> list[str]:
    """The arguments of launch.py in a shell command."""
    words = shlex.split(command)
    start = next(number for number, word in enumerate(words) if word.endswith("launch.py"))
    return words[start + 1 :]


# All files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_file_opens_with_its_use_in_three_lines_and_its_cost(name: str) -> None:
    head = head_of(name)
    assert [line[:4] for line in head[:3]] == [" 1. ", " 2. ", " 3. "]
    assert [line[:4] for line in head].count(" 4. ") == 0
    assert sum(line.startswith(" While idle: ") for line in head) == 1
    assert sum(line.startswith(" Fill in: ") for line in head) == 1
    assert all(len(line) <= 140 for line in text_of(name).splitlines())  # Commands are not wrapped.


@pytest.mark.parametrize("name", ALL_FILES)
def test_what_is_to_be_filled_in_is_said_and_is_all_that_is_missing(name: str) -> None:
    head, body = "\n".join(head_of(name)), body_of(name)
    said = set(re.findall(r"YOUR_[A-Z_]+", head.split(" Fill in: ")[1]))
    assert set(re.findall(r"YOUR_[A-Z_]+", body)) == said
    names = r"AKIA[A-Z0-9]{16}|\b(ami|fs|sg|subnet|vpc)-[0-9a-f]{6,}|\b\d{12}\b"
    accounts = rf"{names}|\b\d+\.\d+\.\d+\.\d+\b|BEGIN [A-Z ]*KEY"
    assert re.search(accounts, text_of(name)) is None


@pytest.mark.parametrize("name", YAML_FILES)
def test_every_file_has_the_projects_ray_and_python(name: str) -> None:
    pins = r"(?:ray(?:\[[a-z,]+\])?==|rayproject/ray:|/rungs:|rayVersion: )([0-9.]+[0-9])"
    found = re.findall(pins, text_of(name))
    assert found and set(found) == {ray.__version__}
    [pin] = [
        need for need in map(Requirement, PROJECT["project"]["dependencies"]) if need.name == "ray"
    ]
    assert found[0] in pin.specifier
    extras = re.findall(r"ray\[([a-z,]+)\]==", text_of(name))
    assert extras and all(set(extra.split(",")) == pin.extras for extra in extras)
    pythons = re.findall(r"--python (3\.\d+)", text_of(name))
    pythons += [f"3.{minor}" for minor in re.findall(r":[0-9.]+-py3(\d+)", text_of(name))]
    assert len(set(pythons)) == 1 and pythons[0] in SpecifierSet(
        PROJECT["project"]["requires-python"]
    )


@pytest.mark.parametrize("name", ALL_FILES)
def test_launch_py_takes_the_commands(name: str) -> None:
    commands = [
        quoted
        for line in head_of(name)
        for quoted in re.findall(r"'([^']*launch\.py [^']*)'", line)
    ]
    if name == "kuberay.yaml":
        commands = [ray_job()["spec"]["entrypoint"]]
    if name == "slurm.sbatch":
        [line] = [line for line in head_of(name) if "sbatch --" in line]
        commands = [f"launch.py {line.split(name)[1]} --address HOST:PORT"]
    assert len(commands) == 1
    args = launch.parse(search_arguments(commands[0]))
    assert args.command is launch.search and find_space(args.space).is_file()
    assert args.address == ("HOST:PORT" if name == "slurm.sbatch" else "auto")
    assert args.out == STUDIES.get(name, "runs")


# `ray up` -----------------------------------------------------------------------------------------


def cloud(name: str) -> dict[str, Any]:
    return yaml.safe_load(text_of(name))


@pytest.mark.parametrize("name", CLOUDS)
def test_ray_takes_a_clouds_file(name: str) -> None:
    prepared = prepare_config(cloud(name))
    validate_config(prepared)
    assert set(prepared["available_node_types"]) == {"head", "gpu"}  # And none of Ray's defaults.


@pytest.mark.parametrize("name", CLOUDS)
def test_trials_train_on_spot_machines_that_come_and_go(name: str) -> None:
    config = cloud(name)
    head, gpu = config["available_node_types"]["head"], config["available_node_types"]["gpu"]
    assert head["resources"] == {"CPU": 0}
    assert "--num-cpus=0" in config["head_start_ray_commands"][-1]
    assert gpu["resources"]["GPU"] == 1 and gpu["resources"]["CPU"] > 0
    assert gpu["min_workers"] == 0 < gpu["max_workers"] <= config["max_workers"]
    assert config["idle_timeout_minutes"] > 0
    if name == "aws.yaml":
        assert gpu["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert config["provider"]["cache_stopped_nodes"] is False
    else:
        assert gpu["node_config"]["scheduling"]["provisioningModel"] == "SPOT"
        assert gpu["node_config"]["scheduling"]["instanceTerminationAction"] == "DELETE"
    assert not re.search("spot|preemptible", str(head), re.IGNORECASE)


@pytest.mark.parametrize("name", CLOUDS)
def test_a_machine_gets_the_code_the_token_and_the_folder_of_the_studies(name: str) -> None:
    config = cloud(name)
    mounts = dict(config["file_mounts"])
    assert mounts.pop("~/.ray/auth_token") == "~/.ray/auth_token"
    assert mounts == {f"~/rungs/{part}": part for part in parts_of_the_code()}
    assert all((ROOT / part).exists() for part in mounts.values())
    commands = config["setup_commands"]
    assert (
        sum("RAY_AUTH_MODE=token" in command and "~/.bashrc" in command for command in commands)
        == 1
    )
    assert sum(" mount" in command and command.endswith(STUDIES[name]) for command in commands) == 1
    assert sum("--editable ~/rungs" in command for command in commands) == 1
    assert not any(
        "--dashboard-host" in command for command in config["head_start_ray_commands"]
    )  # Loopback alone.


@pytest.mark.parametrize("name", CLOUDS)
def test_bash_takes_the_commands_of_a_machine(name: str, tmp_path: Path) -> None:
    config = cloud(name)
    commands = [
        command
        for key, several in config.items()
        if key.endswith("_commands")
        for command in several
    ]
    assert len(commands) > 10
    (tmp_path / "all.sh").write_text("\n".join(f"({command}\n)" for command in commands))
    subprocess.run(["bash", "-n", str(tmp_path / "all.sh")], check=True)


def test_both_clouds_set_up_a_machine_alike() -> None:
    def set_up(name: str) -> str:
        text = body_of(name).split("\nfile_mounts:")[1]
        client = {"aws.yaml": "boto3", "gcp.yaml": "google-api-python-client"}[name]
        return re.sub(r" -t nfs.*", "", text).replace(client, "CLIENT")

    assert set_up("aws.yaml") == set_up("gcp.yaml")


# KubeRay ------------------------------------------------------------------------------------------


def kubernetes(kind: str) -> dict[str, Any]:
    [found] = [
        document
        for document in yaml.safe_load_all(text_of("kuberay.yaml"))
        if document["kind"] == kind
    ]
    return found


def ray_job() -> dict[str, Any]:
    return kubernetes("RayJob")


def groups() -> dict[str, dict[str, Any]]:
    """The head's group and the workers', by name."""
    cluster = ray_job()["spec"]["rayClusterSpec"]
    return {
        "head": cluster["headGroupSpec"],
        **{group["groupName"]: group for group in cluster["workerGroupSpecs"]},
    }


def test_a_ray_job_ends_its_cluster_and_is_tried_again() -> None:
    job = ray_job()
    assert job["apiVersion"] == "ray.io/v1"
    assert re.fullmatch(
        "[a-z]([-a-z0-9]{0,45}[a-z0-9])?", job["metadata"]["name"]
    )  # KubeRay takes 47 characters.
    spec = job["spec"]
    assert spec["shutdownAfterJobFinishes"] is True and 0 <= spec["ttlSecondsAfterFinished"] <= 600
    assert spec["backoffLimit"] >= 1
    cluster = spec["rayClusterSpec"]
    assert (
        cluster["authOptions"] == {"mode": "token"} and cluster["rayVersion"]
    )  # The one asks for the other.
    assert cluster["enableInTreeAutoscaling"] is True
    assert (
        cluster["autoscalerOptions"]["version"] == "v2"
        and cluster["autoscalerOptions"]["idleTimeoutSeconds"] >= 60
    )


def test_gpu_pods_come_and_go_and_the_head_trains_nothing() -> None:
    head, gpu = groups().values()
    assert head["rayStartParams"] == {"num-cpus": "0"}
    assert gpu["minReplicas"] == 0 < gpu["replicas"] <= gpu["maxReplicas"]
    for group in (head, gpu):
        assert (
            group["template"]["spec"]["restartPolicy"] == "Never"
        )  # Autoscaler v2 takes no other.
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_containers_are_as_kuberay_wants_them() -> None:
    containers = [group["template"]["spec"]["containers"] for group in groups().values()]
    assert [[container["name"] for container in each] for each in containers] == [
        ["ray-head"],
        ["ray-worker"],
    ]
    [head], [worker] = containers
    assert {port["name"]: port["containerPort"] for port in head["ports"]} == {
        "gcs-server": 6379,
        "dashboard": 8265,
        "client": 10001,
    }
    for container in (head, worker):
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert float(container["resources"]["limits"]["cpu"]) >= 1
        assert re.fullmatch(r"\d+Gi", container["resources"]["limits"]["memory"])
    assert "nvidia.com/gpu" not in head["resources"]["limits"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_every_pod_has_the_volume_of_the_studies() -> None:
    claim = kubernetes("PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for group in groups().values():
        pod = group["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        [mount] = pod["containers"][0]["volumeMounts"]
        assert set(volumes) == {mount["name"]}
        assert (
            volumes[mount["name"]]["persistentVolumeClaim"]["claimName"]
            == claim["metadata"]["name"]
        )
        assert mount["mountPath"] == STUDIES["kuberay.yaml"]


def test_the_image_is_built_from_rays_with_all_of_the_code() -> None:
    recipe = "\n".join(line.strip() for line in head_of("kuberay.yaml"))
    [tag] = re.findall(r"--tag (\S+)", recipe)
    assert {group["template"]["spec"]["containers"][0]["image"] for group in groups().values()} == {
        tag
    }
    assert f"\nFROM rayproject/ray:{tag.split(':')[1]}\n" in recipe
    assert tag.endswith("-gpu")
    copied = [
        words.split() for words in re.findall(r"^COPY --chown=ray (.*)", recipe, re.MULTILINE)
    ]
    assert {part for *parts, _ in copied for part in parts} == parts_of_the_code()
    assert all(
        target in ("./", *parts) for *parts, target in copied
    )  # COPY takes the inside of a folder.
    assert f"WORKDIR {Path(ray_job()['spec']['entrypoint'].split()[1]).parent}\n" in recipe


# Slurm --------------------------------------------------------------------------------------------

SBATCH_OPTIONS = {
    "job-name",
    "output",
    "nodes",
    "ntasks-per-node",
    "cpus-per-task",
    "gpus-per-node",
    "time",
}
SBATCH_OPTIONS |= {"signal", "requeue", "open-mode"}
ARGUMENTS = ["--space", "my space.yaml", "--out", "runs", "--set", "optim.lr=0.1"]
TOKEN = "0123abcd"

FAKES = {
    "bin/srun": """
        echo "srun $*" >> "$LOG"
        while [[ $1 == --* ]]; do shift; done
        exec "$@"
    """,
    "bin/scontrol": """
        echo "scontrol $*" >> "$LOG"
        [[ $1 != show ]] || printf 'node-a\\nnode-b\\n'
    """,
    ".venv/bin/ray": """
        [[ $1 != get-auth-token ]] || { echo "Generating" >&2; printf '%s' "$TOKEN"; exit; }
        echo "ray $1 $2 token=$RAY_AUTH_MODE:$RAY_AUTH_TOKEN" >> "$LOG"
    """,
    ".venv/bin/python": """
        case $1 in
        -c) echo 192.168.0.7 ;;
        -) cat > waiting.py  # Nodes are up once Ray was started on them.
           until (($(grep -c '^ray start' "$LOG") >= $3)); do sleep 0.01; done
           echo "wait $2 $3" >> "$LOG"; [[ $3 != "$MISSING" ]]; exit ;;
        launch.py)
           signals=($SIGNALS)
           next() {  # Slurm signals the script.
               [[ ${signals[*]} ]] || exit "$CODE"
               local signal=${signals[0]}; signals=("${signals[@]:1}"); kill -s "$signal" $PPID
           }
           trap 'echo "launch.py stops" >> "$LOG"; next' TERM
           echo "launch.py token=$RAY_AUTH_MODE:$RAY_AUTH_TOKEN" >> "$LOG"
           printf 'argument=%s\\n' "$@" >> "$LOG"
           next
           for _ in {1..3000}; do sleep 0.01; done; exit 99 ;;
        esac
    """,
}


class Slurm:
    """A cluster of which only the records are real."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name, script in FAKES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"#!/bin/bash\n{script}")
            (folder / name).chmod(0o755)

    def run(
        self, *, nodes: int = 2, code: int = 0, signals: str = "", missing: int = 0
    ) -> tuple[int, list[str]]:
        """Run the job once, perhaps without its so many-th node.

        Its exit code, and what was called.
        """
        log = self.folder / "log"
        log.write_text("")
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "SLURM_JOB_ID": "1234567",
            "SLURM_JOB_NODELIST": "node-[a-b]",
            "SLURM_JOB_NUM_NODES": str(nodes),
            "SLURM_CPUS_PER_TASK": "8",
            "SLURM_GPUS_ON_NODE": "4",
            "LOG": str(log),
            "TOKEN": TOKEN,
            "CODE": str(code),
            "SIGNALS": signals,
            "MISSING": str(missing),
        }
        command = ["bash", str(DEPLOY / "slurm.sbatch"), *ARGUMENTS]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, log.read_text().splitlines()


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    folder = tmp_path / "it's a wörk place"
    folder.mkdir()
    return Slurm(folder)


def requeues(log: list[str]) -> int:
    return log.count("scontrol requeue 1234567")


def test_slurm_takes_the_options() -> None:
    text = text_of("slurm.sbatch")
    subprocess.run(["bash", "-n", str(DEPLOY / "slurm.sbatch")], check=True)
    lines = text.splitlines()
    assert lines[0] == "#!/bin/bash"
    first_command = next(
        number for number, line in enumerate(lines) if line and not line.startswith("#")
    )
    places = [number for number, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert max(places) < first_command  # Slurm reads none after it.
    options: dict[str, str] = {}
    for place in places:
        match = re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", lines[place])
        assert match and match[1] not in options, lines[place]
        options[match[1]] = match[2] or ""
    assert set(options) == SBATCH_OPTIONS
    assert re.fullmatch(
        r"B:USR1@\d{2,}", options["signal"]
    )  # B: to the script alone, which tells launch.py.
    assert options["ntasks-per-node"] == "1"  # One Ray a node.
    assert options["open-mode"] == "append"  # A job that queues again goes on in the same log.


def test_the_head_starts_then_the_workers_then_the_search(slurm: Slurm) -> None:
    code, log = slurm.run()
    assert code == EXIT_DONE
    port = re.findall(r"--port=(\d+)", "\n".join(log))[0]
    address = f"192.168.0.7:{port}"
    assert 1024 < int(port) < 32768  # Below those that the system hands out.
    steps = [
        re.sub(r" -.*", "", line) for line in log if not line.startswith(("argument", "scontrol"))
    ]
    token = f"token=token:{TOKEN}"
    assert steps == [
        "srun",
        "ray start",
        f"wait {address} 1",
        "srun",
        "ray start",
        f"wait {address} 2",
        f"launch.py {token}",
    ]
    head, workers = [line for line in log if line.startswith("srun ")]
    assert (
        "--nodes=1 --ntasks=1 --nodelist=node-a ray start --head --node-ip-address=192.168.0.7 "
        in head
    )
    assert f"--nodes=1 --ntasks=1 --exclude=node-a ray start --address={address} " in workers
    for step in (head, workers):
        assert (
            "--export=ALL" in step
            and "--num-cpus=8 --num-gpus=4" in step
            and step.endswith("--block")
        )
    assert all(line.endswith(token) for line in log if line.startswith("ray start"))
    assert [line for line in log if line.startswith("argument=")] == [
        f"argument={word}" for word in ("launch.py", *ARGUMENTS, "--address", address)
    ]
    compile((slurm.folder / "waiting.py").read_text(), "waiting.py", "exec")


def test_one_node_is_a_cluster_too(slurm: Slurm) -> None:
    code, log = slurm.run(nodes=1)
    assert code == EXIT_DONE
    assert sum(line.startswith("srun ") for line in log) == 1
    assert "argument=launch.py" in log


@pytest.mark.parametrize("missing", [1, 2])
def test_no_search_begins_when_a_node_is_missing(slurm: Slurm, missing: int) -> None:
    code, log = slurm.run(missing=missing)
    assert code == 1
    assert (
        not any(line.startswith(("launch.py", "argument")) for line in log) and requeues(log) == 0
    )


@pytest.mark.parametrize("code", [EXIT_DONE, 1, EXIT_MISTAKE, EXIT_INTERRUPTED])
def test_a_search_that_ends_by_itself_is_over(slurm: Slurm, code: int) -> None:
    given, log = slurm.run(nodes=1, code=code)
    assert given == code and requeues(log) == 0


@pytest.mark.parametrize(
    ("code", "again"),
    [(EXIT_INTERRUPTED, 1), (143, 1), (0, 0), (1, 0), (EXIT_MISTAKE, 0)],
)
def test_at_the_time_limit_an_unfinished_search_is_queued_again(
    slurm: Slurm, code: int, again: int
) -> None:
    given, log = slurm.run(nodes=1, code=code, signals="USR1")
    assert given == code and requeues(log) == again
    assert log.count("launch.py stops") == 1  # A second signal would make it leave at once.


def test_a_search_that_is_slow_to_stop_is_waited_for(slurm: Slurm) -> None:
    given, log = slurm.run(nodes=1, code=EXIT_INTERRUPTED, signals="USR1 TERM")
    assert given == EXIT_INTERRUPTED and requeues(log) == 1
    assert log.count("launch.py stops") == 2


def test_a_job_that_is_queued_again_gives_the_same_command(slurm: Slurm) -> None:
    _, first = slurm.run(code=EXIT_INTERRUPTED, signals="USR1")
    _, second = slurm.run()
    assert requeues(first) == 1 and requeues(second) == 0
    stopped = ("launch.py stops", "scontrol requeue 1234567")
    assert [line for line in first if line not in stopped] == second


def test_a_job_that_someone_ends_stops_in_order_and_stays_ended(slurm: Slurm) -> None:
    given, log = slurm.run(nodes=1, code=EXIT_INTERRUPTED, signals="TERM")
    assert given == EXIT_INTERRUPTED and requeues(log) == 0
    assert log.count("launch.py stops") == 1
