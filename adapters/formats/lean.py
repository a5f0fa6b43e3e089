"""LEAN's data folders: zips of ticks and of second, minute, hour and daily bars; factor files; trading hours.

May not live here: other text (replay.adapters.formats.text), and what LEAN does with its data.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.adapters.formats.factors import Factors, read_factors
from replay.adapters.formats.text import TextTable, check_kind, day_ns_of, decoded
from replay.adapters.zones import LocalTimes, is_utc
from replay.errors import ConfigError, DataError, choose
from replay.feeds.feed import DeadLetter
from replay.feeds.format import Contents, Held, Piece, Request, Scale, not_of_format
from replay.records import BarPrice, joined

_DAY_NS = 86_400_000_000_000
_PIECE_ROWS = 1 << 16
_LENGTHS_NS = {"second": 1_000_000_000, "minute": 60_000_000_000, "hour": 3_600_000_000_000, "daily": _DAY_NS}
_RESOLUTIONS = ("tick", *_LENGTHS_NS)
_SECURITIES = ("equity", "forex", "cfd", "crypto", "cryptofuture", "future", "index")
_SCALED = frozenset({"equity"})
"""Kinds of securities whose prices stand in the files times 10,000."""
_SIZELESS = frozenset({"forex", "cfd"})
_ZONES = {
    ("equity", "usa"): "America/New_York",
    ("index", "usa"): "America/New_York",
    ("future", "comex"): "America/New_York",
    ("forex", "oanda"): "UTC",
    ("cfd", "oanda"): "UTC",
    ("forex", "fxcm"): "Etc/GMT+5",
    ("cfd", "fxcm"): "Etc/GMT+5",
}
_NAME = re.compile(r"^(\d{8})_(trade|quote|openinterest)$")
_HOURS = re.compile(r"^(\d\d):(\d\d)-(\d\d):(\d\d)$")
_BAR = ("open", "high", "low", "close")
_TICK_TRADE = ("time", "price", "size", "-exchange", "-condition", "-suspicious")
_TICK_QUOTE = ("time", "bid", "bid_size", "ask", "ask_size", "-exchange", "-condition", "-suspicious")
_QUOTE_BAR = (
    "time", *(f"bid_{name}" for name in _BAR), "bid_size", *(f"ask_{name}" for name in _BAR), "ask_size",
)  # fmt: skip


class LeanOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """security, market, resolution, date: where a file does not lie in LEAN's folders, whose names say them.

    zone: of the times; that of the market by default. files: which files of a folder.
    quote_bars: what becomes of a quote bar: a quote of its closes at its end, or a bar of bids and one of asks.
    factors: a factor file; prices become adjusted ones. hours: as 09:30-16:00, the bars and ticks that are kept.
    close: when a day's bar ends; 16:00 of US equities, midnight of others. suspicious: ticks that are marked so.
    """

    security: str | None = None
    market: str | None = None
    resolution: str | None = None
    date: str | None = None
    zone: str | None = None
    files: Literal["all", "trade", "quote"] = "all"
    quote_bars: Literal["closes", "bars"] = "closes"
    factors: str | None = None
    hours: str | None = None
    close: str | None = None
    suspicious: Literal["keep", "skip"] = "keep"


class LeanFile(NamedTuple):
    """One zip: what its place among LEAN's folders says. kind is trade or quote; date is of files of one day."""

    path: Path
    security: str
    market: str
    resolution: str
    symbol: str
    kind: str
    date: str | None


class Lean:
    """One zip, or a folder of the zips of one symbol, such as equity/usa/minute/spy."""

    name = "lean"
    summary = "LEAN (QuantConnect) zips: ticks; second, minute, hour and daily bars; factor files"
    suffixes: tuple[str, ...] = ()
    options: type[msgspec.Struct] = LeanOptions

    def sniff(self, path: Path, head: bytes) -> bool:
        """Know a zip by its name and place, a folder by such zips in it."""
        if path.is_dir():
            return any(_NAME.match(one.stem) for one in path.glob("*.zip"))
        in_folders = _resolution_of(path) is not None
        return head.startswith(b"PK\x03\x04") and (bool(_NAME.match(path.stem)) or in_folders)

    def contents(self, request: Request) -> Contents:
        """Say what the files hold, by their names and the names of what is in them."""
        files = _files(request)
        instruments: dict[str, Held] = {}
        kinds = list(dict.fromkeys(kind for file in files for kind in _kinds(file, request)))
        check_kind(self.name, request, *kinds)
        for file in files:
            sizes: Literal["full", "none"] = "none" if file.security in _SIZELESS else "full"
            for _, symbol in _entries(file, request):
                known = instruments.get(symbol)
                wanted = [kind for kind in _kinds(file, request) if request.wants(kind)]
                names = list(dict.fromkeys([*(known.kinds if known else []), *wanted]))
                bar_price = known.bar_price if known else None
                if "bar" in wanted and bar_price != "trade":  # quote bars are of bids and of asks
                    bar_price = "trade" if file.kind == "trade" else "bid"
                adjusted = request.options.factors is not None
                instruments[symbol] = Held(
                    symbol=symbol,
                    kinds=names,
                    price_decimals=8 if adjusted else None,
                    size_decimals=0 if adjusted else None,
                    sizes=sizes,
                    bar_price=bar_price,
                )
        lengths = {_LENGTHS_NS[file.resolution] for file in files if file.resolution != "tick"}
        return Contents(
            instruments=list(instruments.values()),
            bar_lengths_ns=sorted(lengths) if "bar" in kinds and request.wants("bar") else [],
            notes=_notes(files, request),
        )

    def read(self, request: Request, scales: Mapping[str, Scale]) -> Iterator[Piece]:
        """Give the rows in pieces; what one day has in several files is merged by time, quotes first."""
        files = _files(request)
        for day in _days(files):
            yield from _merged([piece for file in day for piece in _read_file(file, request, scales)])


def _files(request: Request) -> list[LeanFile]:
    """List the zips of a request, in the order of their days; quotes before trades."""
    options: LeanOptions = request.options
    path = request.path
    paths = sorted(path.glob("*.zip")) if path.is_dir() else [path]
    found = [_file(one, request) for one in paths if not one.stem.endswith("openinterest")]
    if not found:
        raise DataError("holds no zips of trades or quotes", reason="wrong_format", place=str(path))
    kept = [file for file in found if options.files in ("all", file.kind)]
    if not kept:
        raise ConfigError(
            f"holds no zips of {options.files}s", place=str(path), remedy="leave out files, or name another folder"
        )
    return sorted(kept, key=lambda file: (file.date or "", file.kind != "quote", file.path.name))


def _file(path: Path, request: Request) -> LeanFile:
    options: LeanOptions = request.options
    parts = path.absolute().parts
    place = _resolution_of(path)
    named = _NAME.match(path.stem)
    resolution = options.resolution or (parts[place] if place else None)
    security = options.security or (parts[place - 2] if place and place >= 2 else None)
    market = options.market or (parts[place - 1] if place else None)
    for name, value, choices in (
        ("resolution", resolution, _RESOLUTIONS),
        ("security", security, _SECURITIES),
    ):
        if value not in choices:
            raise ConfigError(
                f"the file does not lie in LEAN's folders (security/market/resolution): {name} is unknown"
                if value is None
                else f"{name} {value!r} is not read",
                place=str(path),
                remedy=f'options = {{ {name} = ".." }}, or --option {name}=..; {choose(value or "", choices)}',
            )
    assert resolution is not None and security is not None
    kind = named[2] if named else ("quote" if path.stem.endswith("_quote") or security in _SIZELESS else "trade")
    is_of_day = resolution in ("tick", "second", "minute")
    date = options.date or (named[1] if named else None)
    if is_of_day and date is None:
        raise ConfigError(
            "the file's name does not say its day", place=str(path), remedy='give it: options = { date = "2013-10-07" }'
        )
    symbol = path.absolute().parent.name if is_of_day else re.sub(r"_(trade|quote)$", "", path.stem)
    return LeanFile(path, security, market or "", resolution, symbol.upper(), kind, date if is_of_day else None)


def _resolution_of(path: Path) -> int | None:
    """Return where in a path the folder of a resolution stands."""
    parts = path.absolute().parts
    return next((place for place in range(len(parts) - 2, 0, -1) if parts[place] in _RESOLUTIONS), None)


def _kinds(file: LeanFile, request: Request) -> list[str]:
    options: LeanOptions = request.options
    if file.resolution == "tick":
        return [file.kind]
    return ["quote" if file.kind == "quote" and options.quote_bars == "closes" else "bar"]


def _entries(file: LeanFile, request: Request) -> list[tuple[str, str]]:
    """List the tables in a zip, each with its symbol: of futures one for each month of delivery."""
    try:
        with zipfile.ZipFile(file.path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
    except (zipfile.BadZipFile, OSError) as error:
        raise not_of_format("lean", str(error), str(file.path)) from None
    if not names:
        raise not_of_format("lean", "there is no table in the zip", str(file.path))
    if file.security != "future" and len(names) == 1:
        return [(names[0], request.symbol or file.symbol)]
    months = [re.search(r"_(\d{6}|\d{8})\.csv$", name) for name in names]
    symbols = [file.symbol + (month[1] if month else "") for month in months]
    return [(name, symbol) for name, symbol in zip(names, symbols, strict=True) if request.symbol in (None, symbol)]


def _days(files: Sequence[LeanFile]) -> list[list[LeanFile]]:
    days: dict[str, list[LeanFile]] = {}
    for file in files:
        days.setdefault(file.date or "", []).append(file)
    return list(days.values())


def _zone(file: LeanFile, request: Request) -> str:
    options: LeanOptions = request.options
    known = "UTC" if file.security in ("crypto", "cryptofuture") else _ZONES.get((file.security, file.market))
    zone = options.zone or known
    if zone is None:
        raise ConfigError(
            f"the zone of the times of {file.security}/{file.market} is not known",
            place=str(file.path),
            remedy='give it: options = { zone = "America/Chicago" }',
        )
    return zone


def _close(file: LeanFile, request: Request) -> str:
    options: LeanOptions = request.options
    return options.close or ("16:00" if (file.security, file.market) == ("equity", "usa") else "24:00")


def _notes(files: Sequence[LeanFile], request: Request) -> list[str]:
    options: LeanOptions = request.options
    first = files[0]
    notes = [f"{first.security} of {first.market}, times of {_zone(first, request)}"]
    if first.security in _SCALED:
        notes.append("prices stand in the file times 10,000")
    if first.security in _SIZELESS:
        notes.append("there are no sizes")
    if any(file.kind == "quote" and file.resolution != "tick" for file in files):
        what = "quotes of their closes" if options.quote_bars == "closes" else "bars of bids and bars of asks"
        notes.append(f"quote bars are {what}")
    if first.resolution == "daily":
        notes.append(f"a day's bar ends at {_close(first, request)}")
    if options.factors is not None:
        notes.append(f"prices are adjusted by {options.factors}, rounded half to even")
    return notes


def _read_file(file: LeanFile, request: Request, scales: Mapping[str, Scale]) -> Iterator[Piece]:
    options: LeanOptions = request.options
    factors = None if options.factors is None else read_factors(_beside(options.factors, request.path))
    for name, symbol in _entries(file, request):
        with zipfile.ZipFile(file.path) as archive:
            data = archive.read(name)
        if file.resolution == "tick" and options.suspicious == "skip":
            data = re.sub(rb"(?m)^.*,1\r?$", b"", data)
        state = _Sides()
        for table in _tables(file, request, symbol, data):
            if not request.wants(table.records):
                continue
            # Adjusted prices are made of the file's own, so these are read on the file's own scale.
            inner = {
                known: msgspec.structs.replace(scale, price_decimals=4) if factors else scale
                for known, scale in scales.items()
            }
            asked = msgspec.structs.replace(request, symbol=None)
            for piece in decoded(BytesIO(data).read, table, asked, inner, f"{file.path}/{name}"):
                yield _finished(piece, file, request, table, factors, scales, state)


def _beside(text: str, path: Path) -> Path:
    """Find a file of an option: from the working folder, else beside the data."""
    found = Path(text)
    return found if found.exists() or found.is_absolute() else path.parent / text


def _tables(file: LeanFile, request: Request, symbol: str, data: bytes) -> list[TextTable]:
    """Say how a table is read; of quote bars as bars there are two ways, bids and asks."""
    options: LeanOptions = request.options
    count = data.partition(b"\n")[0].count(b",") + 1
    sizeless = file.security in _SIZELESS
    is_bar = file.resolution != "tick"
    by_day = file.date is not None
    common: dict[str, Any] = {
        "symbol": symbol,
        "unit": "ms" if by_day else "iso",
        "day_ns": day_ns_of(file.date, str(file.path)) if file.date else 0,
        "sizes": "none" if sizeless else "full",
        "bar_ns": _LENGTHS_NS.get(file.resolution, 0),
        "stamp": "end",  # bars are put at their ends below, after the hours and the zone
    }
    scale = 4 if file.security in _SCALED else 0

    def table(records: Any, columns: Sequence[str], **more: Any) -> TextTable:
        fields = {"quote": ("bid", "ask"), "trade": ("price",), "bar": _BAR}[records]
        named = [*columns[:count], *(f"-{place}" for place in range(len(columns), count))]
        scales = dict.fromkeys(fields, scale) if scale else {}
        return TextTable(records=records, columns=named, scales=scales, **(common | more))

    if file.kind == "trade":
        return [table("bar", ("time", *_BAR, "volume"))] if is_bar else [table("trade", _TICK_TRADE)]
    if not is_bar:
        columns = ("time", "bid", "ask") if count == 3 else _TICK_QUOTE
        # A side that is not updated has the price 0, which is put right below.
        return [table("quote", columns, negative=True)]
    if options.quote_bars == "closes":
        fields = {"bid": "bid_close", "ask": "ask_close"}
        return [table("quote", _QUOTE_BAR, fields=fields)]
    return [
        table(
            "bar", _QUOTE_BAR, price=side, fields={name: f"{side}_{name}" for name in _BAR} | {"volume": f"{side}_size"}
        )
        for side in ("bid", "ask")
    ]


class _Sides:
    """The last price and size of each side of quotes, for ticks that give only the other one."""

    def __init__(self) -> None:
        self.last = {"a": (0, 0), "b": (0, 0)}

    def fill(self, records: NDArray[Any]) -> None:
        """Give sides that are not updated what they had before."""
        for price, size in (("a", "c"), ("b", "d")):
            is_given = records[price] > 0
            places = np.maximum.accumulate(np.where(is_given, np.arange(len(records)), -1))
            for name, before in ((price, self.last[price][0]), (size, self.last[price][1])):
                values = records[name]
                records[name] = np.where(places >= 0, values[np.maximum(places, 0)], before)
            if len(records):
                self.last[price] = (int(records[price][-1]), int(records[size][-1]))


def _finished(
    piece: Piece,
    file: LeanFile,
    request: Request,
    table: TextTable,
    factors: Factors | None,
    scales: Mapping[str, Scale],
    state: _Sides,
) -> Piece:
    """Adjust prices, keep trading hours, and put times into UTC and bars at their end."""
    options: LeanOptions = request.options
    records = piece.records
    dead, absent = _without_absent_bars(piece.dead, table)
    left_out = dict(piece.left_out)
    if absent:
        left_out["no_quote"] = absent
    if file.kind == "quote" and file.resolution == "tick":
        state.fill(records)
    local_ns = records["ts_event"].astype(np.int64)
    if factors is not None:
        factors.adjust(records, local_ns, {scale.index: scale for scale in scales.values()})
    if options.hours is not None:
        opens_ns, closes_ns = _hours_ns(options.hours)
        inside = (local_ns % _DAY_NS >= opens_ns) & (local_ns % _DAY_NS < closes_ns)
        if not inside.all():
            left_out["outside_hours"] = int(np.count_nonzero(~inside))
            records, local_ns = records[inside], local_ns[inside]
    if file.resolution == "daily":
        local_ns = local_ns - local_ns % _DAY_NS + _minutes_ns(_close(file, request))
    zone = _zone(file, request)
    times_ns = local_ns if is_utc(zone) else LocalTimes(zone).to_utc(local_ns)
    if file.resolution not in ("tick", "daily"):
        times_ns = times_ns + _LENGTHS_NS[file.resolution]
    records["ts_event"] = records["ts_recv"] = times_ns
    if table.records == "bar":
        records["side"] = int(BarPrice[table.price.upper()])
    return Piece(records, dead, piece.rows, left_out, piece.rounded)


def _without_absent_bars(dead: Sequence[DeadLetter], table: TextTable) -> tuple[list[DeadLetter], int]:
    """Tell rows in which one side of a quote bar is empty, which is none, from rows that are broken."""
    if table.records != "bar" or not table.fields:
        return list(dead), 0
    places = [table.columns.index(table.fields[name]) for name in _BAR]
    kept = []
    for letter in dead:
        fields = letter.raw.split(b",")
        is_absent = letter.reason == "missing_field" and not any(
            fields[place].strip() for place in places if place < len(fields)
        )
        if not is_absent:
            kept.append(letter)
    return kept, len(dead) - len(kept)


def _merged(pieces: list[Piece]) -> Iterator[Piece]:
    """Put what several tables of one day hold into one order, and cut it into pieces."""
    if not pieces:
        return
    records = joined([piece.records for piece in pieces])
    if len(pieces) > 1:
        records = records[np.argsort(records["ts_recv"], kind="stable")]
    left_out: dict[str, int] = {}
    for piece in pieces:
        for name, count in piece.left_out.items():
            left_out[name] = left_out.get(name, 0) + count
    dead = [letter for piece in pieces for letter in piece.dead]
    rows = len(records) + len(dead) + sum(left_out.values())
    rest = rows - len(records)
    rounded = sum(piece.rounded for piece in pieces)
    for first in range(0, max(len(records), 1), _PIECE_ROWS):
        part = records[first : first + _PIECE_ROWS]
        is_first = first == 0
        yield Piece(
            part,
            dead if is_first else (),
            len(part) + (rest if is_first else 0),
            left_out if is_first else {},
            rounded if is_first else 0,
        )


def _hours_ns(text: str) -> tuple[int, int]:
    match = _HOURS.match(text)
    if match is None:
        raise ConfigError(f"hours = {text!r} are none", remedy='write them as "09:30-16:00"')
    opens, closes = text.split("-")
    return _minutes_ns(opens), _minutes_ns(closes)


def _minutes_ns(text: str) -> int:
    match = re.fullmatch(r"(\d\d):(\d\d)", text)
    if match is None or int(match[1]) * 60 + int(match[2]) > 1440:
        raise ConfigError(f"{text!r} is no time of day", remedy='write it as "16:00"')
    return (int(match[1]) * 60 + int(match[2])) * 60_000_000_000


FORMAT = Lean()
