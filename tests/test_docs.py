"""The documents: their links lead somewhere, and what they promise of commands is there.

May not live here: tests of the code that the documents describe.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def links(path: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for match in LINK.finditer(re.sub(r"`[^`]*`", "", text)):
        yield match[1] or match[2]


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as renderers of Markdown make them."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    found = set()
    for heading in re.findall(r"^#+\s+(.+?)\s*$", text, flags=re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(re.sub(r" +", "-", plain.strip()))
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=short)
def test_every_link_inside_the_repository_leads_somewhere(path: Path) -> None:
    for target in links(path):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{short(path)} links to {target}, which does not exist"
        assert there.is_relative_to(ROOT), f"{short(path)} links out of the repository: {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{short(path)} links to {target}: there is no such heading"


def test_every_page_of_the_documentation_stands_in_its_contents() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    listed: set[str] = set()

    def walk(entry: object) -> None:
        if isinstance(entry, str):
            listed.add(entry)
        elif isinstance(entry, list):
            for one in entry:
                walk(one)
        elif isinstance(entry, dict):
            for one in entry.values():
                walk(one)

    walk(site["nav"])
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert listed == pages


@pytest.mark.parametrize("path", DOCUMENTS, ids=short)
def test_every_test_that_a_document_names_exists(path: Path) -> None:
    for file, name in re.findall(r"((?:tests|benches)/[\w/]+\.py)(?:::(\w+))?", path.read_text()):
        assert (ROOT / file).exists(), f"{short(path)} names {file}, which does not exist"
        assert not name or f"def {name}(" in (ROOT / file).read_text(), f"{short(path)} names {file}::{name}"
