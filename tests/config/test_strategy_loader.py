"""Strategies are found by file or module, their parameters checked by annotation, their mistakes named.

No run is started.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from replay import config
from replay.errors import ConfigError, StrategyError
from replay.setup import load_strategies

from .run_file import RUN_FILE

SOURCE = """\
from decimal import Decimal

from replay import Strategy

from beside import NUMBER


class SmaCross(Strategy):
    symbol: str = "X"
    fast: int = 20
    slow: int = 50
    ratio: float = 0.5
    limit: Decimal = Decimal("1.5")
    reverse: bool = False


class Other(Strategy):
    pass


class NoStrategy:
    pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "sma_cross.py").write_text(SOURCE)
    (tmp_path / "strategies" / "beside.py").write_text("NUMBER = 5\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("replay_user_") or name in ("sma_cross", "beside"):
            del sys.modules[name]


def loaded(folder: Path, *sets: str, text: str = RUN_FILE) -> list[Any]:
    return list(load_strategies(config.parse(text, path=folder / "run.toml", sets=sets)))


def error_of(folder: Path, *sets: str, text: str = RUN_FILE) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, *sets, text=text)
    return caught.value


def test_a_class_in_a_file_gets_its_parameters(folder: Path) -> None:
    (strategy,) = loaded(
        folder, "strategy.0.params.fast=10", "strategy.0.params.ratio=2", "strategy.0.params.limit='0.1'"
    )
    assert type(strategy).__name__ == "SmaCross"
    assert (strategy.symbol, strategy.fast, strategy.slow) == ("BTCUSDT", 10, 50)
    assert strategy.ratio == 2.0
    assert isinstance(strategy.ratio, float)
    assert strategy.limit == Decimal("0.1")
    assert strategy.reverse is False


def test_a_class_in_a_module_is_imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder / "strategies")
    (strategy,) = loaded(folder, "strategy.0.class='sma_cross:SmaCross'")
    assert type(strategy).__module__ == "sma_cross"


def test_the_same_class_can_run_twice_with_other_parameters(folder: Path) -> None:
    second = '[[strategy]]\nclass = "strategies/sma_cross.py:SmaCross"\nname = "b"\nparams = { fast = 3 }\n[[feed]]'
    first, other = loaded(folder, text=RUN_FILE.replace("[[feed]]", second, 1))
    assert (first.fast, other.fast) == (20, 3)


def test_a_missing_file_is_named_with_its_line(folder: Path) -> None:
    error = error_of(folder, text=RUN_FILE.replace("sma_cross.py", "sma_cros.py"))
    assert error.place == f"{folder / 'run.toml'}:8"
    assert "there is no strategy file" in error.message
    assert error.remedy is not None
    assert "did you mean 'sma_cross.py'?" in error.remedy


def test_a_missing_module_is_named(folder: Path) -> None:
    error = error_of(folder, "strategy.0.class='no.such.module:SmaCross'")
    assert "there is no module 'no.such.module'" in error.message
    assert error.place == "--set strategy.0.class='no.such.module:SmaCross'"


def test_a_missing_class_is_named_with_the_choices(folder: Path) -> None:
    error = error_of(folder, text=RUN_FILE.replace(":SmaCross", ":SmaCros"))
    assert "has no class 'SmaCros'" in error.message
    assert error.remedy == "did you mean 'SmaCross'? choices: SmaCross, Other"


def test_a_class_that_is_no_strategy_is_refused(folder: Path) -> None:
    error = error_of(folder, text=RUN_FILE.replace(":SmaCross", ":NoStrategy"))
    assert "is no strategy" in error.message


def test_an_unknown_parameter_is_named_with_line_and_nearest_name(folder: Path) -> None:
    error = error_of(folder, text=RUN_FILE.replace("fast = 20", "fats = 20"))
    assert error.place == f"{folder / 'run.toml'}:10"
    assert "SmaCross has no parameter 'fats'" in error.message
    assert error.remedy is not None
    assert error.remedy.startswith("did you mean 'fast'? choices: symbol, fast, slow")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("fast", "'ten'", "parameter 'fast' of SmaCross is int, and 'ten' is not"),
        ("fast", "2.5", "is int, and 2.5 is not"),
        ("fast", "true", "is int, and True is not"),
        ("symbol", "5", "is str, and 5 is not"),
        ("ratio", "'x'", "is float, and 'x' is not"),
        ("reverse", "1", "is bool, and 1 is not"),
        ("limit", "'x'", "is Decimal, and 'x' is not"),
    ],
)
def test_a_parameter_of_the_wrong_type_is_named(key: str, value: str, words: str, folder: Path) -> None:
    error = error_of(folder, f"strategy.0.params.{key}={value}")
    assert words in error.message
    assert error.place == f"--set strategy.0.params.{key}={value}"


def test_a_file_that_is_not_python_is_named_with_its_own_line(folder: Path) -> None:
    path = folder / "strategies" / "sma_cross.py"
    path.write_text("x = 1\ndef broken(:\n")
    error = error_of(folder)
    assert error.place == f"{path}:2"
    assert "def broken(:" in error.message


def test_a_file_that_raises_is_the_users_error_with_its_cause(folder: Path) -> None:
    (folder / "strategies" / "sma_cross.py").write_text("raise RuntimeError('mine')\n")
    with pytest.raises(StrategyError, match="RuntimeError: mine") as caught:
        loaded(folder)
    assert caught.value.handler == "import"
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_file_that_imports_what_is_missing_is_the_users_error(folder: Path) -> None:
    (folder / "strategies" / "sma_cross.py").write_text("import no_such_thing\n")
    with pytest.raises(StrategyError, match="no_such_thing"):
        loaded(folder)


def test_a_constructor_that_raises_is_the_users_error(folder: Path) -> None:
    text = SOURCE.replace(
        "class Other", "    def __init__(self, **values):\n        raise ValueError('no')\n\n\nclass Other"
    )
    (folder / "strategies" / "sma_cross.py").write_text(text)
    with pytest.raises(StrategyError, match="ValueError: no") as caught:
        loaded(folder)
    assert caught.value.handler == "__init__"


def test_an_annotation_that_is_no_parameters_is_named_with_its_class(folder: Path) -> None:
    path = folder / "strategies" / "sma_cross.py"
    path.write_text("from replay import Strategy\n\nclass SmaCross(Strategy):\n    levels: list[int] = []\n")
    error = error_of(folder)
    assert "SmaCross.levels is annotated list[int]" in error.message
    assert error.place == f"{path}:3"


def test_a_file_that_exits_is_the_users_error(folder: Path) -> None:
    (folder / "strategies" / "sma_cross.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(StrategyError, match="SystemExit"):
        loaded(folder)


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        ("async def on_bar(self, bar): ...", "on_bar is asynchronous"),
        ("def on_tick(self, tick): ...", "on_tick is no handler"),
    ],
)
def test_a_handler_that_would_never_run_is_refused(handler: str, words: str, folder: Path) -> None:
    path = folder / "strategies" / "sma_cross.py"
    path.write_text(f"from replay import Strategy\n\nclass SmaCross(Strategy):\n    {handler}\n")
    assert words in error_of(folder).message
