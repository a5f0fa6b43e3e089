"""The guide: every block in it runs, or is read, as a reader would do it, block after block.

May not live here: the links of the documents (test_docs).
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from replay.config.sections import RunFile

DOCS = Path(__file__).resolve().parent.parent / "docs"
BLOCK = re.compile(
    r"^(?:<!-- test: run(?:, the last exits (?P<code>\d+))? -->\n```console|```(?P<language>python|toml))\n"
    r"(?P<text>.*?)^```",
    re.DOTALL | re.MULTILINE,
)
PAGES = sorted(DOCS.rglob("*.md"))


def pages_with(pattern: str) -> list[Path]:
    return [page for page in PAGES if re.search(pattern, page.read_text(), re.MULTILINE)]


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("page", pages_with("^(```python|<!-- test: run.*-->)$"), ids=name_of)
def test_the_code_and_the_marked_commands_of_a_page_run_in_their_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    names: dict[str, object] = {"__name__": page.stem}
    for block in BLOCK.finditer(text):
        if block["language"] == "python":
            first_line = text.count("\n", 0, block.start("text"))
            code = compile("\n" * first_line + block["text"], str(page), "exec")
            exec(code, names)
        elif block["language"] is None:
            lines = block["text"].splitlines()
            for place, line in enumerate(lines, 1):
                assert line.startswith("$ "), f"{name_of(page)}: {line!r} is no command"
                run_command(line[2:], int(block["code"] or 0) if place == len(lines) else 0)


def run_command(command: str, code: int) -> None:
    """Run one line as a shell would in the present folder; it must exit with `code`."""
    words = shlex.split(command, comments=True)
    if words[0] == "cd":
        os.chdir(words[1])
        return
    programs = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(DOCS.parent),
        "COLUMNS": "100",
    }
    if words[0] == "./dev":
        words[0] = "replay"
    if words[0] in ("replay", "pytest"):
        words = [sys.executable, "-m", *words]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", pages_with("^```toml$"), ids=name_of)
def test_every_piece_of_a_run_file_has_keys_that_exist(page: Path) -> None:
    sections = {field.encode_name: field.type for field in msgspec.structs.fields(RunFile)}
    for block in BLOCK.finditer(page.read_text()):
        content = tomllib.loads(block["text"]) if block["language"] == "toml" else {}
        if "project" in content:
            continue  # a piece of a pyproject.toml
        for section, entries in content.items():
            assert section in sections, f"{name_of(page)}: there is no section [{section}]"
            known = keys_of(sections[section])
            for entry in entries if isinstance(entries, list) else [entries]:
                unknown = set(entry) - known if known else set()
                assert not unknown, f"{name_of(page)}: [{section}] has no {unknown}"


def keys_of(kind: object) -> set[str]:
    """Give the keys of a section's structure, whatever it is wrapped in; none where its keys are free."""
    struct = msgspec.inspect.type_info(kind)
    while not isinstance(struct, msgspec.inspect.StructType):
        inner = getattr(struct, "item_type", None) or getattr(struct, "type", None)
        if isinstance(struct, msgspec.inspect.UnionType):
            inner = next((one for one in struct.types if isinstance(one, msgspec.inspect.StructType)), None)
        if inner is None:
            return set()
        struct = inner
    return {field.encode_name for field in struct.fields}
