"""What the command line changes in a run file: `--set a.b=value` and `--feed URI`.

May not live here: checks of the values; the changed file is checked as a whole afterwards.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from replay.config import toml
from replay.config.explain import dotted
from replay.config.run_config import locate
from replay.config.sections import text_format
from replay.config.values import kind_of
from replay.errors import ConfigError, UsageError, choose


def apply_set(data: dict[str, Any], expression: str, places: dict[toml.Path, str]) -> None:
    """Apply one `a.b=value` to the raw data, and note the option as the place of that key."""
    place = f"--set {expression}"
    key_text, equals, value_text = expression.partition("=")
    keys = [part.strip() for part in key_text.split(".")]
    if not equals or not all(keys):
        raise ConfigError("is not PATH=VALUE", place=place, remedy="write it as --set strategy.0.params.fast=10")
    path: toml.Path = tuple(int(key) if key.isascii() and key.isdigit() else key for key in keys)
    exact = not (path[0] == "strategy" and "params" in path)
    value = _set_value(value_text.strip(), place, exact=exact)
    target: Any = data
    for position, part in enumerate(path):
        last = position == len(path) - 1
        _check_step(target, path, position, place)
        if last:
            _store(target, part, value)
        else:
            empty: Any = [] if isinstance(path[position + 1], int) else {}
            if isinstance(target, list):
                if part == len(target):
                    target.append(empty)
            elif part not in target:
                target[part] = empty
            target = target[part]
    for known in [known for known in places if known[: len(path)] == path]:
        del places[known]
    places[path] = place


def _check_step(target: Any, path: toml.Path, position: int, place: str) -> None:
    part, so_far = path[position], dotted(path[:position]) or "the run file"
    if isinstance(target, list):
        if not isinstance(part, int):
            raise ConfigError(
                f"{so_far} is a list, and {part!r} is no index",
                place=place,
                remedy=f"name the entry: {so_far}.0.{dotted(path[position:])}",
            )
        if part > len(target):
            raise ConfigError(
                f"{so_far} has no entry {part}", place=place, remedy=f"the entries are 0 to {len(target) - 1}"
            )
    elif not isinstance(target, dict):
        raise ConfigError(f"{so_far} is {kind_of(target)} and has no keys", place=place)
    elif isinstance(part, int):
        raise ConfigError(f"{so_far} is a table, and {part} is no key", place=place, remedy=choose(str(part), target))


def _store(target: Any, part: str | int, value: object) -> None:
    if isinstance(target, list) and part == len(target):
        target.append(value)
    else:
        target[part] = value


def _set_value(text: str, place: str, *, exact: bool) -> object:
    """Read a TOML value; keep a float's text where the key is exact; take a bare word as text."""
    parse_float: Callable[[str], Any] = str if exact else float
    try:
        value: object = tomllib.loads(f"value = {text}", parse_float=parse_float)["value"]
    except tomllib.TOMLDecodeError:
        if re.fullmatch(r"[^\s\"'\[\]{}=#,][^\"'\[\]{}\n]*", text):
            return text
        raise ConfigError(
            f"{text!r} is neither a TOML value nor a bare word",
            place=place,
            remedy="quote it for the shell too, as in --set 'run.warmup=\"2h\"'",
        ) from None
    return text if exact and hasattr(value, "isoformat") else value


def replace_feeds(data: dict[str, Any], uris: list[str], places: dict[toml.Path, str]) -> None:
    """Put feeds with these URIs in place of the file's; a single text feed of the same format keeps its columns."""
    if not uris:
        raise UsageError("--feed needs a URI")
    before = data.get("feed")
    only = before[0] if isinstance(before, list) and len(before) == 1 and isinstance(before[0], dict) else None
    feeds: list[dict[str, Any]] = []
    for uri in uris:
        # a path on the command line starts where the user stands, not where the run file lies
        located = locate(uri, Path.cwd())
        kept_format = text_format(str(only.get("uri", ""))) if only else None
        keeps = only is not None and kept_format is not None and kept_format == text_format(located)
        feeds.append({**(only if keeps and only else {}), "uri": located})
    data["feed"] = feeds
    for known in [known for known in places if known[0] == "feed"]:
        del places[known]
    for index, uri in enumerate(uris):
        places["feed", index] = f"--feed {uri}"
