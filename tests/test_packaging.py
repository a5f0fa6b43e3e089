"""What the package is to those who install it: its wheel, its one global name, its imports.

May not live here: tests of what the package does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HAS_CARGO = shutil.which("cargo") is not None

# Top-level modules that `import replay` may bring beside the standard library's.
ALLOWED_BY_IMPORT = {"replay", "numpy", "msgspec"}
# Loaded by an interpreter at its start in some environments, whatever is imported later.
STARTUP = {"sitecustomize", "usercustomize", "_virtualenv", "_distutils_hack", "__editables_finder__"}


def build_wheel(folder: Path, *, pure: bool) -> zipfile.ZipFile:
    """Build the wheel with the programs of this environment, in the target folder that ./dev fills."""
    environment = os.environ | {
        "REPLAY_PURE": "1" if pure else "0",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(folder), str(ROOT)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("tickreplay-*.whl")
    return zipfile.ZipFile(wheel)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    if not HAS_CARGO:
        pytest.skip("cargo is not installed")
    return build_wheel(tmp_path_factory.mktemp("wheel"), pure=False)


def source_modules() -> set[str]:
    """Every Python file that a user of the package should find in it."""
    files: set[str] = set()
    for folder, inside in (("replay", "replay"), ("adapters", "replay/adapters"), ("strategies", "replay/strategies")):
        for path in (ROOT / folder).rglob("*.py"):
            relative = path.relative_to(ROOT / folder).as_posix()
            if folder != "replay" or not relative.startswith(("adapters/", "strategies/")):
                files.add(f"{inside}/{relative}")
    return files


def page_files() -> set[str]:
    """Every file of the report's page: data of the package, not modules."""
    return {f"replay/report/page/{path.name}" for path in (ROOT / "replay" / "report" / "page").iterdir()}


def test_the_source_has_adapters_and_strategies_as_links_inside_the_package() -> None:
    for name in ("adapters", "strategies"):
        assert (ROOT / "replay" / name).is_symlink()
        assert (ROOT / "replay" / name).readlink() == Path("..") / name


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_the_engine(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert source_modules() <= names
    assert page_files() <= names and len(page_files()) > 5
    assert "replay/adapters/__init__.py" in names
    assert "replay/strategies/__init__.py" in names
    assert "replay/py.typed" in names
    assert sum(name.startswith("replay/_engine.") and name.endswith((".so", ".pyd")) for name in names) == 1


@pytest.mark.slow
def test_the_wheel_occupies_no_global_name_but_replay(wheel: zipfile.ZipFile) -> None:
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert top == {"replay", f"tickreplay-{PYPROJECT['project']['version']}.dist-info"}


@pytest.mark.slow
def test_the_wheel_carries_no_caches_and_no_sources_of_the_engine(wheel: zipfile.ZipFile) -> None:
    assert [name for name in wheel.namelist() if "__pycache__" in name or name.endswith((".pyc", ".rs"))] == []


@pytest.mark.slow
def test_the_engine_of_the_wheel_loads_without_the_source_tree(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = "import replay, replay._engine as engine; print(replay.__file__); print(engine.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    for line in done.stdout.split():
        assert Path(line).is_relative_to(tmp_path)


@pytest.mark.slow
def test_without_cargo_a_plain_wheel_holds_the_same_modules(tmp_path: Path) -> None:
    plain = build_wheel(tmp_path, pure=True)
    assert plain.filename is not None and plain.filename.endswith("-py3-none-any.whl")
    names = set(plain.namelist())
    assert source_modules() | page_files() <= names
    assert not [name for name in names if name.endswith((".so", ".pyd"))]
    assert {name.split("/")[0] for name in names} == {
        "replay",
        f"tickreplay-{PYPROJECT['project']['version']}.dist-info",
    }


@pytest.mark.parametrize("name", ["adapters", "strategies"])
def test_a_second_way_to_import_a_linked_folder_is_refused(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"ImportError: import replay.{name}, not {name}" in done.stderr


def test_one_version_for_the_package_and_its_crates() -> None:
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    assert cargo["workspace"]["package"]["version"] == PYPROJECT["project"]["version"]


def test_every_registered_feed_can_be_loaded() -> None:
    declared = PYPROJECT["project"]["entry-points"]["replay.feeds"]
    installed = {point.name: point for point in entry_points(group="replay.feeds")}
    assert set(declared) <= set(installed)
    for name in declared:
        assert callable(installed[name].load()), name


def modules_after(statement: str) -> set[str]:
    """Return the top-level names of sys.modules in a fresh interpreter after `statement`."""
    new = "sorted(set(sys.modules) - before)"
    code = f"import sys, json; before = set(sys.modules); {statement}; print(json.dumps({new}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def third_party(modules: set[str]) -> set[str]:
    return {name for name in modules if name not in sys.stdlib_module_names and name not in STARTUP}


def test_import_replay_brings_numpy_msgspec_and_the_engine_at_most() -> None:
    modules = modules_after("import replay")
    assert third_party(modules) <= ALLOWED_BY_IMPORT
    assert "asyncio" not in modules


def test_importing_strategy_brings_no_more_than_numpy_msgspec_and_the_engine() -> None:
    modules = modules_after("from replay import Strategy")
    assert third_party(modules) <= ALLOWED_BY_IMPORT
    assert "asyncio" not in modules


def test_help_of_the_command_line_imports_no_numpy() -> None:
    code = (
        "import sys, io, contextlib, json\n"
        "from replay.cli import main\n"
        "sys.argv = ['replay', '--help']\n"
        "shown = io.StringIO()\n"
        "with contextlib.redirect_stdout(shown):\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        "        assert not end.code, end.code\n"
        "assert 'backtest' in shown.getvalue(), shown.getvalue()\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    modules = {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert modules & {"numpy", "aiohttp", "aiokafka", "prometheus_client", "nanoarrow", "plotly", "textual"} == set()
