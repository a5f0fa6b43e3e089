"""`replay data check` finds what is wrong, with counts and the first records; `sample` cuts by records and times."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from data.feeds import START_NS, trades, write

from replay.cli import main
from replay.data import convert as data
from replay.data.check import MEANINGS, SHOWN, check
from replay.data.plan import Asked
from replay.errors import EXIT_DIFFERS, EXIT_DONE, UsageError
from replay.feeds.tape import TapeHeader, TapeInstrument, load, save
from replay.records import Kind, empty

Find = Callable[[str], Path]
MINUTE_NS = 60_000_000_000
SECOND_NS = 1_000_000_000


def header(sizes: str = "full", bars: Sequence[int] = ()) -> TapeHeader:
    return TapeHeader(
        one_time=False,
        bar_lengths_ns=list(bars),
        instruments=[TapeInstrument(symbol="X", price_decimals=2, size_decimals=0, sizes=sizes)],  # type: ignore[arg-type]
    )


def quotes(tmp_path: Path, rows: Sequence[Sequence[int]], sizes: str = "full") -> Path:
    """A tape of quotes: receive time (s), bid, ask, bid size, ask size."""
    records = empty(len(rows))
    records["kind"] = Kind.QUOTE
    table = np.array(rows, dtype=np.int64)
    records["ts_event"] = records["ts_recv"] = START_NS + table[:, 0] * SECOND_NS
    for number, name in enumerate("abcd", start=1):
        records[name] = table[:, number]
    save(tmp_path / "q.npy", records, header(sizes))
    return tmp_path / "q.npy"


def found(path: Path, **options: object) -> dict[str, int]:
    return {finding.name: finding.count for finding in check(path, **options).findings}  # type: ignore[arg-type]


GOOD = [[second, 100, 101, 5, 5 + second] for second in range(10)]


def test_good_data_have_no_findings(tmp_path: Path) -> None:
    path = quotes(tmp_path, GOOD)
    checked = check(path)
    assert checked.is_clean and checked.records == 10
    assert "nothing found" in str(checked)
    assert any("grid" in text for text in checked.not_checked)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ([8, 100, 101, 1, 1], "backwards"),
        ([9 + 3601, 100, 101, 1, 1], "gaps"),
        ([9, 100, 101, 5, 14], "duplicates"),
        ([10, 102, 101, 1, 1], "crossed"),
        ([10, 100, 101, 0, 0], "zero_sizes"),
    ],
)
def test_each_fault_is_found_with_its_record(tmp_path: Path, row: list[int], name: str) -> None:
    checked = check(quotes(tmp_path, [*GOOD, row]))
    assert [(finding.name, finding.count) for finding in checked.findings] == [(name, 1)]
    assert checked.findings[0].first[0].startswith("record 10 at ")


def test_an_absent_side_is_no_fault_and_prices_without_sizes_are_checked(tmp_path: Path) -> None:
    assert found(quotes(tmp_path, [*GOOD, [10, 0, 101, 0, 5], [11, 100, 0, 5, 0]])) == {}
    assert found(quotes(tmp_path, [[0, 100, 101, 0, 0], [1, 105, 101, 0, 0]], sizes="none")) == {"crossed": 1}


def test_an_outlier_leaves_both_its_neighbours(tmp_path: Path) -> None:
    jump = [[second, 100 if second < 5 else 200, 101 if second < 5 else 202, 5, second + 1] for second in range(10)]
    assert found(quotes(tmp_path, jump)) == {}, "a price that stays where it went is none"
    spike = [list(row) for row in GOOD]
    spike[4][1:3] = [150, 151]
    checked = check(quotes(tmp_path, spike))
    assert [(finding.name, finding.count) for finding in checked.findings] == [("outliers", 1)]
    assert checked.findings[0].first == ["record 4 X: 1.50 between 1.00 and 1.00"]


def test_a_fault_at_the_edge_of_a_batch_is_found(tmp_path: Path) -> None:
    count = 3 * 16_384
    base = np.stack(
        [np.arange(count), np.full(count, 100), np.full(count, 101), np.ones(count), np.ones(count)], axis=1
    )
    for place in (16_383, 16_384, 32_767):
        base[place, 1:3] = [150, 151]
        base[place + 3, 0] = base[place + 2, 0]
    rows = base.astype(np.int64)
    assert found(quotes(tmp_path, rows.tolist())) == {"duplicates": 3, "outliers": 1}
    # 16,383 and 16,384 stand beside each other: neither leaves both its neighbours.


def test_trades_with_an_id_again_are_duplicates_and_without_an_id_are_not(tmp_path: Path) -> None:
    records = trades([START_NS + n for n in range(6)])
    records["c"] = [1, 2, 2, 0, 0, 1]
    save(tmp_path / "t.npy", records, header())
    assert found(tmp_path / "t.npy") == {"duplicates": 2}


def test_prices_off_the_grid_are_found_by_the_tick_of_an_option(tmp_path: Path) -> None:
    records = trades([START_NS + n for n in range(3)])
    records["a"] = [125, 130, 150]
    save(tmp_path / "t.npy", records, header())
    checked = check(tmp_path / "t.npy", ticks=["0.25"])
    assert [(finding.name, finding.count) for finding in checked.findings] == [("off_grid", 1)]
    assert checked.findings[0].first[0].endswith("X: 1.30")
    assert found(tmp_path / "t.npy", ticks=["X=0.005"]) == {}
    with pytest.raises(UsageError, match="no instrument 'Y'"):
        check(tmp_path / "t.npy", ticks=["Y=0.5"])
    with pytest.raises(UsageError, match="is no tick"):
        check(tmp_path / "t.npy", ticks=["X=half"])


def test_bars_have_gaps_duplicates_and_impossible_extremes(tmp_path: Path) -> None:
    records = empty(6)
    records["kind"] = Kind.BAR
    records["ts_event"] = records["ts_recv"] = START_NS + np.array([1, 2, 2, 5, 6, 7]) * MINUTE_NS
    for name in "abcde":
        records[name] = 100
    records["b"][4] = 99
    records["b"][5], records["e"][5] = 150, 0
    save(tmp_path / "b.npy", records, header(bars=[MINUTE_NS]))
    assert found(tmp_path / "b.npy") == {
        "gaps": 1, "duplicates": 1, "zero_sizes": 1, "outliers": 1, "bad_bars": 1,
    }  # fmt: skip
    assert found(tmp_path / "b.npy", gap="10m", ignore=["duplicates", "outliers", "bad_bars", "zero_sizes"]) == {}


def test_more_findings_than_are_shown_are_counted(tmp_path: Path) -> None:
    checked = check(quotes(tmp_path, [*GOOD, *[[10 + n, 102, 101, 1, n + 1] for n in range(20)]]))
    (finding,) = checked.findings
    assert (finding.count, len(finding.first)) == (20, SHOWN)
    assert f"and {20 - SHOWN} more" in str(checked)


def test_dead_rows_are_findings_with_their_line(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time,symbol,price,size\n1,X,1,1\n2,X,oops,1\n3,X,1,1\n")
    checked = check(path, Asked(time="time,ns"))
    assert [(finding.name, finding.count, finding.first) for finding in checked.findings] == [
        ("dead", 1, [f"{path}:3, column 'price': bad_number"])
    ]


def test_an_unknown_check_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no check 'gap'") as caught:
        check(quotes(tmp_path, GOOD), ignore=["gap"])
    assert all(name in str(caught.value.remedy) for name in MEANINGS)


def run(*arguments: str | Path) -> int:
    with contextlib.ExitStack():
        try:
            main([str(one) for one in arguments])
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def test_the_command_ends_with_1_if_anything_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = quotes(tmp_path, GOOD)
    assert run("data", "check", path) == EXIT_DONE
    path = quotes(tmp_path, [*GOOD, [10, 102, 101, 1, 1]])
    assert run("data", "check", path, "--tick", "0.01") == EXIT_DIFFERS
    assert "crossed: 1 quotes whose bid is above their ask" in capsys.readouterr().out
    assert run("data", "check", path, "--ignore", "crossed") == EXIT_DONE


def test_a_sample_is_cut_by_records(tmp_path: Path) -> None:
    path = quotes(tmp_path, GOOD)
    for rows, kept in (("2:5", [2, 3, 4]), (":2", [0, 1]), ("8:", [8, 9])):
        assert data.sample([path], tmp_path / "s.npy", rows=rows).written == len(kept)
        assert load(tmp_path / "s.npy").records["ts_recv"].tolist() == [START_NS + n * SECOND_NS for n in kept]
    for wrong in ("5", "5:5", "a:b", ":"):
        with pytest.raises(UsageError, match="rows"):
            data.sample([path], tmp_path / "s.npy", rows=wrong)
    with pytest.raises(UsageError, match="a sample of everything"):
        data.sample([path], tmp_path / "s.npy")


def test_a_sample_is_cut_by_times_half_open(tmp_path: Path) -> None:
    path = quotes(tmp_path, GOOD)
    data.sample([path], tmp_path / "s.npy", first="2023-11-14T22:13:21Z", until="2023-11-14T22:13:23Z")
    assert load(tmp_path / "s.npy").records["ts_recv"].tolist() == [START_NS + n * SECOND_NS for n in (1, 2)]
    with pytest.raises(UsageError, match="from:"):
        data.sample([path], tmp_path / "s.npy", first="yesterday")


def test_a_sample_of_nothing_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    path = quotes(tmp_path, GOOD)
    for part in ({"rows": "100:200"}, {"first": "2030-01-01"}, {"until": "2020-01-01"}):
        with pytest.raises(UsageError, match="no record lies in the part") as raised:
            data.sample([path], tmp_path / "s.npy", **part)
        assert "2023-11-14T22:13:2" in (raised.value.remedy or "")
    assert not list(tmp_path.glob("s.*"))


def test_a_sample_across_batches_is_whole(tmp_path: Path) -> None:
    records = trades([START_NS + n for n in range(40_000)])
    save(tmp_path / "t.npy", records, header())
    data.sample([tmp_path / "t.npy"], tmp_path / "s.npy", rows="16000:33000")
    assert load(tmp_path / "s.npy").records.tobytes() == records[16_000:33_000].tobytes()


def test_the_command_cuts_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = quotes(tmp_path, GOOD)
    assert run("data", "sample", path, tmp_path / "s.csv", "--rows", "0:2") == EXIT_DONE
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 3
    text = write(tmp_path / "t.txt", "EUR/USD,20130101 22:00:00.295,1.3210,1.3211\n")
    capsys.readouterr()
    assert run("data", "head", text) == EXIT_DONE
    assert capsys.readouterr().out == "2013-01-01T22:00:00.295Z    EUR/USD  quote  bid 1.3210 x 0  ask 1.3211 x 0\n"


@pytest.mark.data
def test_gaps_of_real_candles_are_found(shared_data: Find) -> None:
    checked = check(shared_data("ccxt-freqtrade/UNITTEST_BTC-1m.feather"))
    times = load_times(shared_data("ccxt-freqtrade/UNITTEST_BTC-1m.feather"))
    assert {finding.name: finding.count for finding in checked.findings} == {
        "gaps": int(np.count_nonzero(np.diff(times) > MINUTE_NS))
    }


def load_times(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    feather = pytest.importorskip("pyarrow.feather")
    times: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = (
        feather.read_table(path)["date"].to_numpy().astype("datetime64[ns]").astype(np.int64)
    )
    return times
