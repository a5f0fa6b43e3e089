"""Runs the cycles of a proof: one result line each, kept as it comes, so that an interrupted proof can go on.

May not live here: what a cycle does, and the command line.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .proof import Proof, Unavailable, dice_of

RESULTS_FILE = "results.jsonl"
KEPT_MAX = 20
"""Folders of broken cycles that are kept in one series; more of the same teach nothing and fill the disk."""

Line = dict[str, Any]


@dataclass(frozen=True)
class Series:
    """The cycles of one proof with one seed, and where their lines and the folders of broken ones are kept."""

    name: str
    seed: int
    out: Path

    @property
    def results(self) -> Path:
        """The file of result lines; all series share it."""
        return self.out / RESULTS_FILE

    def lines(self) -> list[Line]:
        """Read the lines of the latest series of this name and seed; a half-written last line is cut off."""
        if not self.results.exists():
            return []
        data = self.results.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self.results, len(whole))
        mine = [line for line in map(json.loads, whole.splitlines()) if (line["name"], line["seed"]) == self._key]
        starts = [place for place, line in enumerate(mine) if line["cycle"] == 0]
        return mine[starts[-1] :] if starts else mine

    def append(self, line: Line) -> None:
        """Add one line, durably: it says what need not be done again."""
        self.out.mkdir(parents=True, exist_ok=True)
        with self.results.open("ab", buffering=0) as file:
            file.write(json.dumps(line).encode() + b"\n")
            os.fsync(file.fileno())

    @property
    def _key(self) -> tuple[str, int]:
        return self.name, self.seed


def latest_seed(name: str, out: Path) -> int | None:
    """Give the seed of the last line of a proof."""
    path = out / RESULTS_FILE
    if not path.exists():
        return None
    text = path.read_text()
    for row in reversed(text[: text.rfind("\n") + 1].splitlines()):
        line = json.loads(row)
        if line["name"] == name:
            return int(line["seed"])
    return None


def run(
    proof: Proof,
    series: Series,
    cycles: int | None,
    *,
    first: int = 0,
    is_small: bool = False,
) -> Iterator[Line]:
    """Prepare a proof and run its cycles first..cycles, giving each line; None: its large number, or its small one.

    The folder of a broken cycle is kept under `out`, and its line names it.
    """
    scratch = Path(tempfile.mkdtemp(prefix=f"replay-stress-{proof.name}-"))
    try:
        shared = scratch / "shared"
        shared.mkdir()
        proof.is_small = is_small
        try:
            proof.prepare(shared)
        except Unavailable as reason:
            line = {"name": proof.name, "seed": series.seed, "cycle": first, "outcome": "unavailable"}
            yield line | {"reason": str(reason), "seconds": 0.0, "versions": _versions()}
            return
        kept = 0
        if cycles is None:
            cycles = proof.small if is_small else proof.cycles
        for number in range(first, cycles):
            folder = scratch / f"cycle-{number}"
            folder.mkdir()
            line = _cycle(proof, series.seed, number, folder)
            if line["outcome"] == "broken" and kept < KEPT_MAX:
                kept += 1
                line["kept"] = str(_keep(folder, series, number))
            shutil.rmtree(folder, ignore_errors=True)
            series.append(line)
            yield line
            if line["outcome"] == "unavailable":
                return
    finally:
        proof.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _cycle(proof: Proof, seed: int, number: int, folder: Path) -> Line:
    began_s = time.monotonic()
    line: Line = {"name": proof.name, "seed": seed, "cycle": number}
    try:
        line |= {"outcome": "holds", "figures": proof.cycle(number, dice_of(proof.name, seed, number), folder)}
    except Unavailable as reason:
        line |= {"outcome": "unavailable", "reason": str(reason)}
    except Exception as error:  # noqa: BLE001 - an error of any kind breaks the cycle, and the next one runs
        line |= {"outcome": "broken", "reason": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    line["seconds"] = round(time.monotonic() - began_s, 3)
    line["versions"] = _versions()
    return line


def _versions() -> dict[str, str]:
    return {"replay": version("tickreplay"), "python": platform.python_version(), "numpy": np.__version__}


def _keep(folder: Path, series: Series, number: int) -> Path:
    target = series.out / "kept" / f"{series.name}-{series.seed}-{number}"
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, target, symlinks=True, ignore=_sockets)
    return target


def _sockets(folder: str, names: list[str]) -> list[str]:
    """Name what cannot be copied: the control socket that a killed session left."""
    return [name for name in names if (Path(folder) / name).is_socket()]
