"""The frame: its bytes are pinned, and what is damaged or of another version is told apart."""

from __future__ import annotations

import zlib

import msgspec
import numpy as np
import pytest
from modes.market import header, market

from replay import records
from replay.adapters.kafka.wire import (
    FRAME_BYTES_MAX,
    HEADER_BYTES,
    BadFrame,
    FrameWriter,
    Place,
    Table,
    decode,
    place_of,
)
from replay.errors import ConfigError, DataError
from replay.feeds.tape import TapeHeader, TapeInstrument

SMALL = TapeHeader(
    one_time=True, instruments=[TapeInstrument(symbol="A", price_decimals=2, size_decimals=0, kinds=["trade"])]
)
PLACE = Place(first_seq=7, limit_seq=8, stream_start=3, stream=0x1122334455667788)

PINNED = (
    "52504c46"  # RPLF
    "0100"  # version
    "0000"  # flags
    "01000000"  # count
    "a0000000"  # table_bytes
    "0700000000000000"  # first_seq
    "0800000000000000"  # limit_seq
    "0300000000000000"  # stream_start
    "8877665544332211"  # stream
)


def one_trade() -> np.ndarray:
    made = records.empty(1)
    made["ts_event"], made["ts_recv"], made["a"], made["b"] = 1, 1, 100, 5
    made["kind"], made["side"] = records.Kind.TRADE, records.Side.BUY
    return made


def test_the_layout_of_a_frame_is_pinned() -> None:
    table = Table.of(SMALL)
    frame = FrameWriter(table).encode(PLACE, one_trade())
    assert table.text == (
        b'{"version":1,"one_time":true,"bar_lengths_ns":[],"instruments":[{"symbol":"A","price_decimals":2,'
        b'"size_decimals":0,"kinds":["trade"],"sizes":"full","venue":null}],"rows":null,"first_ns":null,"last_ns":null}'
    )
    pinned = bytearray.fromhex(PINNED)
    pinned[12:16] = len(table.text).to_bytes(4, "little")
    assert frame[:48] == pinned
    assert frame[48:64] == table.digest
    assert frame[64:68] == zlib.crc32(frame[68:], zlib.crc32(frame[:64])).to_bytes(4, "little")
    assert frame[68:72] == bytes(4)
    assert HEADER_BYTES == 72
    assert frame[72 : 72 + len(table.text)] == table.text
    assert frame[-64:] == one_trade().tobytes()
    assert len(frame) == 72 + len(table.text) + -len(table.text) % 8 + 64


def test_a_frame_gives_back_its_records_sequences_and_table() -> None:
    table, tape = Table.of(header()), market(500)
    writer = FrameWriter(table)
    whole = decode(writer.encode(Place(10, 510, 0, 5), tape), "here")
    assert whole.sequences is None
    assert whole.records.tobytes() == tape.tobytes()
    assert Table.parse(whole.table_text or b"") == table
    sequences = np.arange(500) * 3 + 12
    part = decode(writer.encode(Place(10, 2_000, 0, 5), tape, sequences), "here")
    assert part.sequences is not None
    assert part.sequences.tolist() == sequences.tolist()
    assert part.records.tobytes() == tape.tobytes()


def test_decoding_copies_no_record() -> None:
    data = FrameWriter(Table.of(header())).encode(Place(0, 100, 0, 5), market(100))
    frame = decode(data, "here")
    assert np.shares_memory(frame.records, np.frombuffer(data, dtype=np.uint8))


def test_a_large_table_is_compressed_and_read_back() -> None:
    many = TapeHeader(
        one_time=False,
        instruments=[TapeInstrument(symbol=f"S{n}", price_decimals=2, size_decimals=0) for n in range(1_000)],
    )
    table = Table.of(many)
    data = FrameWriter(table).encode(PLACE, one_trade())
    assert len(data) < len(table.text) / 4
    assert Table.parse(decode(data, "here").table_text or b"") == table


def test_a_table_that_fits_no_message_is_refused() -> None:
    symbols = [np.random.default_rng(n).bytes(24).hex() for n in range(60_000)]
    many = TapeHeader(
        one_time=False,
        instruments=[TapeInstrument(symbol=symbol, price_decimals=2, size_decimals=0) for symbol in symbols],
    )
    with pytest.raises(ConfigError, match="publish fewer instruments"):
        FrameWriter(Table.of(many))


def test_frames_stay_below_the_limit_of_brokers() -> None:
    writer = FrameWriter(Table.of(header()))
    rows = writer.records_max
    data = writer.encode(Place(0, 2 * rows, 0, 1), market(rows), np.arange(rows) * 2)
    assert FRAME_BYTES_MAX - 128 < len(data) <= FRAME_BYTES_MAX


def test_each_changed_bit_of_a_frame_is_noticed() -> None:
    data = FrameWriter(Table.of(SMALL)).encode(PLACE, one_trade())
    for bit in range(len(data) * 8):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises((BadFrame, DataError)) as caught:
            decode(bytes(broken), "here")
        if isinstance(caught.value, DataError):
            assert bit // 8 in (4, 5), "only the version halts"


@pytest.mark.parametrize("length", [0, 3, 4, 71, 72, 100, 300])
def test_a_cut_frame_is_noticed(length: int) -> None:
    data = FrameWriter(Table.of(SMALL)).encode(PLACE, one_trade())
    with pytest.raises(BadFrame):
        decode(data[:length], "here")


def test_another_version_halts_and_names_both_and_the_remedy() -> None:
    data = bytearray(FrameWriter(Table.of(SMALL)).encode(PLACE, one_trade()))
    data[4] = 9
    with pytest.raises(DataError, match=r"version 9 .* version 1") as caught:
        decode(bytes(data), "kafka://h:1/t, partition 0, offset 3")
    assert caught.value.reason == "unknown_version"
    assert caught.value.place == "kafka://h:1/t, partition 0, offset 3"
    assert "version of replay that published it" in (caught.value.remedy or "")


def test_the_hash_of_a_table_is_of_what_it_says_not_of_the_tape_that_it_comes_from() -> None:
    whole = msgspec.structs.replace(SMALL, rows=10, first_ns=1, last_ns=2)
    assert Table.of(whole).digest == Table.of(SMALL).digest
    other = msgspec.structs.replace(SMALL, one_time=False)
    assert Table.of(other).digest != Table.of(SMALL).digest


def test_the_place_of_a_frame_is_read_without_the_rest() -> None:
    data = FrameWriter(Table.of(SMALL)).encode(PLACE, one_trade())
    assert place_of(data) == PLACE
    assert place_of(b"{}") is None
