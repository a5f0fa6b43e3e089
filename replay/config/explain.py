"""Errors of the TOML reader and of msgspec, retold with file, line, choices and the nearest name.

May not live here: a rule of the run file; only words about rules that others hold.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from replay.config import toml
from replay.config.sections import RunFile
from replay.config.values import DecimalText, kind_of
from replay.errors import ConfigError, choose

NOT_A_RUN_FILE = "a run file ends in .toml; data go into its [[feed]], or behind --feed"


def toml_error(error: tomllib.TOMLDecodeError, name: str, text: str) -> ConfigError:
    """Retell an error of tomllib, with the file and the line in front."""
    message = str(error)
    match = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)", message)
    line = (match[1] if match else None) or str(text.count("\n") + 1)
    fact = message[: match.start()] if match else message
    column = f", column {match[2]}" if match and match[2] else ""
    lines = text.splitlines()
    told = lines[int(line) - 1].strip()[:100] if int(line) <= len(lines) else ""
    remedy = "mend that line" if name.endswith(".toml") or name == "run file" else NOT_A_RUN_FILE
    return ConfigError(
        f"this is not TOML: {fact}{column}",
        place=f"{name}:{line}",
        remedy=f"it reads: {told}\n{remedy}; the rules of TOML: https://toml.io"
        if told
        else f"{remedy}; https://toml.io",
    )


def dotted(path: toml.Path) -> str:
    """Write a path as `--set` takes it."""
    return ".".join(str(part) for part in path)


def _section_name(path: toml.Path) -> str:
    if not path:
        return "the run file"
    if len(path) == 1:
        return f"[{path[0]}]"
    if len(path) == 2 and isinstance(path[1], int):
        return f"[[{path[0]}]]"
    return dotted(path)


def _place(path: toml.Path, places: Mapping[toml.Path, str], name: str | None) -> str:
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return name or (dotted(path) or "the configuration")


def explain(
    error: msgspec.ValidationError, data: Mapping[str, Any], places: Mapping[toml.Path, str], name: str | None
) -> ConfigError:
    """Turn msgspec's message with its `$.path` into fact, place, choices and nearest name."""
    fact, _, where = str(error).rpartition(" - at `$")
    if not fact:
        fact, where = str(error), ""
    path = _parse_path(where.rstrip("`"), data)
    value = _value_at(data, path)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", fact, re.DOTALL)
    if unknown:
        key_path = (*path, unknown[1])
        return ConfigError(
            f"unknown key {unknown[1]!r} in {_section_name(path)}",
            place=_place(key_path, places, name),
            remedy=choose(unknown[1], _keys_at(path, value)),
        )
    missing = re.fullmatch(r"Object missing required field `(.*)`", fact)
    if missing:
        return ConfigError(
            f"{_section_name(path)} lacks the key {missing[1]!r}",
            place=_place(path, places, name),
            remedy=missing_remedy((*path, missing[1])),
        )
    subject = dotted(path)
    place = _place(path, places, name)
    if fact.startswith("Invalid enum value"):
        choices = _choices_at(path, value)
        return ConfigError(
            f"{subject} cannot be {value!r}", place=place, remedy=choose(str(value), [str(c) for c in choices])
        )
    expected = re.match(r"Expected `(.*?)`(.*?)(?:, got (.*))?$", fact)
    if expected:
        limit = expected[2].strip()
        wanted = _wanted(expected[1], path) + (f" {limit}" if limit else "")
        shown = f"{kind_of(value)} ({toml.value_text(value)})" if isinstance(value, _SHOWN) else kind_of(value)
        if limit and isinstance(value, _SHOWN):  # of the right type: what is wrong is the value alone
            shown = toml.value_text(value)
        remedy = _type_remedy(path, value) or _example(expected[1], limit, path)
        return ConfigError(f"{subject} must be {wanted}, not {shown}", place=place, remedy=remedy)
    fact, _, advice = fact.partition(": quote it")
    joint = " " if fact.startswith("must ") else ": "
    return ConfigError(f"{subject}{joint}{fact}", place=place, remedy=f"quote it{advice}" if advice else None)


_SHOWN = (str, int, float)
_TYPE_NAMES = {
    "str": "text in quotes",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
    "null": "nothing",
}


def _wanted(expected: str, path: toml.Path) -> str:
    names = [_TYPE_NAMES.get(part, part) for part in expected.split(" | ") if part != "null"]
    if expected.startswith("array") and len(path) == 1:
        return f"a list: begin each entry with [[{path[0]}]]"
    return " or ".join(names)


def _type_remedy(path: toml.Path, value: object) -> str | None:
    if len(path) == 1 and isinstance(value, Mapping) and path[0] in ("strategy", "feed", "instrument", "venue"):
        return f"write [[{path[0]}]] with two brackets: there may be several"
    return None


def _example(expected: str, limit: str, path: toml.Path) -> str:
    if len(path) == 1 and expected.startswith("object"):
        return f"write [{path[0]}] with one bracket: there is one"
    if limit:
        return "change it, or leave the key out for its default"
    key = path[-1] if path and isinstance(path[-1], str) else "it"
    examples = {"int": f"{key} = 7", "float": f"{key} = 0.5", "str": f'{key} = "text"', "bool": f"{key} = true"}
    example = examples.get(expected.partition(" ")[0])
    return f"write it as {example}" if example else "look it up in docs/run-file.md"


def missing_remedy(path: toml.Path) -> str:
    """Say what to add for a key that is missing."""
    examples = {
        "strategy": '[[strategy]] with class = "strategies/sma_cross.py:SmaCross"',
        "feed": '[[feed]] with uri = "data/market.npy"',
        "instrument": '[[instrument]] with symbol = "BTCUSDT", tick = "0.01", lot = "0.001", quote = "USDT"',
        "account": '[account] with currency = "USDT", cash = { USDT = "100000" }',
        "currency": 'currency = "USDT"',
        "cash": 'cash = { USDT = "100000" }',
        "class": 'class = "strategies/sma_cross.py:SmaCross"',
        "tick": 'tick = "0.01"',
        "lot": 'lot = "0.001"',
        "quote": 'quote = "USDT"',
        "uri": 'uri = "data/market.npy"',
    }
    example = examples.get(str(path[-1]))
    return f"add {example}" if example else f"add {path[-1]}"


def _parse_path(where: str, data: Any) -> toml.Path:
    """Read msgspec's `.venue[0].fees[...]`; the dots of a map stand for the first key whose value cannot be read."""
    path: toml.Path = ()
    for key, index in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", where):
        part: str | int = key or index
        if index == "...":
            table = _value_at(data, path)
            part = next((name for name, item in table.items() if not _readable(item)), next(iter(table), "..."))
        elif index:
            part = int(index)
        path = (*path, part)
    return path


def _readable(value: object) -> bool:
    try:
        DecimalText.parse(value)
    except ValueError:
        return isinstance(value, str) and not value[:1].isdigit()
    return True


def _value_at(data: Any, path: toml.Path) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _type_at(path: toml.Path, value: object) -> Any:
    """Find msgspec's description of the type at a path; of a union, the member that the value looks like."""
    from msgspec import inspect

    def narrow(info: Any, present: object) -> Any:
        members: Iterable[Any] = info.types if isinstance(info, inspect.UnionType) else (info,)
        wanted = inspect.StructType if isinstance(present, Mapping) or present is None else inspect.LiteralType
        ordered = sorted(members, key=lambda member: not isinstance(member, wanted))
        return ordered[0]

    info: Any = inspect.type_info(RunFile)
    for position, part in enumerate(path):
        inner = value if position == len(path) - 1 else ({} if isinstance(path[position + 1], str) else [])
        if isinstance(info, inspect.StructType):
            found = [field.type for field in info.fields if field.encode_name == part]
            if not found:
                return None
            info = found[0]
        elif isinstance(info, inspect.ListType):
            info = info.item_type
        elif isinstance(info, inspect.DictType):
            info = info.value_type
        else:
            return None
        info = narrow(info, inner)
    return info


def _keys_at(path: toml.Path, value: object) -> list[str]:
    from msgspec import inspect

    info = _type_at(path, value)
    return [field.encode_name for field in info.fields] if isinstance(info, inspect.StructType) else []


def _choices_at(path: toml.Path, value: object) -> list[Any]:
    from msgspec import inspect

    info = _type_at(path, value)
    return list(info.values) if isinstance(info, inspect.LiteralType) else []
