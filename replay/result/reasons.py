"""Names of the reason codes that stand in the event log; the table is that of engine_rs/core/src/reason.rs.

May not live here: when a reason applies, or how an event is shown.
"""

from __future__ import annotations

REASONS: tuple[str, ...] = (
    "none",
    "warming_up",
    "insufficient_funds",
    "max_order_size",
    "max_order_notional",
    "max_position",
    "min_notional",
    "expired_on_arrival",
    "no_session",
    "no_market",
    "no_liquidity",
    "immediate_or_cancel",
    "fill_or_kill",
    "requested",
    "order_filled",
    "below_filled",
    "already_triggered",
    "strategy_halted",
    "operator",
    "unpayable",
    "order_canceled",
    "order_expired",
    "order_rejected",
    "paused",
    "risk_switch",
    "order_rate",
)
"""Name by code; a test compares it with the engine's source."""


def reason_name(code: int) -> str:
    """Give the name of a reason code, or `reason_N` for one that this version does not know."""
    return REASONS[code] if code < len(REASONS) else f"reason_{code}"
