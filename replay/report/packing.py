"""Columns packed for a page: differences, as few bytes as they need, byte planes, deflate, base64; exact.

May not live here: which columns a page has. Its other half, which unpacks them, is page/packing.js.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_EXACT_LIMIT = 2**52
"""JavaScript's numbers hold integers below this exactly, and twice as large ones."""
_LEVEL = 6


@dataclass(frozen=True)
class Packed:
    """One column: what page/packing.js must know of it, and its bytes as base64."""

    count: int
    width: int
    """Bytes per value."""
    order: int
    """How often differences were taken: 0, 1 or 2."""
    decimals: int
    """Values are integers in units of 10^-decimals."""
    text: str

    def to_builtins(self) -> dict[str, Any]:
        """Give what stands beside the bytes."""
        return {"count": self.count, "width": self.width, "order": self.order, "decimals": self.decimals}


def pack_integers(values: ArrayLike, decimals: int = 0) -> Packed:
    """Pack integers below 2^52 in magnitude. Raises ValueError for larger ones."""
    whole = np.asarray(values, dtype=np.int64)
    if len(whole) and max(int(whole.max()), -int(whole.min())) >= _EXACT_LIMIT:
        raise ValueError("a value is 2^52 or larger: a page could not show it exactly")
    best: tuple[int, int, NDArray[np.uint64]] | None = None
    coded = whole
    for order in range(3):
        zigzag = ((coded << 1) ^ (coded >> 63)).view(np.uint64)
        weight = _bits(zigzag)
        is_exact = not len(zigzag) or int(zigzag.max()) < 2 * _EXACT_LIMIT
        if best is None or (is_exact and weight < best[0]):
            best = (weight, order, zigzag)
        if len(coded) < 2 or order == 2:
            break
        coded = np.diff(coded, prepend=0)
    assert best is not None
    _, order, zigzag = best
    width = max((int(zigzag.max()).bit_length() + 7) // 8, 1) if len(zigzag) else 1
    planes = zigzag.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width].T
    return Packed(len(whole), width, order, decimals, _text(np.ascontiguousarray(planes).tobytes()))


def pack_floats(values: ArrayLike, decimals: int) -> Packed:
    """Pack floats rounded to `decimals` digits (fewer where they would be too large); NaN becomes null on the page."""
    given = np.asarray(values, dtype=np.float64)
    is_known = np.isfinite(given)
    known = given[is_known]
    largest = float(np.max(np.abs(known))) if len(known) else 0.0
    while decimals > 0 and largest * 10**decimals >= _EXACT_LIMIT / 8:
        decimals -= 1
    scaled = np.zeros(len(given), dtype=np.int64)
    scaled[is_known] = np.rint(np.clip(known * 10.0**decimals, -_EXACT_LIMIT / 8, _EXACT_LIMIT / 8)).astype(np.int64)
    if not is_known.all():
        # A value that no other has stands for null; packing.js takes the least of all.
        scaled[~is_known] = int(scaled.min(initial=0)) - 1
        packed = pack_integers(scaled, decimals)
        return Nullable(packed.count, packed.width, packed.order, packed.decimals, packed.text)
    return pack_integers(scaled, decimals)


class Nullable(Packed):
    """A column whose lowest value stands for null."""

    def to_builtins(self) -> dict[str, Any]:
        """Give what stands beside the bytes."""
        return {**super().to_builtins(), "nullable": True}


def pack_bytes(data: bytes) -> str:
    """Give bytes deflated, as base64."""
    return _text(data)


def decimals_for(values: ArrayLike, at_most: int) -> int:
    """Give as many decimals as tell values apart that differ by a hundred-millionth of the largest."""
    given = np.abs(np.asarray(values, dtype=np.float64))
    largest = float(np.max(given[np.isfinite(given)], initial=0.0))
    if largest == 0.0:
        return min(2, at_most)
    return int(np.clip(np.ceil(8 - np.log10(largest)), 0, at_most))


def _bits(zigzag: NDArray[np.uint64]) -> int:
    """Estimate what a column costs: the sum of the lengths of its numbers in bits."""
    if not len(zigzag):
        return 0
    return int(np.sum(np.log2(zigzag.astype(np.float64) + 1.0)))


def _text(data: bytes) -> str:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(packer.compress(data) + packer.flush()).decode("ascii")
