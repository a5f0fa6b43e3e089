"""The record and the event, byte by byte: the numbers are those of the tests in engine_rs/core, so that both agree.

May not live here: what a record or an event does.
"""

from __future__ import annotations

import re
import struct
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest

from replay import events, records

CORE = Path(__file__).resolve().parent.parent / "engine_rs" / "core" / "src"


def test_layout_of_a_record_is_pinned() -> None:
    record = np.zeros(1, dtype=records.RECORD)
    record[0] = (1, 2, 3, 4, 5, 6, -7, 8, 9, 10, 0x0B0C)
    data = record.tobytes()
    assert len(data) == records.RECORD_BYTES == 64
    assert struct.unpack("<7q", data[:56]) == (1, 2, 3, 4, 5, 6, -7)
    assert data[56:] == bytes([8, 0, 0, 0, 9, 10, 0x0C, 0x0B])


def test_layout_of_an_event_is_pinned() -> None:
    event = np.zeros(1, dtype=events.EVENT)
    event[0] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 2**64 - 3, -1)
    data = event.tobytes()
    assert len(data) == events.EVENT_BYTES == 128
    assert data[8:16] == bytes([2, 0, 0, 0, 3, 4, 5, 6])
    assert struct.unpack_from("<q", data, 0) == (1,)
    assert struct.unpack_from("<qII", data, 16) == (7, 8, 9)
    assert struct.unpack_from("<qq", data, 32) == (10, 11)
    assert data[48:56] == bytes([12, 0, 13, 14, 15, 0, 0, 0])
    assert struct.unpack_from("<9q", data, 56) == (16, 17, 18, 19, 20, 21, 22, -3, -1)
    assert events.amount(event[0]) == -3


def test_layouts_have_no_holes() -> None:
    for layout in (records.RECORD, events.EVENT):
        assert layout.names is not None
        assert sum(layout[name].itemsize for name in layout.names) == layout.itemsize


def test_bytes_and_records_are_views_of_each_other() -> None:
    three = records.empty(3)
    view = records.as_bytes(three)
    assert view.shape == (192,)
    view[64] = 5
    assert three["ts_event"].tolist() == [0, 5, 0]
    assert np.shares_memory(records.from_bytes(view), three)


# Python has the market's short names, Rust spells them out.
SHORT = {"GOOD_TILL_CANCELED": "GTC", "IMMEDIATE_OR_CANCEL": "IOC", "FILL_OR_KILL": "FOK", "GOOD_TILL_DATE": "GTD"}


def rust_flags(file: str) -> dict[str, int]:
    """Return the FLAG constants of a Rust source: written as a number, or as `1 << bit`."""
    found = re.findall(r"pub const (FLAG_\w+): u\d+ = (?:1 << (\d+)|(0x[0-9a-fA-F]+|\d+));", (CORE / file).read_text())
    return {name: 1 << int(bit) if bit else int(number, 0) for name, bit, number in found}


def rust_enum(file: str, name: str) -> dict[str, int]:
    """Return the variants of a Rust enum with explicit numbers."""
    body = re.search(rf"pub enum {name} \{{(.*?)\n\}}", (CORE / file).read_text(), flags=re.DOTALL)
    assert body, f"{file} has no enum {name}"
    pairs = re.findall(r"^\s*(\w+) = (\d+),", body[1], flags=re.MULTILINE)
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", variant).upper(): int(number) for variant, number in pairs}


@pytest.mark.parametrize(
    ("python", "file", "name"),
    [
        (records.Kind, "record.rs", "Kind"),
        (records.BarPrice, "record.rs", "BarPrice"),
        (events.EventKind, "event.rs", "EventKind"),
        (events.OrderType, "order.rs", "OrderType"),
        (events.TimeInForce, "order.rs", "TimeInForce"),
    ],
    ids=["Kind", "BarPrice", "EventKind", "OrderType", "TimeInForce"],
)
def test_codes_have_the_same_numbers_in_both_languages(python: type[IntEnum], file: str, name: str) -> None:
    assert {member.name: member.value for member in python} == {
        SHORT.get(variant, variant): number for variant, number in rust_enum(file, name).items()
    }


def test_flags_have_the_same_bits_in_both_languages() -> None:
    for module, file in ((records, "record.rs"), (events, "event.rs")):
        python = {name: value for name, value in vars(module).items() if name.startswith("FLAG_")}
        assert python == rust_flags(file)
