"""Which adapter opens which URI: by scheme, by suffix, by the first bytes; and a user's own."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from replay.adapters import feed_names, open_feed, registry
from replay.errors import ConfigError
from replay.feeds.feed import Feed
from replay.feeds.tape import TapeHeader, TapeInstrument, save

from .feeds import TRADES, instrument, spec, trades, write


def test_the_built_in_table_is_that_of_the_entry_points() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["entry-points"] == registry.BUILT_IN
    assert set(registry.SUFFIXES.values()) <= set(registry.BUILT_IN["replay.feeds"])


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("a/b.npy", "tape"),
        ("b.csv", "csv"),
        ("b.csv.gz", "csv"),
        ("B.TSV", "csv"),
        ("b.txt", "csv"),
        ("b.ndjson", "ndjson"),
        ("b.jsonl.gz", "ndjson"),
        ("file:b.csv", "csv"),
        ("binance:b.gz", "binance"),
        ("sim:?seed=1", "sim"),
        ("follow:b.csv", "follow"),
        ("stdin:", "stdin"),
        ("csv:b.dat", "csv"),
    ],
)
def test_a_uri_names_its_feed(uri: str, name: str) -> None:
    assert registry.name_of(spec(uri=uri), Path()) == name


@pytest.mark.parametrize(
    ("content", "name"),
    [(b'1723161255030314667 {"stream":1}\n', "binance"), (b' {"a":1}\n', "ndjson"), (b"\x93NUMPY...", "tape")],
)
def test_a_file_whose_name_says_nothing_is_known_by_its_first_bytes(tmp_path: Path, content: bytes, name: str) -> None:
    assert registry.name_of(spec(uri=str(write(tmp_path / "data.gz", content))), Path()) == name


def test_an_unknown_scheme_or_suffix_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no feed 'folow'") as caught:
        open_feed(spec(uri="folow:x.csv"), [instrument()], tmp_path)
    assert "did you mean 'follow'" in str(caught.value.remedy)
    with pytest.raises(ConfigError, match="has no known suffix") as caught:
        open_feed(spec(uri=str(write(tmp_path / "data.xyz", "what?"))), [instrument()], tmp_path)
    assert ".csv" in str(caught.value.remedy)
    with pytest.raises(ConfigError, match="there is no such file"):
        open_feed(spec(uri="absent.xyz"), [instrument()], tmp_path)


def test_relative_paths_start_at_the_run_files_folder(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "time,price,size\n1,1,1\n")
    header = TapeHeader(
        one_time=True, instruments=[TapeInstrument(symbol="BTCUSDT", price_decimals=2, size_decimals=3)]
    )
    save(tmp_path / "t.npy", trades([1]), header)
    for entry in (TRADES | {"uri": "t.csv"}, TRADES | {"uri": "file:t.csv"}, {"uri": "t.npy"}):
        feed = open_feed(spec(**entry), [instrument()], tmp_path)
        assert [len(batch.records) for batch in feed.batches()] == [1]


def test_a_users_own_feed_plugs_in_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    own = EntryPoint("mine", "data.test_registry:open_mine", "replay.feeds")
    broken = EntryPoint("broken", "nowhere.at_all:open_feed", "replay.feeds")
    feeds = {"mine": own, "broken": broken}
    monkeypatch.setattr(registry, "_entry_points", lambda group: feeds if group == "replay.feeds" else {})
    monkeypatch.setattr(EntryPoint, "load", _load_here)
    assert "mine" in feed_names()
    with pytest.raises(ConfigError, match="opened mine"):
        open_feed(spec(uri="mine:anything"), [instrument()], Path())
    with pytest.raises(ConfigError, match="opened mine"):
        open_feed(spec(uri="anything.mine"), [instrument()], Path())
    with pytest.raises(ConfigError, match="the feed 'broken' cannot be loaded"):
        open_feed(spec(uri="broken:x"), [instrument()], Path())


def _load_here(entry: EntryPoint) -> Callable[..., Feed]:
    if entry.name == "mine":
        return open_mine
    raise ModuleNotFoundError(entry.value)


def open_mine(*_: Any) -> Feed:
    raise ConfigError("opened mine")
