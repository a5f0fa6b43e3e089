"""hftbacktest's .npz files: trades, best quotes and changes of a book, each with exchange and local time.

May not live here: how columns become records (columns).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.adapters.formats.columns import Columns, Numbers, dead_letters, decimals_of, make_records, scaled
from replay.adapters.formats.text import needed_symbol
from replay.errors import DataError
from replay.feeds.format import Contents, Held, NoOptions, Piece, Request, Scale, not_of_format
from replay.records import FLAG_CLEAR, FLAG_LAST_OF_EVENT, FLAG_SNAPSHOT, Kind, Side, empty, joined

_DEPTH, _TRADE, _CLEAR, _SNAPSHOT, _BBO = 1, 2, 3, 4, 5
_BOOK = (_DEPTH, _CLEAR, _SNAPSHOT)
_EXCHANGE, _BUY, _SELL = 1 << 31, 1 << 29, 1 << 28
_FIELDS = ("ev", "exch_ts", "local_ts", "px", "qty")
_PIECE_ROWS = 1 << 16
_NAME = re.compile(r"^([A-Za-z0-9-]+?)(?:_\d{8}.*)?$")


class HftBacktest:
    """The array `data` of rows ev, exch_ts, local_ts, px, qty, ..; times in nanoseconds, UTC.

    Rows that only the local side sees (where receipt and event go in different orders) are left out: they are repeats.
    """

    name = "hftbacktest"
    summary = "hftbacktest npz: trades, best quotes, changes of a book"
    suffixes = (".npz",)
    options: type[msgspec.Struct] = NoOptions

    def sniff(self, path: Path, head: bytes) -> bool:
        """Know a file by its suffix alone: an .npz of any other kind is refused when it is read."""
        return head.startswith(b"PK\x03\x04") and path.suffix.lower() == ".npz"

    def contents(self, request: Request) -> Contents:
        """Say what the file holds."""
        rows = _rows(request)
        symbol = needed_symbol(request, _symbol(request.path))
        types = set(np.unique(rows["ev"] & 0xFF).tolist())
        kinds = [
            *(["quote"] if _BBO in types else []),
            *(["trade"] if _TRADE in types else []),
            *(["book"] if types & set(_BOOK) else []),
        ]
        priced = rows[(rows["ev"] & 0xFF) != _CLEAR]
        return Contents(
            instruments=[
                Held(
                    symbol=symbol,
                    kinds=[kind for kind in kinds if request.wants(kind)],
                    price_decimals=_known(decimals_of([Numbers(priced["px"])]), "prices", request),
                    size_decimals=_known(decimals_of([Numbers(priced["qty"])]), "sizes", request),
                )
            ],
            one_time=False,
            rows=len(rows),
            notes=["the symbol is that of the file's name"] if request.symbol is None else [],
        )

    def read(self, request: Request, scales: Mapping[str, Scale]) -> Iterator[Piece]:
        """Give the rows in pieces, in the order of their receipt."""
        rows = _rows(request)
        symbol = needed_symbol(request, _symbol(request.path))
        is_seen = (rows["ev"] & _EXCHANGE) != 0
        order = np.argsort(np.where(is_seen, rows["local_ts"], np.iinfo(np.int64).max), kind="stable")
        count = int(np.count_nonzero(is_seen))
        local_only = len(rows) - count
        best = _BestQuotes()
        # Pieces end where the time does, so that no message is cut.
        changes = np.flatnonzero(np.diff(rows["local_ts"][order[:count]])) + 1
        first = 0
        while first < count or first == 0:
            later = int(np.searchsorted(changes, first + _PIECE_ROWS))
            limit = int(changes[later]) if later < len(changes) else count
            places = order[first:limit]
            piece = self._piece(rows[places], places, symbol, request, scales, best)
            if first == 0 and local_only:
                left_out = dict(piece.left_out) | {"local_only": local_only}
                piece = piece._replace(rows=piece.rows + local_only, left_out=left_out)
            yield piece
            first = max(limit, 1)

    def _piece(
        self,
        rows: NDArray[Any],
        places: NDArray[np.int64],
        symbol: str,
        request: Request,
        scales: Mapping[str, Scale],
        best: _BestQuotes,
    ) -> Piece:
        scale = scales.get(symbol)
        if scale is None:
            return Piece(rows=len(rows), left_out={"not_named": len(rows)}, records=empty(0))
        types = rows["ev"] & 0xFF
        parts: list[tuple[NDArray[Any], NDArray[np.int64]]] = []
        dead: list[Any] = []
        rounded = 0
        kinds: dict[str, Any] = {"trade": types == _TRADE, "book": np.isin(types, _BOOK), "quote": types == _BBO}
        left_out: dict[str, int] = {}
        known = np.zeros(len(rows), dtype=np.bool_)
        for kind, mine in kinds.items():
            known |= mine
            if not mine.any() or not request.wants(kind):
                if mine.any():
                    left_out[f"{kind}s"] = int(np.count_nonzero(mine))
                continue
            own = np.flatnonzero(mine)
            if kind == "trade":
                made = make_records(
                    _trades(rows[mine], symbol), scales, str(request.path), round_excess=request.round_excess
                )
                named = [(int(places[own[row]]), reason, field) for row, reason, field in made.dead]
                dead += dead_letters(made._replace(dead=named), str(request.path), 0, lambda row: f"row {row + 1}")
                rounded += made.rounded
                parts.append((made.records, own[made.rows]))
                continue
            raw = _book(rows[mine], scale, request)
            parts.append((raw, own) if kind == "book" else best.quotes(raw, own))
            if kind == "quote":
                left_out["sides"] = len(raw) - len(parts[-1][0])
        if not known.all():
            left_out["other_events"] = int(np.count_nonzero(~known))
        records = joined([part for part, _ in parts])
        if len(parts) > 1:
            records = records[np.argsort(np.concatenate([own for _, own in parts]), kind="stable")]
        return Piece(records, dead, len(rows), left_out, rounded)


def _rows(request: Request) -> NDArray[Any]:
    try:
        with np.load(request.path, allow_pickle=False) as archive:
            if "data" not in archive.files:
                raise not_of_format("hftbacktest", f"it has no array 'data' but {archive.files}", str(request.path))
            rows: NDArray[Any] = archive["data"]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise not_of_format("hftbacktest", str(error), str(request.path)) from None
    missing = [name for name in _FIELDS if name not in (rows.dtype.names or ())]
    if missing:
        raise not_of_format(
            "hftbacktest",
            f"its rows have no {', '.join(missing)} (files of hftbacktest 1 are plain arrays)",
            str(request.path),
        )
    return rows


def _symbol(path: Path) -> str | None:
    match = _NAME.match(path.name.removesuffix(".npz"))
    return match[1].upper() if match else None


def _known(decimals: int | None, what: str, request: Request) -> int:
    if decimals is None and not request.round_excess:
        raise DataError(
            f"the {what} are floats with more than 12 decimals",
            reason="excess_decimals",
            place=str(request.path),
            remedy='give the decimals of price and size, and excess_decimals = "round"',
        )
    return 9 if decimals is None else decimals


def _sides(rows: NDArray[Any]) -> NDArray[Any]:
    is_buy, is_sell = (rows["ev"] & _BUY) != 0, (rows["ev"] & _SELL) != 0
    return np.where(is_buy, int(Side.BUY), np.where(is_sell, int(Side.SELL), int(Side.NONE))).astype(np.uint8)


def _trades(rows: NDArray[Any], symbol: str) -> Columns:
    return Columns(
        kind="trade",
        names=[symbol],
        times_ns=rows["exch_ts"].astype(np.int64),
        receive_ns=rows["local_ts"].astype(np.int64),
        numbers={"price": Numbers(rows["px"]), "size": Numbers(rows["qty"])},
        side=_sides(rows),
    )


def _book(rows: NDArray[Any], scale: Scale, request: Request) -> NDArray[Any]:
    """Make changes of a book: a level's new size, a clearing of one or both sides; messages end where times change."""
    records = empty(len(rows))
    records["ts_event"], records["ts_recv"] = rows["exch_ts"], rows["local_ts"]
    records["kind"], records["instrument"] = Kind.BOOK, scale.index
    types = rows["ev"] & 0xFF
    is_clear = types == _CLEAR
    for name, field, decimals in (("a", "px", scale.price_decimals), ("b", "qty", scale.size_decimals)):
        values = np.where(is_clear & (name == "b"), 0.0, rows[field])
        raw, excess = scaled(Numbers(np.where(np.isfinite(values), values, 0.0)), decimals)
        if excess.any() and not request.round_excess:
            raise DataError(
                f"{float(rows[field][excess][0])!r} has more than the {decimals} decimals of its instrument",
                reason="excess_decimals",
                place=str(request.path),
                remedy='set the decimals of the instrument, or excess_decimals = "round" for the feed',
            )
        records[name] = raw
    records["side"] = _sides(rows)
    flags = is_clear * FLAG_CLEAR + (types == _SNAPSHOT) * FLAG_SNAPSHOT
    times_ns = rows["local_ts"]
    is_last = np.append(times_ns[1:] != times_ns[:-1], True) if len(rows) else np.zeros(0, np.bool_)
    records["flags"] = flags + is_last * FLAG_LAST_OF_EVENT
    return records


class _BestQuotes:
    """Puts the two sides of best quotes, which come as rows of their own, together."""

    def __init__(self) -> None:
        self._last = {int(Side.BUY): (0, 0), int(Side.SELL): (0, 0)}

    def quotes(self, rows: NDArray[Any], places: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return a quote after the last of the rows of one time, and the places of these rows."""
        quotes = rows.copy()
        quotes["kind"], quotes["flags"] = Kind.QUOTE, 0
        side = rows["side"].copy()
        quotes["side"] = 0
        for wanted, price, size in ((int(Side.BUY), "a", "c"), (int(Side.SELL), "b", "d")):
            given = np.maximum.accumulate(np.where(side == wanted, np.arange(len(rows)), -1))
            for number, (source, target) in enumerate((("a", price), ("b", size))):
                values = rows[source][np.maximum(given, 0)]
                quotes[target] = np.where(given >= 0, values, self._last[wanted][number])
            if len(rows):
                self._last[wanted] = (int(quotes[price][-1]), int(quotes[size][-1]))
        is_last = (rows["flags"] & FLAG_LAST_OF_EVENT) != 0
        return quotes[is_last], places[is_last]


FORMAT = HftBacktest()
