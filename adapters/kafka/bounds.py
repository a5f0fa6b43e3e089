"""The bounds of a topic's part: `from` and `to` of a URI, and what they are in offsets once a broker has been asked.

May not live here: connections; the reader asks the broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from replay import units
from replay.errors import ConfigError, DataError

_NS_PER_MS = 1_000_000
_TIME_DIGITS_MIN = 16
"""A whole number with at least so many digits is a time in ns; a shorter one is an offset."""


@dataclass(frozen=True)
class Bound:
    """One bound, as it was written."""

    text: str
    kind: Literal["earliest", "latest", "offset", "time"]
    offsets: tuple[tuple[int | None, int], ...] = ()
    """(partition, offset); the partition is None where one offset holds for all."""
    time_ns: int = 0

    @classmethod
    def parse(cls, name: str, text: str, uri: str) -> Bound:
        """Read `earliest`, `latest`, an offset, offsets by partition (`0:120,1:98`), or a time (RFC 3339 or ns)."""
        if text == "earliest" or text == "latest":
            return cls(text, "earliest" if text == "earliest" else "latest")
        if text.isdigit():
            if len(text) >= _TIME_DIGITS_MIN:
                return cls(text, "time", time_ns=int(text))
            return cls(text, "offset", ((None, int(text)),))
        pairs = [part.partition(":") for part in text.split(",")]
        if all(partition.isdigit() and colon and offset.isdigit() for partition, colon, offset in pairs):
            return cls(text, "offset", tuple((int(partition), int(offset)) for partition, _, offset in pairs))
        try:
            return cls(text, "time", time_ns=units.parse_time(text))
        except ValueError:
            raise ConfigError(
                f"{uri!r}: {name} = {text!r} is neither an offset, a time, 'earliest' nor 'latest'",
                remedy=f"write {name}=1200, {name}=0:1200,1:980 (partition:offset), or {name}=2024-08-08T00:00:00Z",
            ) from None

    @property
    def time_ms(self) -> int:
        """The time in Kafka's own unit, rounded down: what is too early is left out afterwards."""
        return self.time_ns // _NS_PER_MS

    def offset_of(self, partition: int, partitions: int) -> int | None:
        """Return the offset written for a partition; None if there is none."""
        for named, offset in self.offsets:
            if named == partition or (named is None and partitions == 1):
                return offset
        return None


@dataclass(frozen=True)
class Held:
    """What a broker holds of one partition: first..limit, and where a time begins, if that was asked for."""

    first: int
    limit: int
    from_time: int | None = None
    to_time: int | None = None


@dataclass(frozen=True)
class Span:
    """The part of one partition that is read: start..limit; without a limit it goes on for ever."""

    start: int
    limit: int | None


def resolve(
    address: str, start: Bound, end: Bound | None, held: Mapping[int, Held], partitions: int
) -> dict[int, Span]:
    """Turn bounds into offsets, for each partition that is read; raise DataError where the broker lacks a part."""
    spans: dict[int, Span] = {}
    for partition, has in sorted(held.items()):
        first = _start(start, partition, partitions, has, address)
        limit = None if end is None else _end(end, partition, partitions, has, address)
        check_held(address, partition, first, limit, has)
        spans[partition] = Span(first, limit if limit is None else max(first, limit))
    return spans


def check_held(address: str, partition: int, first: int, limit: int | None, has: Held) -> None:
    """Raise DataError where a range is not, or no longer, at the broker."""
    if has.first <= first <= has.limit and (limit is None or limit <= has.limit):
        return
    raise missing_range(address, partition, first, limit, has)


def missing_range(address: str, partition: int, first: int, limit: int | None, has: Held) -> DataError:
    """Make the error for a range that the broker does not hold: both ranges are named."""
    wanted = f"offsets {first}..{'' if limit is None else limit}"
    if first < has.first:
        gone = f"{first}..{has.first} {'is' if has.first - first == 1 else 'are'} gone"
        remedy = (
            "a session that needs them cannot go on from this topic: restore them, or begin a new session; "
            "set retention.ms=-1 on the topic. Nothing of the session was changed"
        )
    else:
        gone = f"nothing is there from {has.limit} on"
        remedy = "the topic was made anew or cut, or `from`/`to` name another one; nothing was changed"
    return DataError(
        f"{wanted} are needed, and the broker holds {has.first}..{has.limit}: {gone}",
        reason="missing_range",
        place=f"{address}, partition {partition}",
        remedy=remedy,
    )


def _start(bound: Bound, partition: int, partitions: int, has: Held, address: str) -> int:
    if bound.kind == "earliest":
        return has.first
    if bound.kind == "latest":
        return has.limit
    if bound.kind == "time":
        return has.limit if has.from_time is None else has.from_time
    return _offset(bound, partition, partitions, address)


def _end(bound: Bound, partition: int, partitions: int, has: Held, address: str) -> int:
    if bound.kind == "earliest":
        return has.first
    if bound.kind == "latest":
        return has.limit
    if bound.kind == "time":
        # The message that reaches the time may hold earlier records: it is read, and cut.
        return has.limit if has.to_time is None else min(has.limit, has.to_time + 1)
    return _offset(bound, partition, partitions, address)


def _offset(bound: Bound, partition: int, partitions: int, address: str) -> int:
    offset = bound.offset_of(partition, partitions)
    if offset is None:
        listed = ",".join(f"{number}:OFFSET" for number in range(min(partitions, 4)))
        raise ConfigError(
            f"the offset {bound.text!r} names no offset of partition {partition}, and the topic has {partitions}",
            place=address,
            remedy=f"write {listed}{',..' if partitions > 4 else ''}, or give a time",
        )
    return offset
