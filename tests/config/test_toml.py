"""The lines of keys in TOML text, and values written as TOML that read back equal.

No key of the run file has a meaning here.
"""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.config import toml

SAMPLE = '''# comment [not.a.table]
title = "x # not a comment"
[run]
seed = 7   # a comment with = and [
"quoted key" = 'a]b'
nested.deep.key = 1
[[strategy]]
class = "a"
params = { fast = 1, "slow" = [1, 2, { x = 3 }] }
[[strategy]]
class = """
multi [line]
text"""
after = 1
[strategy.params]
fast = 2
[list]
values = [
  1,   # one
  2,
  [ "]", 3 ],
]
raw = \'\'\'
= [x]
\'\'\'
end = 1979-05-27T07:32:00Z
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("run",), 3),
        (("run", "seed"), 4),
        (("run", "quoted key"), 5),
        (("run", "nested", "deep", "key"), 6),
        (("strategy", 0), 7),
        (("strategy", 0, "params", "fast"), 9),
        (("strategy", 0, "params", "slow", 2, "x"), 9),
        (("strategy", 1), 10),
        (("strategy", 1, "class"), 11),
        (("strategy", 1, "after"), 14),
        (("strategy", 1, "params"), 15),
        (("strategy", 1, "params", "fast"), 16),
        (("list", "values", 0), 19),
        (("list", "values", 2, 1), 21),
        (("list", "raw"), 23),
        (("list", "end"), 26),
    ],
)
def test_every_key_has_its_line(path: toml.Path, line: int) -> None:
    tomllib.loads(SAMPLE)
    assert toml.lines(SAMPLE)[path] == line


def test_lines_count_the_same_with_carriage_returns() -> None:
    assert toml.lines(SAMPLE.replace("\n", "\r\n")) == toml.lines(SAMPLE)


SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5))
def test_what_is_written_reads_back_equal(data: dict[str, Any]) -> None:
    text = toml.dump(data)
    assert tomllib.loads(text) == data


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5))
def test_every_value_of_written_text_has_a_line(data: dict[str, Any]) -> None:
    found = toml.lines(toml.dump(data))

    def visit(value: object, path: toml.Path) -> None:
        assert path in found
        if isinstance(value, dict):
            for key, item in value.items():
                visit(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                visit(item, (*path, index))

    for key, value in data.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for index, item in enumerate(value):
                visit(item, (key, index))
        else:
            visit(value, (key,))
