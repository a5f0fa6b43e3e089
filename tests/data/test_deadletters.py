"""Dead letters keep reason, place and raw text, and their counts survive a restart."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from replay.errors import JournalError
from replay.feeds import deadletters
from replay.feeds.deadletters import DeadLetterWriter
from replay.feeds.feed import DeadLetter

from .feeds import trades


def lines(path: Path) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def test_a_letter_keeps_its_raw_bytes_readably(tmp_path: Path) -> None:
    path = tmp_path / "dead.ndjson"
    with DeadLetterWriter(path) as writer:
        writer.write([DeadLetter("bad_row", b'a\xff,"b"', "x.csv:3"), DeadLetter("bad_time", "ü".encode(), "x.csv:4")])
    assert lines(path) == [
        {"reason": "bad_row", "place": "x.csv:3", "raw": 'a\\xff,"b"'},
        {"reason": "bad_time", "place": "x.csv:4", "raw": "ü"},
    ]
    assert writer.counts == {"bad_row": 1, "bad_time": 1}
    assert writer.size_bytes == path.stat().st_size


def test_a_quarantined_record_is_kept_field_by_field(tmp_path: Path) -> None:
    with DeadLetterWriter(tmp_path / "dead.ndjson") as writer:
        writer.quarantine("ahead", trades([5, 7])[1:2], 12)
    (line,) = lines(tmp_path / "dead.ndjson")
    assert line["place"] == "row 12 of its batch"
    record = line["record"]
    assert isinstance(record, dict)
    assert (record["ts_event"], record["kind"], record["c"]) == (7, "trade", 1)


def test_without_a_path_letters_are_only_counted() -> None:
    writer = DeadLetterWriter(None)
    writer.add(DeadLetter("bad_row", b"x", "y"))
    assert (writer.counts, writer.size_bytes) == ({"bad_row": 1}, 0)


def test_going_on_keeps_what_the_journal_knows_of_and_cuts_off_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "dead.ndjson"
    with DeadLetterWriter(path) as writer:
        writer.add(DeadLetter("bad_row", b"1", "a"))
        kept = writer.size_bytes
        writer.add(DeadLetter("bad_time", b"2", "b"))
    with DeadLetterWriter(path, keep_bytes=kept) as writer:
        assert writer.counts == {"bad_row": 1}
        writer.add(DeadLetter("bad_price", b"3", "c"))
    assert [line["reason"] for line in lines(path)] == ["bad_row", "bad_price"]
    with pytest.raises(JournalError, match="the journal knows of"):
        DeadLetterWriter(path, keep_bytes=10_000)
    with pytest.raises(JournalError, match="cannot be opened"):
        DeadLetterWriter(tmp_path / "nowhere" / "dead.ndjson")


@pytest.mark.parametrize("piece_bytes", [1, 7, 100, 1 << 20])
def test_a_long_file_is_counted_again_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    path = tmp_path / "dead.ndjson"
    with DeadLetterWriter(path) as writer:
        writer.write([DeadLetter(f"reason_{number % 3}", b"x" * number, "here") for number in range(50)])
    monkeypatch.setattr(deadletters, "_PIECE_BYTES", piece_bytes)
    with DeadLetterWriter(path, keep_bytes=writer.size_bytes) as again:
        assert again.counts == writer.counts
    with pytest.raises(JournalError, match="not what the journal knows of"):
        DeadLetterWriter(path, keep_bytes=writer.size_bytes - 5)


def test_the_file_has_a_limit_and_the_counts_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadletters, "FILE_BYTES_MAX", 200)
    with DeadLetterWriter(tmp_path / "dead.ndjson") as writer:
        writer.write([DeadLetter("bad_row", b"x" * 20, "y")] * 50)
    assert writer.counts == {"bad_row": 50}
    assert lines(tmp_path / "dead.ndjson")[-1]["reason"] == "dead_letters_full"
    assert (tmp_path / "dead.ndjson").stat().st_size < 300
