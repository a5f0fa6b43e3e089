"""The runner of proofs: lines as they come, going on after an interruption, never beside a benchmark."""

from __future__ import annotations

import fcntl
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from stress import alone
from stress.proof import NAMES, Broken, Figures, Proof, dice_of, find
from stress.runner import Series, latest_seed, run

ROOT = Path(__file__).resolve().parents[2]


class Odd(Proof):
    name = "odd"
    holds = "a number is even"
    cycles = 6
    small = 2

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        (scratch / "trace.txt").write_text(f"{number}")
        if number % 2:
            raise Broken(f"{number} is odd")
        return {"drawn": dice.randrange(1_000)}


def test_each_cycle_leaves_a_line_and_the_folder_of_a_broken_one_is_kept_and_named(tmp_path: Path) -> None:
    lines = list(run(Odd(), Series("odd", 7, tmp_path), None))
    assert [line["outcome"] for line in lines] == ["holds", "broken"] * 3
    assert [json.loads(row) for row in (tmp_path / "results.jsonl").read_text().splitlines()] == lines
    assert "1 is odd" in lines[1]["reason"]
    assert (Path(lines[1]["kept"]) / "trace.txt").read_text() == "1"
    assert set(lines[0]) >= {"name", "seed", "cycle", "outcome", "figures", "versions", "seconds"}
    assert len(list(run(Odd(), Series("odd", 7, tmp_path), None, is_small=True))) == 2


def test_a_series_goes_on_after_its_last_whole_line_with_the_same_numbers(tmp_path: Path) -> None:
    whole = list(run(Odd(), Series("odd", 7, tmp_path / "whole"), 6))
    series = Series("odd", 7, tmp_path / "cut")
    list(run(Odd(), series, 2))
    with series.results.open("ab") as file:
        file.write(b'{"name": "odd", "se')  # the machine stopped while a line was written
    before = series.lines()
    assert [line["cycle"] for line in before] == [0, 1]
    assert latest_seed("odd", tmp_path / "cut") == 7
    rest = list(run(Odd(), series, 6, first=2))
    assert [line.get("figures") for line in before + rest] == [line.get("figures") for line in whole]


def test_the_numbers_of_a_cycle_depend_on_its_proof_seed_and_number_alone() -> None:
    drawn = {dice_of(name, seed, cycle).random() for name in "ab" for seed in (1, 2) for cycle in (0, 1)}
    assert len(drawn) == 8
    assert dice_of("a", 1, 0).random() in drawn


def test_every_proof_is_listed_with_what_it_holds() -> None:
    assert all(find(name).name == name and find(name).holds for name in NAMES)
    command = [sys.executable, "-m", "stress"]
    listed = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, check=True).stdout
    assert [row.split()[0] for row in listed.splitlines()] == list(NAMES)


def test_proofs_and_benchmarks_keep_each_other_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    first, second = alone.take("stress"), alone.take("stress")
    bench = [sys.executable, str(ROOT / "tests" / "stress" / "alone.py"), "bench", sys.executable, "-c", "print('ran')"]
    refused = subprocess.run(bench, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "a proof of ./dev stress" in refused.stderr
    os.close(first)
    os.close(second)
    assert subprocess.run(bench, env=environment, capture_output=True, text=True, check=True).stdout == "ran\n"
    with alone.lock_path().open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(alone.NotAlone, match="a benchmark is running"):
            alone.take("stress")
