"""`replay doctor`: what is installed and what is missing, a line each, with its remedy.

May not live here: anything that mends.
"""

from __future__ import annotations

import platform
import shutil
import socket
import sys
from importlib.metadata import PackageNotFoundError, entry_points, metadata, version
from pathlib import Path
from typing import Literal, NamedTuple

from replay.errors import EXIT_DIFFERS, EXIT_DONE, ReplayError

DISTRIBUTION = "tickreplay"
MIN_PYTHON = (3, 11)
DISK_MIN_BYTES = 1 << 30

_PURPOSE = {
    "report": "reports and charts",
    "ui": "the live screen of play and paper",
    "parquet": "Parquet and feather files",
    "databento": "Databento DBN files",
    "talib": "TA-Lib's indicators",
    "compile": "compiled strategies",
    "test": "tests of strategies",
}


class Finding(NamedTuple):
    """One line: whether it is well, what was looked at, what was found, and what to do about it."""

    state: Literal["ok", "note", "problem"]
    what: str
    found: str
    remedy: str = ""


def doctor() -> int:
    """Say which versions are installed, whether the engine is compiled, which extras are there, and what is wrong."""
    findings = examine()
    width = max(len(finding.what) for finding in findings)
    marks = {"ok": "ok", "note": "-", "problem": "!!"}
    for finding in findings:
        print(f"{marks[finding.state]:<3} {finding.what:<{width}}  {finding.found}")
        if finding.remedy:
            print(f"    {'':<{width}}  -> {finding.remedy}")
    problems = sum(finding.state == "problem" for finding in findings)
    print(f"\n{problems} problem{'s' if problems != 1 else ''}" if problems else "\nNo problem found.")
    return EXIT_DIFFERS if problems else EXIT_DONE


def examine() -> list[Finding]:
    """Look at everything, without changing anything."""
    return [_python(), _package(), _engine(), *_packages(), *_extras(), *_plugins(), _zones(), _disk(), _port(), _run()]


def _python() -> Finding:
    found = (
        f"{platform.python_version()} ({platform.python_implementation()}), {platform.system()} {platform.machine()}"
    )
    if sys.version_info < MIN_PYTHON:
        return Finding("problem", "Python", found, f"install Python {'.'.join(map(str, MIN_PYTHON))} or newer")
    return Finding("ok", "Python", found)


def _package() -> Finding:
    place = Path(__file__).resolve().parents[1]
    try:
        return Finding("ok", "replay", f"{version(DISTRIBUTION)} in {place}")
    except PackageNotFoundError:
        return Finding(
            "problem", "replay", f"not installed, running from {place}", "run `./dev setup`, or `pip install .`"
        )


def _engine() -> Finding:
    from replay.opening import engine_build, engine_classes

    try:
        engine_classes()
    except ReplayError as error:
        return Finding("problem", "engine", error.message, error.remedy or "")
    return Finding("ok", "engine", f"compiled, build {engine_build()[:12]}")


def _packages() -> list[Finding]:
    """Look at the packages that every run needs."""
    found = []
    for requirement in _requirements(None):
        state = _installed(requirement)
        if state is None:
            found.append(Finding("problem", requirement, "missing", f"pip install {requirement}"))
    if not found:
        found.append(Finding("ok", "packages", f"all {len(_requirements(None))} that every run needs"))
    return found


def _extras() -> list[Finding]:
    findings = []
    for extra, purpose in _PURPOSE.items():
        requirements = _requirements(extra)
        if not requirements:
            continue
        versions = {name: _installed(name) for name in requirements}
        if all(versions.values()):
            listed = ", ".join(f"{name} {number}" for name, number in versions.items())
            findings.append(Finding("ok", f"extra {extra}", f"{listed}: {purpose}"))
        else:
            missing = ", ".join(name for name, number in versions.items() if number is None)
            remedy = f"pip install '{DISTRIBUTION}[{extra}]'"
            findings.append(Finding("note", f"extra {extra}", f"without {missing}: no {purpose}", remedy))
    return findings


def _plugins() -> list[Finding]:
    """Try whatever other packages plug in; what comes with this one is tried by its tests."""
    findings = []
    for group in ("replay.feeds", "replay.sinks", "replay.controls", "replay.formats"):
        for entry in entry_points(group=group):
            if entry.dist is None or entry.dist.name == DISTRIBUTION:
                continue
            what = f"{group.removeprefix('replay.').removesuffix('s')} {entry.name}"
            try:
                entry.load()
            except Exception as error:  # noqa: BLE001 (anybody's code: whatever it raises is the finding)
                findings.append(
                    Finding(
                        "problem", what, f"cannot be loaded: {error}", f"mend or remove the package {entry.dist.name}"
                    )
                )
            else:
                findings.append(Finding("ok", what, f"from {entry.dist.name} {entry.dist.version}"))
    return findings


def _zones() -> Finding:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError:
        return Finding("problem", "time zones", "the database is missing", "pip install tzdata")
    return Finding("ok", "time zones", "found")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    found = f"{free / 2**30:.1f} GiB free in {Path.cwd()}"
    if free < DISK_MIN_BYTES:
        return Finding("problem", "disk", found, "make room: sessions halt when their disk is full")
    return Finding("ok", "disk", found)


def _port() -> Finding:
    from replay.modes import PAPER_METRICS_PORT

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PAPER_METRICS_PORT))
        except OSError as error:
            remedy = "a session may be running (`replay sessions list`); others need [metrics] port = ..."
            return Finding("note", "metrics port", f"{PAPER_METRICS_PORT} is taken: {error.strerror}", remedy)
    return Finding("ok", "metrics port", f"{PAPER_METRICS_PORT} is free")


def _run() -> Finding:
    from replay.config import DEFAULT_RUN_FILE, load

    path = Path(DEFAULT_RUN_FILE)
    if not path.exists():
        return Finding("note", path.name, "none in this folder", "`replay init my-strategy` makes one")
    try:
        load(path)
    except ReplayError as error:
        first = f"{error.place}: {error.message}" if error.place else error.message
        return Finding("problem", path.name, first, error.remedy or "")
    return Finding("ok", path.name, "can be read")


def _requirements(extra: str | None) -> list[str]:
    """List the distributions that the package, or one of its extras, needs."""
    try:
        lines = metadata(DISTRIBUTION).get_all("Requires-Dist") or []
    except PackageNotFoundError:
        return []
    names = []
    for line in lines:
        requirement, _, marker = line.partition(";")
        wanted = f"extra == '{extra}'" if extra is not None else ""
        if (extra is None) == ("extra" not in marker) and wanted in marker.replace('"', "'"):
            name = requirement.strip().split("[")[0]
            for sign in "<>=!~ ":
                name = name.split(sign)[0]
            if name != DISTRIBUTION:
                names.append(name)
    return names


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
