"""TOML text: the line on which each key stands, and writing values back as text.

No meaning of any key may live here; reading values is the standard library's `tomllib`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time

Path = tuple[str | int, ...]
"""Where a value stands: keys and list indices from the root, as `("strategy", 0, "params", "fast")`."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = " \t"
_BLANK = " \t\r\n"


def lines(text: str) -> dict[Path, int]:
    """Map the path of every table, list item and key of valid TOML text to its line, counted from 1."""
    return _Scanner(text).scan()


class _Scanner:
    """Walks text that tomllib has accepted; it therefore checks nothing."""

    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.found: dict[Path, int] = {}
        self.list_lengths: dict[Path, int] = {}
        self.line_starts = [0] + [found.end() for found in re.finditer("\n", self.text)]

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip_blank() < len(self.text):
            if self.text.startswith("[[", self.at):
                self.at += 2
                table = self._open_list_item(self._keys("]"))
                self.at += 2
            elif self.text[self.at] == "[":
                self.at += 1
                line = self._line()
                table = self._current(self._keys("]"))
                self._note(table, line)
                self.at += 1
            else:
                self._key_value(table)
        return self.found

    def _line(self) -> int:
        low, high = 0, len(self.line_starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.line_starts[middle] <= self.at else (low, middle)
        return low + 1

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self.found.setdefault(path[:length], line)

    def _current(self, keys: list[str]) -> Path:
        """Return the path that a header means: each list on the way stands for its latest item."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            if path in self.list_lengths:
                path = (*path, self.list_lengths[path] - 1)
        return path

    def _open_list_item(self, keys: list[str]) -> Path:
        line = self._line()
        path = (*self._current(keys[:-1]), keys[-1])
        index = self.list_lengths.get(path, 0)
        self.list_lengths[path] = index + 1
        self._note((*path, index), line)
        return (*path, index)

    def _skip_blank(self) -> int:
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text[self.at] in _BLANK:
                self.at += 1
            else:
                break
        return self.at

    def _keys(self, stop: str) -> list[str]:
        keys: list[str] = []
        while self.text[self.at] != stop:
            character = self.text[self.at]
            if character in "\"'":
                keys.append(self._string())
            elif character in _SPACE or character == ".":
                self.at += 1
            else:
                match = _BARE_KEY.match(self.text, self.at)
                assert match is not None, "tomllib accepted the key"
                keys.append(match[0])
                self.at = match.end()
        return keys

    def _key_value(self, table: Path) -> None:
        line = self._line()
        path: Path = (*table, *self._keys("="))
        self._note(path, line)
        self.at += 1
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip_blank()
        character = self.text[self.at]
        if character in "\"'":
            self._string()
        elif character == "[":
            self._list(path)
        elif character == "{":
            self._inline_table(path)
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\n":
                self.at += 1

    def _list(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self.text[self._skip_blank()] != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._note((*path, index), self._line())
            self._value((*path, index))
            index += 1
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while self.text[self._skip_blank()] != "}":
            if self.text[self.at] == ",":
                self.at += 1
            else:
                self._key_value(path)
        self.at += 1

    def _string(self) -> str:
        quote = self.text[self.at]
        fence = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        start = self.at
        self.at += len(fence)
        while not self.text.startswith(fence, self.at):
            self.at += 2 if self.text[self.at] == "\\" and quote == '"' else 1
        self.at += len(fence)
        while len(fence) == 3 and self.text.startswith(quote, self.at):
            self.at += 1  # a multi-line string may end in up to two quotes of its own
        value: str = tomllib.loads(f"key = {self.text[start : self.at]}")["key"]
        return value


def dump(data: Mapping[str, object]) -> str:
    """Write a mapping as TOML: scalars first, then tables, then lists of tables; None is left out."""
    blocks: list[str] = []
    top = [f"{_key(key)} = {value_text(value)}" for key, value in data.items() if not _is_section(value)]
    if any(value is not None for value in data.values()) and top:
        blocks.append("\n".join(top))
    for key, value in data.items():
        if isinstance(value, Mapping):
            blocks.append("\n".join([f"[{_key(key)}]", *_pairs(value)]))
        elif _is_section(value):
            assert isinstance(value, Sequence)
            blocks += ["\n".join([f"[[{_key(key)}]]", *_pairs(item)]) for item in value]
    return "\n\n".join(blocks) + "\n"


def value_text(value: object) -> str:
    """Write one value as TOML text on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string_text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {value_text(item)}" for key, item in value.items() if item is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(value_text(item) for item in value)}]"
    raise TypeError(f"{type(value).__name__} has no form in TOML")


def _pairs(table: Mapping[str, object]) -> list[str]:
    return [f"{_key(key)} = {value_text(value)}" for key, value in table.items() if value is not None]


def _is_section(value: object) -> bool:
    if value is None or isinstance(value, Mapping):
        return True
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string_text(key)


def _float_text(value: float) -> str:
    if value != value:
        return "nan"
    text = repr(value)
    return text if any(mark in text for mark in ".einf") else f"{text}.0"


def _string_text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
