"""Multiplication of integers with exact ratios, rounded half to even.

No float may appear here.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def half_even(numerator: int, denominator: int) -> int:
    """Divide, the denominator above 0, and round half to even."""
    quotient, rest = divmod(numerator, denominator)
    return quotient + (rest * 2 > denominator or (rest * 2 == denominator and quotient % 2 == 1))


def times(values: NDArray[np.int64], ratio: Fraction) -> NDArray[np.int64]:
    """Multiply integers with a ratio; each different number is worked out once."""
    distinct, places = np.unique(values, return_inverse=True)
    made = [half_even(value * ratio.numerator, ratio.denominator) for value in distinct.tolist()]
    return np.array(made, dtype=np.int64)[places]
