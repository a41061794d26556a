"""Proves that what the documents point to is there: pytest tests/test_docs.py."""

import re
from pathlib import Path

import pytest

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
