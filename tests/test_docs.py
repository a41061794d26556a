"""Proves that what the documents point to is there: pytest tests/test_docs.py."""

import re
from pathlib import Path
from typing import get_args

import pytest

from search_spaces import load_space
from trainables.accepting import accept
from trainables.job import Job, run
from trainables.parts.optim import OptimizerName, SchedulerName
from trainables.task import Task
from trainables.user_code.importing import import_from

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)(?:#[^)]*)?\)")
FILES = re.compile(r"^ *(?:[\w./-]+\.(?:py|yaml|sbatch|json) +)+", re.MULTILINE)


def links(document: Path) -> list[str]:
    found = LINK.findall(document.read_text(encoding="utf-8"))
    return [link for link in found if "://" not in link]


def test_there_are_documents_and_links() -> None:
    assert len(DOCUMENTS) >= 2
    assert any(links(document) for document in DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    assert [link for link in links(document) if not (document.parent / link).exists()] == []


def test_the_picture_of_the_code_names_files_that_are_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    picture = text[text.index("launch.py                   the command line") :].partition("```")[0]
    folder, named = ROOT, list[Path]()
    for line in picture.splitlines():
        if not line.startswith(" ") and line.partition(" ")[0].endswith("/"):
            folder = ROOT / line.partition(" ")[0]
            assert folder.is_dir(), line
        for name in " ".join(FILES.findall(line)).split():
            named.append((folder if line.startswith(" ") else ROOT) / name)
    assert len(named) > 25
    assert [path for path in named if not path.exists()] == []


def test_the_smallest_task_that_is_shown_learns(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    (code, *_), (yaml, *_) = (
        re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
        for language in ("python", "yaml")
    )
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(yaml, encoding="utf-8")
    import_from([str(tmp_path)])
    space = load_space(tmp_path / "mine.yaml")
    job = Job(
        task=space.task,
        objective=accept(space),
        values={**space.fixed, **space.start[0]},
        seed=0,
        split_seed=0,
        max_epochs=space.budget.max_epochs,
        folder=tmp_path / "trial",
    )
    *_, last = run(job)
    assert last.metrics["accuracy"] > 0.8


def test_the_guide_to_tasks_names_every_method_and_part() -> None:
    text = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    names = [name for name in vars(Task) if not name.startswith("_")]
    assert {"data", "measure", "train"} <= set(names)
    assert [name for name in names if not re.search(rf"^\| `{name}\b", text, re.MULTILINE)] == []
    parts = {path.name for path in (ROOT / "trainables" / "parts").glob("[a-z]*.py")}
    assert parts == set(re.findall(r"trainables/parts/(\w+\.py)\) *[|,]", text))
    for name in (*get_args(OptimizerName), *get_args(SchedulerName)):
        assert f"`{name}`" in text
