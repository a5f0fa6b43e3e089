"""Files of registered formats as feeds: chosen by name or beginning; options, symbols, dead letters, cursors."""

from __future__ import annotations

import re
import tomllib
import types
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from data.feeds import instrument, opened, read_all, write

from replay import config
from replay.adapters import registry
from replay.data import convert as data
from replay.errors import ConfigError, DataError, UsageError
from replay.feeds.format import Format
from replay.feeds.tape import load

ROOT = Path(__file__).resolve().parents[2]
TRUEFX = (
    "EUR/USD,20130101 22:00:00.295,1.3210,1.3211\n"
    "EUR/USD,20130101 22:00:01.000,1.3212,x\n"
    "GBP/USD,20130101 22:00:02.000,1.6,1.7\n"
)


@pytest.mark.parametrize("name", registry.format_names())
def test_every_registered_format_says_what_it_is_and_reads_no_foreign_file(name: str) -> None:
    found = registry.format_named(name)
    assert isinstance(found, Format)
    assert found.name == name and found.summary and found.__doc__
    assert not found.sniff(Path("x.csv"), b"timestamp,symbol,price,size\n1,A,2,3\n")
    assert not found.sniff(Path("x.bin"), b"\x00\x01\x02\x03" * 16)
    assert not found.sniff(Path("x.bin"), b"")


def test_the_formats_of_the_package_are_registered_as_they_are_built_in() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["replay.formats"]
    assert registry.BUILT_IN["replay.formats"] == declared


def test_every_format_is_documented() -> None:
    page = (ROOT / "docs" / "formats.md").read_text()
    for name in registry.format_names():
        assert f"| `{name}` |" in page, f"docs/formats.md has no row for {name}"
        assert f"\n## {name}\n" in page, f"docs/formats.md has no section for {name}"


def test_an_unknown_format_or_option_names_the_choices(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", TRUEFX)
    with pytest.raises(ConfigError, match="there is no format 'truefxx'") as caught:
        opened(path, format="truefxx")
    assert "did you mean 'truefx'" in str(caught.value.remedy)
    with pytest.raises(ConfigError, match="has no option 'zone'"):
        opened(path, format="truefx", options={"zone": "UTC"})
    with pytest.raises(ConfigError, match="has no option 'zoen'") as caught:
        opened(path, format="histdata", options={"zoen": "UTC"})
    assert "did you mean 'zone'" in str(caught.value.remedy)
    with pytest.raises(UsageError, match="has no options"):
        write(tmp_path / "plain.csv", "time,symbol,price,size\n1,A,2,3\n")
        data.convert([tmp_path / "plain.csv"], tmp_path / "t.npy", options={"zone": "UTC"})


def test_a_row_is_a_record_a_dead_letter_with_its_row_number_or_left_out(tmp_path: Path) -> None:
    feed = opened(write(tmp_path / "t.txt", TRUEFX), [instrument("EUR/USD", 4, 0)], format="truefx")
    records, dead = read_all(feed)
    assert records["a"].tolist() == [13_210]
    assert [(letter.reason, letter.place) for letter in dead] == [("bad_number", f"{tmp_path}/t.txt:2, column 'ask'")]
    assert feed.counters() == {"rows": 3, "records": 1, "dead": 1, "rounded": 0, "ignored_not_named": 1}


def test_a_number_finer_than_the_instrument_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", TRUEFX.replace("1.3211", "1.32115"))
    with pytest.raises(DataError, match=r"1\.32115 has more than the 4 decimals") as caught:
        opened(path, [instrument("EUR/USD", 4, 0)], format="truefx")
    assert caught.value.place == f"{path}, line 1, column 'ask'"
    feed = opened(path, [instrument("EUR/USD", 4, 0)], format="truefx", excess_decimals="round")
    assert read_all(feed)[0]["b"].tolist() == [13_212]
    assert feed.counters()["rounded"] == 1


def test_a_file_with_none_of_the_runs_instruments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none of them is an instrument of the run") as caught:
        opened(write(tmp_path / "t.txt", TRUEFX), [instrument("EURUSD", 4, 0)], format="truefx")
    assert "did you mean 'EURUSD'" in str(caught.value.remedy)


def test_a_symbol_chooses_one_of_several(tmp_path: Path) -> None:
    both = [instrument("EUR/USD", 4, 0), instrument("GBP/USD", 4, 0)]
    feed = opened(write(tmp_path / "t.txt", TRUEFX), both, format="truefx", symbol="GBP/USD")
    assert read_all(feed)[0]["instrument"].tolist() == [1]
    assert [entry.symbol for entry in feed.header.instruments] == ["GBP/USD"]


def test_a_cursor_goes_on_where_its_batch_ended(tmp_path: Path) -> None:
    rows = [f"EUR/USD,20130101 22:00:{n // 1000 % 60:02d}.{n % 1000:03d},1.32,1.33\n" for n in range(60_000)]
    path = write(tmp_path / "t.txt", "".join(rows))
    feed = opened(path, [instrument("EUR/USD", 2, 0)], format="truefx")
    batches = list(feed.batches())
    assert len(batches) > 2
    after = list(feed.batches(batches[0].cursor))
    assert [batch.cursor for batch in after] == [batch.cursor for batch in batches[1:]]
    assert sum(len(batch.records) for batch in after) == 60_000 - len(batches[0].records)
    assert list(feed.batches(batches[-1].cursor)) == []
    write(path, "".join(rows[:10]))
    with pytest.raises(DataError, match="was read up to piece"):
        list(feed.batches(batches[-1].cursor))


def test_a_run_file_takes_a_file_of_a_format_without_columns() -> None:
    text = """
[[strategy]]
class = "s.py:S"
[[feed]]
uri = "t.csv"
format = "tardis"
[[instrument]]
symbol = "XBTUSD"
tick = "0.5"
lot = "1"
quote = "USD"
[account]
currency = "USD"
cash = { USD = "1000" }
"""
    (feed,) = config.parse(text).feed
    assert feed.format == "tardis"
    with pytest.raises(ConfigError, match="lacks the key 'records'"):
        config.parse(text.replace('"tardis"', '"csv"'))


@pytest.fixture
def page_format(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Registers the format of docs/formats.md by an entry point; returns the page's blocks of text."""
    page = (ROOT / "docs" / "formats.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(code.splitlines()) <= 36
    module = types.ModuleType("mypackage_broker")
    exec(code, module.__dict__)
    monkeypatch.setitem(__import__("sys").modules, "mypackage_broker", module)
    own = {"broker": EntryPoint("broker", "mypackage_broker:FORMAT", "replay.formats")}
    plain: Callable[[str], dict[str, EntryPoint]] = registry._entry_points

    def with_own(group: str) -> dict[str, EntryPoint]:
        return plain(group) | (own if group == "replay.formats" else {})

    monkeypatch.setattr(registry, "_entry_points", with_own)
    return re.findall(r"```text\n(.*?)```", page, re.DOTALL)


def test_the_format_of_the_page_works_as_the_page_says(tmp_path: Path, page_format: list[str]) -> None:
    source = write(tmp_path / "day.trades", page_format[0])
    conversion = data.convert([source], tmp_path / "day.npy")
    assert str(data.head(tmp_path / "day.npy")) + "\n" == page_format[1]
    assert conversion.dead == {"bad_number": 1}
    letters = (tmp_path / "day.npy.dead-letters.ndjson").read_text()
    assert f"{source}:3, column 'price'" in letters
    assert [entry.symbol for entry in load(tmp_path / "day.npy").header.instruments] == ["AAPL", "MSFT"]
    assert "broker" in str(data.info(source))
