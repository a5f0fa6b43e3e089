"""Plain Python on W2: the tightest sensible loop over lists, with neither events nor orders.

May not live here: another workload, or the measurement.
"""

from __future__ import annotations


def ema_flip(
    bids: list[float], asks: list[float], first_mid: float, alphas: tuple[float, float], band: float, fee: float
) -> tuple[int, float]:
    """Give W2's fills and P&L."""
    alpha_fast, alpha_slow = alphas
    fast = slow = mid = first_mid
    cash, position, fills = 0.0, 0, 0
    for bid, ask in zip(bids, asks, strict=True):
        mid = (bid + ask) * 0.5
        fast += alpha_fast * (mid - fast)
        slow += alpha_slow * (mid - slow)
        gap = fast - slow
        if gap > band:
            if position <= 0:
                cash -= (1 - position) * ask * (1 + fee)
                position, fills = 1, fills + 1
        elif gap < -band and position >= 0:
            cash += (1 + position) * bid * (1 - fee)
            position, fills = -1, fills + 1
    return fills, cash + position * mid
