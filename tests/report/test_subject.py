"""Where a report finds its run: a run folder, a session, a result in memory; and what it says when parts have gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import replay
from replay import modes
from replay.config import load
from replay.errors import DataError, UsageError
from replay.feeds import tape
from replay.report import find_subject, subject_of
from replay.result.result import Result
from replay.strategies.sma_cross import SmaCross


def test_the_prices_of_a_run_folder_are_those_of_its_tape(made: Path) -> None:
    subject = find_subject(made / "out")
    stored = tape.load(made / "market.npy").records
    assert [one.symbol for one in subject.prices] == ["SIM-A", "SIM-B"]
    assert sum(one.records for one in subject.prices) == int((stored["kind"] == 1).sum())
    assert subject.notes == [] and not subject.prices[0].is_thinned
    assert subject.configuration is not None and "sma_cross" in subject.configuration


def test_without_the_run_s_data_prices_are_the_marks_that_it_kept_and_the_report_says_so(copied: Path) -> None:
    (copied / "market.npy").unlink()
    subject = find_subject(copied / "out")
    marks = subject.result.marks
    assert sum(len(one) for one in subject.prices) == len(marks) > 0
    assert "marks that the run kept" in subject.notes[0] and "market.npy" in subject.notes[0]


def test_data_that_changed_since_the_run_are_not_taken_for_its_own(copied: Path) -> None:
    stored = tape.load(copied / "market.npy")
    tape.save(copied / "market.npy", stored.records[:1_000].copy(), stored.header)
    subject = find_subject(copied / "out")
    assert all(one.is_thinned for one in subject.prices)
    assert "took 120,000 records, and its feeds now have 1,000" in subject.notes[0]


def test_neither_data_nor_marks_leave_a_report_without_prices(copied: Path) -> None:
    (copied / "market.npy").unlink()
    (copied / "out" / "marks.arrow").unlink()
    subject = find_subject(copied / "out")
    assert subject.prices == [] and subject.notes[0].startswith("No prices")


def test_a_result_of_an_array_keeps_its_prices(made: Path) -> None:
    records = tape.load(made / "market.npy").records
    instruments = [
        {"symbol": name, "tick": "0.01", "lot": "0.001", "price_decimals": 2, "size_decimals": 3, "quote": "USD"}
        for name in ("SIM-A", "SIM-B")
    ]
    result = replay.backtest(
        SmaCross, records[:20_000].copy(), instruments=instruments, cash={"USD": 100_000}, params={"symbol": "SIM-A"}
    )
    subject = subject_of(result)
    assert [one.symbol for one in subject.prices] == ["SIM-A", "SIM-B"] and subject.notes == []
    assert subject.folder is None and subject.name == result.name


def test_a_session_folder_gives_the_prices_of_its_journal(made: Path, tmp_path: Path) -> None:
    config = load(made / "run.toml", sets=["metrics.port=0", "log.level=warning"])
    result = modes.paper(config, tmp_path / "session")
    for subject in (
        find_subject(tmp_path / "session"),
        find_subject(tmp_path / "session" / "events"),
        subject_of(result),
    ):
        assert subject.folder == tmp_path / "session"
        backtest = find_subject(made / "out")
        for mine, other in zip(subject.prices, backtest.prices, strict=True):
            assert mine.records == other.records and set(other.price.tolist()) == set(mine.price.tolist())
        assert subject.notes[0].startswith("Paper session")


def test_a_session_without_a_result_says_how_to_get_one(made: Path, tmp_path: Path) -> None:
    config = load(made / "run.toml", sets=["metrics.port=0", "log.level=warning"])
    modes.paper(config, tmp_path / "session")
    (tmp_path / "session" / "events" / "result.json").unlink()
    with pytest.raises(UsageError, match="has no result yet") as caught:
        find_subject(tmp_path / "session")
    assert "replay ctl" in str(caught.value.remedy)


def test_a_folder_that_is_not_there_or_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        find_subject(tmp_path / "nothing")
    with pytest.raises(UsageError, match="not a run folder"):
        find_subject(tmp_path)


def test_a_result_of_another_version_is_refused(copied: Path) -> None:
    file = copied / "out" / "result.json"
    file.write_text(file.read_text().replace('"result_version": 1', '"result_version": 99'))
    with pytest.raises(DataError, match="result_version is 99"):
        find_subject(copied / "out")


def test_a_run_without_its_tables_still_has_its_statistics(copied: Path) -> None:
    for name in ("fills", "trades", "equity", "marks", "orders", "positions"):
        (copied / "out" / f"{name}.arrow").unlink()
    shutil.copy(copied / "out" / "result.json", copied / "kept.json")
    subject = find_subject(copied / "out")
    assert subject.optional("fills") is None and subject.result.stats["fills"]
    assert Result.load(copied / "out").digest == subject.result.digest


def test_of_an_interrupted_run_the_tape_is_read_as_far_as_it_came(copied: Path) -> None:
    file = copied / "out" / "result.json"
    document = json.loads(file.read_text())
    document["interrupted"], document["counts"]["records"] = True, 5_000
    file.write_text(json.dumps(document))
    subject = find_subject(copied / "out")
    stored = tape.load(copied / "market.npy").records[:5_000]
    assert sum(one.records for one in subject.prices) == int((stored["kind"] == 1).sum())
    assert not any("cannot be read again" in note for note in subject.notes)
