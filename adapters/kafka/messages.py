"""The intake of other people's messages: one row each as JSON, MessagePack or CSV, many of them decoded at once.

May not live here: the decoders (engine_rs/ingest) and the order of partitions.

The messages of one answer are joined, a line each, and decoded in one call; the lines that die are led back to their
offsets. MessagePack is read with msgspec into just the fields that the run file names, and goes on as JSON, where
numbers and strings keep every digit. A float there has no text to be read exactly from, so such a message is dead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.adapters.kafka.frames import RAW_BYTES_MAX, Intake, IntakeCounters, place_of_message
from replay.adapters.kafka.partitions import Piece
from replay.adapters.text import DeadRows, Decoder, Decoding, csv_decoding, ndjson_decoding
from replay.errors import ConfigError, DataError
from replay.feeds.feed import DeadLetter

if TYPE_CHECKING:
    from replay.adapters.kafka.address import TopicAddress
    from replay.config import FeedSpec, Instrument

_LINE = re.compile(r"line (\d+)(?:, )?")

_Leaf = int | str | bool | None | msgspec.UnsetType


@dataclass
class Lines:
    """The messages of one answer as lines for a decoder, and which message each line is of."""

    text: bytes
    owners: NDArray[np.int64] | None
    """Index of the message of each line; None: one line each, in order."""
    count: int
    dead: list[tuple[int, str]]
    """(index of the message, reason) of those that are in no line."""


class TextIntake:
    """Takes messages in. One for each reading."""

    def __init__(
        self,
        address: TopicAddress,
        spec: FeedSpec,
        decoding: Decoding,
        counters: IntakeCounters,
    ) -> None:
        self._address = str(address)
        self._decoding = decoding
        self._counters = counters
        self._decoder: Decoder = decoding.make()
        self._to_lines: Callable[[list[Any]], Lines] = {
            "json": _json_lines,
            "csv": _csv_lines,
            "msgpack": _MessagePack(spec).lines if spec.message == "msgpack" else _json_lines,
        }[spec.message or "json"]
        if spec.message == "csv":
            self._decoder.feed((spec.delimiter.join(spec.header) + "\n").encode())

    def take(self, partition: int, messages: Sequence[Any], watermark: int | None) -> list[Intake]:
        """Turn messages into one piece."""
        lines = self._to_lines([message.value for message in messages])
        first_line = self._decoder.position[1]
        halt: DataError | None = None
        data = bytearray()
        dead_rows: DeadRows = []
        try:
            data, dead_rows = self._decoder.feed(lines.text)
            done = self._decoder.position[1] - first_line
            if done < lines.count:
                self._decoder.feed(b"")  # raises what stopped it
        except DataError as error:
            done = self._decoder.position[1] - first_line
            halt = self._at_message(error, partition, messages, lines, first_line)
        records = self._decoding.records(data)
        is_alive = np.ones(done, dtype=np.bool_)
        dead = [(_owner(lines, line - first_line - 1), reason, column) for reason, line, column, _ in dead_rows]
        for _, line, _, _ in dead_rows:
            is_alive[line - first_line - 1] = False
        if len(records) + len(dead_rows) < done:
            dead += _blank(lines, is_alive)
        stop = _owner(lines, done) if halt is not None else len(messages)
        dead += [(index, reason, "") for index, reason in lines.dead if index < stop]
        letters = [self._letter(partition, messages[index], reason, column) for index, reason, column in sorted(dead)]
        self._count(len(records), len(letters))
        owners = np.flatnonzero(is_alive) if lines.owners is None else lines.owners[:done][is_alive]
        if lines.dead and lines.owners is None:
            owners = _without(owners, [index for index, _ in lines.dead], len(messages))
        piece, watermark = self._piece(records, messages, owners, watermark, several=lines.owners is not None)
        next_offset = messages[stop].offset if stop < len(messages) else messages[-1].offset + 1
        return [Intake(piece, next_offset, watermark, letters, halt)]

    def _piece(
        self,
        records: NDArray[Any],
        messages: Sequence[Any],
        owners: NDArray[np.int64],
        watermark: int | None,
        *,
        several: bool,
    ) -> tuple[Piece | None, int | None]:
        if not len(records):
            return None, watermark
        keys: NDArray[np.int64] = np.maximum.accumulate(records["ts_recv"])
        if watermark is not None:
            np.maximum(keys, watermark, out=keys)
        if several:
            # The rows of one message stay together: a cursor stands between messages.
            keys = keys[np.searchsorted(owners, owners, side="left")]
        first, last = messages[0].offset, messages[-1].offset
        if last - first == len(messages) - 1:
            offsets = owners + first
        else:
            offsets = np.array([message.offset for message in messages], dtype=np.int64)[owners]
        return Piece(records, keys, offsets, int(keys[0]), int(offsets[0]), watermark), int(keys[-1])

    def _letter(self, partition: int, message: Any, reason: str, column: str) -> DeadLetter:
        where = place_of_message(self._address, partition, message.offset)
        raw = (message.value or b"")[:RAW_BYTES_MAX]
        return DeadLetter(reason, raw, f"{where}, field {column!r}" if column else where)

    def _count(self, records: int, dead: int) -> None:
        self._counters.rows += records + dead
        self._counters.records += records
        self._counters.dead += dead
        self._counters.rounded = self._decoder.counters().get("rounded", 0)

    def _at_message(
        self, error: DataError, partition: int, messages: Sequence[Any], lines: Lines, first_line: int
    ) -> DataError:
        """Name the message in place of the line."""
        found = _LINE.search(error.place or "")
        index = _owner(lines, int(found[1]) - first_line - 1) if found else 0
        where = place_of_message(self._address, partition, messages[index].offset)
        rest = _LINE.sub("", error.place or "")
        error.place = f"{where}, {rest}" if rest else where
        return error


def check_layout(spec: FeedSpec, instruments: Sequence[Instrument]) -> None:
    """Raise ConfigError where the feed's entry does not say how its messages are to be read."""
    if spec.message == "csv" and not spec.header:
        raise ConfigError(
            f"the messages of {spec.uri!r} are CSV, and their columns are not named",
            remedy='add header = ["time", "bid", "ask", "bid_size", "ask_size"], in their order',
        )
    decoder = _decoding(spec, instruments).make()
    if spec.message == "csv":
        decoder.feed((spec.delimiter.join(spec.header) + "\n").encode())


def make_intake(
    address: TopicAddress, spec: FeedSpec, instruments: Sequence[Instrument], counters: IntakeCounters
) -> TextIntake:
    """Make the intake that a feed's entry describes."""
    return TextIntake(address, spec, _decoding(spec, instruments), counters)


def _decoding(spec: FeedSpec, instruments: Sequence[Instrument]) -> Decoding:
    return csv_decoding(spec, instruments) if spec.message == "csv" else ndjson_decoding(spec, instruments)


def _json_lines(values: list[Any]) -> Lines:
    """Join JSON texts; line ends within one are blanks there (within a string they are not allowed)."""
    text = _joined(values)
    if text is None:
        whole = [(value or b"").replace(b"\n", b" ").replace(b"\r", b" ") for value in values]
        text = b"\n".join(whole) + b"\n"
    return Lines(text, None, len(values), [])


def _csv_lines(values: list[Any]) -> Lines:
    """Join CSV rows; a message may hold several."""
    text = _joined(values)
    if text is not None:
        return Lines(text, None, len(values), [])
    parts: list[bytes] = []
    owners: list[int] = []
    for index, value in enumerate(values):
        rows = (value or b"").removesuffix(b"\n").split(b"\n")
        parts += rows
        owners += [index] * len(rows)
    return Lines(b"\n".join(parts) + b"\n", np.array(owners, dtype=np.int64), len(parts), [])


def _joined(values: list[Any]) -> bytes | None:
    """Join texts of one line each; None where one has several, or is missing."""
    try:
        text = b"\n".join(values) + b"\n"
    except TypeError:
        return None
    return text if text.count(b"\n") == len(values) else None


class _MessagePack:
    """Reads the wanted fields of MessagePack maps, and writes them as JSON lines."""

    def __init__(self, spec: FeedSpec) -> None:
        tree: dict[str, Any] = {}
        for path in wanted_paths(spec):
            branch = tree
            *parents, leaf = path.split(".")
            for key in parents:
                branch = branch.setdefault(key, {})
                if not isinstance(branch, dict):
                    raise ConfigError(f"{spec.uri!r}: the field {path!r} is inside another field that is named")
            branch.setdefault(leaf, None)
        self._decode = msgspec.msgpack.Decoder(_struct_of("Row", tree)).decode
        self._encode = msgspec.json.Encoder().encode_lines

    def lines(self, values: list[Any]) -> Lines:
        """Read the messages; those that cannot be read are named with their reason."""
        decode = self._decode
        try:
            rows = [decode(value) for value in values]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
            return self._lines_one_by_one(values)
        return Lines(self._encode(rows), None, len(rows), [])

    def _lines_one_by_one(self, values: list[Any]) -> Lines:
        rows: list[Any] = []
        dead: list[tuple[int, str]] = []
        for index, value in enumerate(values):
            try:
                rows.append(self._decode(value or b""))
            except msgspec.ValidationError as error:
                dead.append((index, "float_number" if "got `float`" in str(error) else "bad_field"))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                dead.append((index, "bad_msgpack"))
        return Lines(self._encode(rows), None, len(rows), dead)


def wanted_paths(spec: FeedSpec) -> list[str]:
    """List the fields of a message that its feed's entry asks for, by their dotted paths."""
    from replay.config.sections import FEED_COLUMNS

    columns = [column.column for column in (spec.time, spec.receive) if column is not None]
    if spec.symbol is not None and not isinstance(spec.symbol, str):
        columns.append(spec.symbol.column)
    columns += [spec.columns.get(name, name) for name in FEED_COLUMNS[spec.records or "quote"]]
    return list(dict.fromkeys(columns))


def _struct_of(name: str, tree: dict[str, Any]) -> type[msgspec.Struct]:
    """Make the structure that has these fields and skips all others."""
    fields: list[tuple[str, Any, Any]] = []
    names: dict[str, str] = {}
    for index, (key, branch) in enumerate(tree.items()):
        kind: Any = _Leaf if branch is None else _struct_of(f"{name}{index}", branch) | None | msgspec.UnsetType
        fields.append((f"f{index}", kind, msgspec.UNSET))
        names[f"f{index}"] = key
    return msgspec.defstruct(name, fields, rename=names)


def _owner(lines: Lines, line: int) -> int:
    """Return the index of the message that a line is of."""
    if lines.owners is not None:
        return int(lines.owners[line])
    for index, _ in lines.dead:
        if index <= line:
            line += 1
    return line


def _without(owners: NDArray[np.int64], missing: Sequence[int], count: int) -> NDArray[np.int64]:
    """Number lines by their messages, where some messages have no line."""
    alive = np.ones(count, dtype=np.bool_)
    alive[list(missing)] = False
    numbers: NDArray[np.int64] = np.flatnonzero(alive)[owners]
    return numbers


def _blank(lines: Lines, is_alive: NDArray[np.bool_]) -> list[tuple[int, str, str]]:
    """Find the lines that the decoder skips since nothing is on them."""
    found: list[tuple[int, str, str]] = []
    for line, text in enumerate(lines.text.split(b"\n")[: len(is_alive)]):
        if not text.strip():
            is_alive[line] = False
            found.append((_owner(lines, line), "empty", ""))
    return found
