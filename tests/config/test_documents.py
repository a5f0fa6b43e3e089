"""The run files in the documents can be run: each parses without an error.

No document is changed here.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replay import config

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN_FILES = [
    pytest.param(block, id=f"{path.relative_to(ROOT)}-{index}")
    for path in DOCUMENTS
    if path.exists()
    for index, block in enumerate(re.findall(r"```toml\n(.*?)```", path.read_text(), re.DOTALL))
    if "[[strategy]]" in block and "[account]" in block
]


@pytest.mark.parametrize("text", RUN_FILES)
def test_a_run_file_in_the_documents_is_valid(text: str) -> None:
    config.parse(text)


REPOSITORY = [
    path
    for folder in ("deploy", "docs", "strategies", "benches")
    for path in sorted((ROOT / folder).rglob("*.toml"))
    if "[[strategy]]" in path.read_text()
]


@pytest.mark.parametrize("path", REPOSITORY, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_run_file_in_the_repository_is_valid(path: Path) -> None:
    config.load(path)


def test_the_reference_of_the_run_file_is_the_one_in_the_code() -> None:
    text = (ROOT / "docs" / "run-file.md").read_text()
    assert text.partition("a test compares. -->\n\n")[2] == config.schema_markdown()
