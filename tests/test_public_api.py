"""The public names: each can be loaded, is documented, and is known to type checkers as it is at run time.

May not live here: what the names do.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import replay

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(name for name in replay.__all__ if name != "__version__")


def names_for_type_checkers() -> set[str]:
    """Return the names that `if TYPE_CHECKING:` of replay/__init__.py imports."""
    for node in ast.parse((ROOT / "replay" / "__init__.py").read_text()).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return {alias.asname or alias.name for part in ast.walk(node) for alias in getattr(part, "names", [])}
    return set()


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_loads_and_is_documented(name: str) -> None:
    value = getattr(replay, name)
    assert inspect.getdoc(value), f"replay.{name} has no docstring"


@pytest.mark.parametrize("name", NAMES)
def test_public_methods_are_documented(name: str) -> None:
    value = getattr(replay, name)
    if inspect.isclass(value) and value.__module__.startswith("replay"):
        missing = [
            member
            for member, function in vars(value).items()
            if not member.startswith("_") and callable(function) and not inspect.getdoc(function)
        ]
        assert missing == [], f"replay.{name} has methods without a docstring"


def test_type_checkers_know_the_same_names() -> None:
    assert names_for_type_checkers() == set(NAMES)


def test_dir_lists_the_public_names() -> None:
    assert set(NAMES) <= set(dir(replay))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = replay.no_such_name


def test_the_guide_has_every_public_name() -> None:
    listed = re.findall(r"^::: replay\.(\w+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert sorted(listed) == NAMES
