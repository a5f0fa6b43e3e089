"""The rules of the source itself: who may import whom, what the core may not use, what a module says of itself.

May not live here: tests of behaviour. Which rule import-linter already checks stands in pyproject.toml.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "engine_rs" / "core" / "src"
INGEST = ROOT / "engine_rs" / "ingest" / "src"

PYTHON_MODULES = sorted(
    path
    for folder in ("replay", "adapters", "strategies", "engine_rs/backend")
    for path in (ROOT / folder).rglob("*.py")
    if not any(parent.is_symlink() for parent in path.parents)
)
RUST_MODULES = sorted((ROOT / "engine_rs").glob("*/src/**/*.rs"))

# What would let the world into the core, or make two runs differ.
FORBIDDEN_IN_CORE = {
    r"\bstd::fs\b": "files",
    r"\bstd::net\b": "sockets",
    r"\bstd::time\b": "the clock of the machine",
    r"\bstd::thread\b": "threads",
    r"\bstd::env\b": "the environment",
    r"\bstd::process\b": "processes",
    r"\bHash(Map|Set)\b": "containers in hash order",
    r"\bRandomState\b": "hashes that differ from run to run",
    r"\b(Instant|SystemTime)::now\b": "the clock of the machine",
    r"\bprintln!|\beprintln!|\bdbg!": "printing",
    r"\bunsafe\b": "unsafe code",
}


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_of(path: Path) -> str:
    """Return Rust source without comments, string contents and the attribute that forbids unsafe code."""
    text = re.sub(r"//[^\n]*", "", path.read_text())
    text = re.sub(r'"(\\.|[^"\\])*"', '""', text)
    return text.replace("#![forbid(unsafe_code)]", "")


def imports_of(path: Path) -> list[tuple[str, list[str], int]]:
    """Return (module, names, level) of every import statement; names is empty for `import module`."""
    found: list[tuple[str, list[str], int]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, [], 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", [alias.name for alias in node.names], node.level))
    return found


def test_there_is_something_to_check() -> None:
    assert len(PYTHON_MODULES) > 5
    assert (CORE / "lib.rs").exists()


@pytest.mark.parametrize("path", PYTHON_MODULES, ids=short)
def test_a_module_says_what_lives_there_and_what_may_not(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, f"{short(path)} has no docstring"
    lines = [line for line in docstring.splitlines() if line.strip()]
    assert lines[0].rstrip().endswith((".", ":")), (
        f"the first line is a sentence that says what lives here: {lines[0]!r}"
    )
    assert len(lines) >= 2, f"{short(path)}: the second line says what may not live here"
    assert re.search(r"\b(not|nothing|no|none|never|only|nor)\b", " ".join(lines[1:4]), re.IGNORECASE), (
        f"{short(path)}: the second line says what may not live here, found {lines[1]!r}"
    )


@pytest.mark.parametrize("path", RUST_MODULES, ids=short)
def test_a_rust_module_begins_with_what_lives_there(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#![")]
    head = [line for line in lines[:6] if line.startswith("//!")]
    assert len(head) >= 2, f"{short(path)}: begin with `//! what lives here` and `//! what may not`"


@pytest.mark.parametrize("crate", [CORE, INGEST], ids=["core", "ingest"])
def test_core_and_ingest_forbid_unsafe_code(crate: Path) -> None:
    assert "#![forbid(unsafe_code)]" in (crate / "lib.rs").read_text()


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.rs")), ids=short)
def test_the_core_reaches_nothing_outside_itself(path: Path) -> None:
    code = code_of(path)
    for pattern, what in FORBIDDEN_IN_CORE.items():
        assert not re.findall(pattern, code), f"{short(path)} uses {pattern}: the core has no {what}"


@pytest.mark.parametrize("path", sorted(INGEST.rglob("*.rs")), ids=short)
def test_decoders_do_no_io(path: Path) -> None:
    code = code_of(path)
    for pattern in (r"\bstd::fs\b", r"\bstd::net\b", r"\bstd::time\b", r"\bstd::thread\b", r"\bstd::env\b"):
        assert not re.search(pattern, code), f"{short(path)}: decoders take bytes and give records, found {pattern}"


def test_the_core_depends_on_neither_python_nor_ingest() -> None:
    manifest = (ROOT / "engine_rs" / "core" / "Cargo.toml").read_text().split("[dev-dependencies]")[0]
    for crate in ("pyo3", "numpy", "replay-ingest", "replay-py", "tokio", "rand"):
        assert crate not in manifest.split("[dependencies]")[1], f"the core may not depend on {crate}"


@pytest.mark.parametrize("path", sorted((ROOT / "strategies").rglob("*.py")), ids=short)
def test_strategies_import_only_the_public_api_of_replay(path: Path) -> None:
    for module, names, level in imports_of(path):
        assert level == 0, f"{short(path)}: relative imports tie a strategy to its folder"
        if module.split(".")[0] == "replay":
            assert module == "replay", f"{short(path)} imports {module}: take it from `replay`"
            assert not [name for name in names if name.startswith("_")], f"{short(path)} imports private names"


@pytest.mark.parametrize("path", sorted((ROOT / "adapters").rglob("*.py")), ids=short)
def test_adapters_do_not_reach_the_engine_and_its_sequencer(path: Path) -> None:
    for module, names, _ in imports_of(path):
        if module == "replay._engine":
            wrong = {"Engine", "Sequencer"} & set(names)
            assert not wrong, f"{short(path)} imports {wrong}: an adapter only turns bytes into records, or back"


def test_only_modes_knows_the_modes() -> None:
    pattern = re.compile(r"""(\bmode\s*(==|!=|in\b|is\b)|\bcase\s+["'](backtest|paper|play)["'])""")
    allowed = {ROOT / "replay" / "modes.py"}
    for path in PYTHON_MODULES:
        if path in allowed or "cli" in path.parts:
            continue
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            assert not pattern.search(line.split("#")[0]), (
                f"{short(path)}:{number} branches on the mode: {line.strip()}"
            )


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {module_name(path): path for path in PYTHON_MODULES if path.is_relative_to(ROOT / "replay")}
    names |= {f"replay.{module_name(path)}": path for path in PYTHON_MODULES if path.is_relative_to(ROOT / "adapters")}
    left = {name: modules_of(path, set(names)) - {name} for name, path in names.items()}
    while free := {name for name, wanted in left.items() if not wanted}:
        left = {name: wanted - free for name, wanted in left.items() if name not in free}
    circles = {name for name in left if any(name in wanted for wanted in left.values())}
    assert not circles, f"each of these leads back to itself: {', '.join(sorted(circles))}"


def modules_of(path: Path, known: set[str]) -> set[str]:
    """Name the modules that one imports, be it for types only or inside a function."""
    found: set[str] = set()
    for module, names, _ in imports_of(path):
        found |= {f"{module}.{name}" for name in names} & known or {module} & known
    return found


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
