"""The run file: its sections as typed structures, read from TOML with errors that name file, line and choices.

Only names are gathered here; opening feeds and importing strategies is `replay.setup`'s.
"""

from replay.config.reading import DEFAULT_RUN_FILE, from_mapping, load, parse, resolved
from replay.config.reference import schema_markdown
from replay.config.run_config import RunConfig, default_decimals
from replay.config.sections import (
    FEED_COLUMNS,
    SOURCES,
    Account,
    Currency,
    FeedSpec,
    Fees,
    Instrument,
    Latency,
    Log,
    Metrics,
    Risk,
    Run,
    RunFile,
    SinkSpec,
    StrategySpec,
    SymbolColumn,
    TimeColumn,
    Venue,
    text_format,
)
from replay.config.values import DecimalText, DurationText, TimeText

__all__ = [
    "DEFAULT_RUN_FILE",
    "FEED_COLUMNS",
    "SOURCES",
    "Account",
    "Currency",
    "DecimalText",
    "DurationText",
    "FeedSpec",
    "Fees",
    "Instrument",
    "Latency",
    "Log",
    "Metrics",
    "Risk",
    "Run",
    "RunConfig",
    "RunFile",
    "SinkSpec",
    "StrategySpec",
    "SymbolColumn",
    "TimeColumn",
    "TimeText",
    "Venue",
    "default_decimals",
    "from_mapping",
    "load",
    "parse",
    "resolved",
    "schema_markdown",
    "text_format",
]
