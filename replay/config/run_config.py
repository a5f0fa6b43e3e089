"""A run file that was read and checked, with the place of every key; paths in it, made absolute or relative.

May not live here: reading text, checks.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import ClassVar

import msgspec

from replay.config import toml
from replay.config.sections import PATH_SCHEMES, Currency, RunFile, Venue

_CURRENCY_DECIMALS = {
    **dict.fromkeys(("USD", "EUR", "GBP", "CHF", "AUD", "CAD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK"), 2),
    **dict.fromkeys(("HKD", "SGD", "CNY", "CNH", "INR", "MXN", "ZAR", "BRL", "TRY", "ILS", "THB"), 2),
    **dict.fromkeys(("JPY", "KRW", "CLP", "ISK", "VND", "HUF"), 0),
}
_OTHER_CURRENCY_DECIMALS = 8


class RunConfig(RunFile, frozen=True, kw_only=True, eq=False, forbid_unknown_fields=True):
    """A checked run file with the place it came from. Equal if the contents are, wherever the files lie."""

    base_dir: Path
    text: str = ""
    path: Path | None = None
    places: dict[toml.Path, str] = msgspec.field(default_factory=dict)

    SECTIONS: ClassVar[tuple[str, ...]] = RunFile.__struct_fields__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunConfig) and absolute(self) == absolute(other)

    def __hash__(self) -> int:
        return hash(tuple(spec.uri for spec in self.feed))

    def place(self, *path: str | int) -> str:
        """Name the file and line of a key (or the command-line option that set it), or of its nearest parent."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return str(self.path) if self.path else "the configuration"

    def venues(self) -> list[Venue]:
        """The venues of the run, in the order of their index: as listed, or one without fees for each name."""
        if self.venue:
            return list(self.venue)
        return [Venue(name=name) for name in dict.fromkeys(spec.venue for spec in self.instrument)]

    def currencies(self) -> list[Currency]:
        """Every currency that the run names, the account's first, with its decimals."""
        named = {entry.name: entry.decimals for entry in self.currency}
        used = [self.account.currency, *self.account.cash]
        for spec in self.instrument:
            used += [spec.quote, *([spec.base] if spec.base else [])]
        return [
            Currency(name=name, decimals=named.get(name, default_decimals(name))) for name in dict.fromkeys([*used])
        ]


def default_decimals(currency: str) -> int:
    """Return the decimals of a currency that has no [[currency]] entry."""
    return _CURRENCY_DECIMALS.get(currency, _OTHER_CURRENCY_DECIMALS)


def locate(uri: str, base: Path, folder: Path | None = None) -> str:
    """Make the path in a URI absolute from `base`, or relative to `folder`; leave URIs without a path alone."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", uri)
    if scheme and scheme[1].lower() not in PATH_SCHEMES:
        return uri
    prefix, rest = (scheme[0], uri[scheme.end() :]) if scheme else ("", uri)
    path_text, mark, query = rest.partition("?")
    path = (base / path_text).resolve()
    if folder is not None:
        return f"{prefix}{os.path.relpath(path, folder.resolve())}{mark}{query}"
    return f"{prefix}{path}{mark}{query}"


def _locate_class(spec: str, base: Path, folder: Path | None) -> str:
    file, _, name = spec.rpartition(":")
    return f"{locate(file, base, folder)}:{name}" if file.endswith(".py") else spec


def absolute(config: RunConfig, folder: Path | None = None) -> RunFile:
    """Return the contents with paths that no longer depend on where the run file lies."""

    def place(path: str) -> str:
        return locate(path, config.base_dir, folder)

    sections = {name: getattr(config, name) for name in RunFile.__struct_fields__}
    for name in ("feed", "warmup"):
        sections[name] = [
            msgspec.structs.replace(
                spec,
                uri=locate(spec.uri, config.base_dir, folder),
                kafka=None if spec.kafka is None else spec.kafka.located(place),
            )
            for spec in sections[name]
        ]
    sections["strategy"] = [
        msgspec.structs.replace(spec, class_=_locate_class(spec.class_, config.base_dir, folder))
        for spec in config.strategy
    ]
    sections["kafka"] = config.kafka.located(place)
    sections["sink"] = [
        msgspec.structs.replace(spec, kafka=None if spec.kafka is None else spec.kafka.located(place))
        for spec in config.sink
    ]
    file = config.stats.benchmark_file
    if file is not None:
        sections["stats"] = msgspec.structs.replace(config.stats, benchmark=place(file))
    return RunFile(**sections)
