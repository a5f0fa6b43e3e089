"""The reference table of the run file, written from the docstrings of its sections.

No fact about a key may stand here.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from replay.config import toml
from replay.config.sections import (
    Account,
    ClockJump,
    Control,
    Currency,
    DiskSwitch,
    Drawdown,
    FeedSpec,
    Fees,
    Hours,
    Instrument,
    Kafka,
    Latency,
    Log,
    Metrics,
    OrderRate,
    PositionSwitch,
    Risk,
    Run,
    Section,
    SessionSection,
    SinkSpec,
    StaleFeed,
    Stats,
    StrategySpec,
    SymbolColumn,
    TimeColumn,
    Venue,
)
from replay.config.values import DecimalText, DurationText, ShareText, SizeText, TimeText


def schema_markdown() -> str:
    """Write the reference table of the run file from the docstrings of its sections."""
    parts: list[str] = []
    for section in (
        Run, StrategySpec, FeedSpec, TimeColumn, SymbolColumn, SinkSpec, Kafka, Instrument, Hours, Venue, Fees, Latency,
        Account, Risk, Drawdown, PositionSwitch, OrderRate, StaleFeed, ClockJump, DiskSwitch, Control, Metrics, Log,
        Currency, SessionSection, Stats,
    ):  # fmt: skip
        head, _, rest = (section.__doc__ or "").partition("\n")
        notes = dict(line.strip().split(": ", 1) for line in rest.splitlines() if ": " in line)
        title, _, sentence = head.partition(": ")
        parts += [f"### {title}", "", sentence[:1].upper() + sentence[1:], "", "| key | type | default | what it is |"]
        parts.append("|---|---|---|---|")
        for info in msgspec.structs.fields(section):
            default = "required" if info.required else _default_text(info)
            kind = _type_text(info.type)
            parts.append(f"| `{info.encode_name}` | {kind} | {default} | {notes.get(info.encode_name, '')} |")
        parts.append("")
    return "\n".join(parts)


def _default_text(info: msgspec.structs.FieldInfo) -> str:
    if info.default_factory is not msgspec.NODEFAULT:
        return f"`{toml.value_text(info.default_factory())}`"
    if info.default is None or info.default in ("", -1):
        return "-"
    if isinstance(info.default, Section):
        return "its defaults"
    return f"`{toml.value_text(info.default)}`"


def _type_text(kind: Any) -> str:
    names = {
        DecimalText: "decimal", ShareText: "percentage", SizeText: "size", DurationText: "duration", TimeText: "time",
        str: "text", int: "integer", bool: "bool",
    }  # fmt: skip
    if kind in names:
        return names[kind]
    arguments = get_args(kind)
    if hasattr(kind, "__metadata__"):
        return _type_text(arguments[0])
    if arguments and all(isinstance(argument, str) for argument in arguments):
        return ", ".join(f"`{argument}`" for argument in arguments)
    if isinstance(kind, type) and issubclass(kind, Section):
        return "table"
    origin = getattr(kind, "__origin__", None)
    if origin is dict:
        return "table"
    if origin in (list, tuple):
        return "list"
    return " or ".join(_type_text(argument) for argument in arguments if argument is not type(None))
