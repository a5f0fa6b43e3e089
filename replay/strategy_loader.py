"""Loading strategies: from `file.py:Class` or `package.module:Class` and parameters to instances.

May not live here: what a strategy is; that is `replay.strategy`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from replay.config import RunConfig, StrategySpec
from replay.errors import ConfigError, StrategyError, UsageError, choose

if TYPE_CHECKING:
    from replay.strategy import Strategy


def load_strategies(config: RunConfig) -> list[Strategy]:
    """Import the class of each [[strategy]], check its parameters and make the instance.

    Raises ConfigError for a missing file, class or parameter, StrategyError where the user's own code raised.
    """
    return [_Loader(config, index).load() for index in range(len(config.strategy))]


class _Loader:
    def __init__(self, config: RunConfig, index: int) -> None:
        self.config = config
        self.index = index
        self.spec: StrategySpec = config.strategy[index]
        self.source, _, self.class_name = self.spec.class_.rpartition(":")

    def load(self) -> Strategy:
        strategy_class = self._class(self._module())
        values = self._parameters(strategy_class)
        from replay.strategy import make

        try:
            return make(strategy_class, values)
        except ConfigError:
            raise
        except Exception as error:  # whatever the user's __init__ raises is shown as theirs
            raise self._raised("__init__", error) from error

    def _fail(self, message: str, *keys: str, remedy: str | None = None, place: str | None = None) -> ConfigError:
        where = place or self.config.place("strategy", self.index, *(keys or ("class",)))
        return ConfigError(message, place=where, remedy=remedy)

    def _raised(self, handler: str, error: Exception | SystemExit) -> StrategyError:
        remedy = None
        if isinstance(error, ModuleNotFoundError) and error.name:
            package = error.name.partition(".")[0]
            remedy = f"mend the name {package!r}, or install it beside replay: {sys.executable} -m pip install .."
        return StrategyError(self.spec.name, handler, None, "", f"{type(error).__name__}: {error}", remedy=remedy)

    def _module(self) -> ModuleType:
        if self.source.endswith(".py"):
            return self._module_of_file((self.config.base_dir / self.source).resolve())
        return self._module_of_package()

    def _module_of_file(self, path: Path) -> ModuleType:
        if not path.is_file():
            beside = sorted(entry.name for entry in path.parent.glob("*.py")) if path.parent.is_dir() else []
            raise self._fail(
                f"there is no strategy file {path}",
                remedy=choose(path.name, beside) if beside else "paths are relative to the run file",
            )
        if not any(Path(entry or ".").resolve() == path.parent for entry in sys.path):
            sys.path.append(str(path.parent))  # last: a helper beside the strategy is found, nothing is hidden by it
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
        name = f"replay_user_{path.stem}_{digest}"
        module_spec = importlib.util.spec_from_file_location(name, path)
        assert module_spec is not None and module_spec.loader is not None, "a file that ends in .py has a loader"
        module = importlib.util.module_from_spec(module_spec)
        sys.modules[name] = module  # annotations are resolved through it
        try:
            module_spec.loader.exec_module(module)
        except SyntaxError as error:
            del sys.modules[name]
            raise self._syntax(error, path) from error
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise self._raised("import", error) from error
        return module

    def _syntax(self, error: SyntaxError, path: Path | None = None) -> ConfigError:
        line = (error.text or "").strip()
        file = error.filename or (str(path) if path is not None else None)  # none for a file that is not even text
        return self._fail(
            f"{error.msg}: {line}" if line else error.msg,
            place=f"{file}:{error.lineno}" if file and error.lineno else file,
            remedy="this is not Python: mend the strategy's file there, or just before",
        )

    def _module_of_package(self) -> ModuleType:
        try:
            return importlib.import_module(self.source)
        except ModuleNotFoundError as error:
            if error.name is not None and (self.source == error.name or self.source.startswith(f"{error.name}.")):
                raise self._fail(
                    f"there is no module {self.source!r}",
                    remedy="write 'package.module:Class' as it would be imported, or 'file.py:Class'",
                ) from None
            raise self._raised("import", error) from error
        except SyntaxError as error:
            raise self._syntax(error) from error
        except (Exception, SystemExit) as error:
            raise self._raised("import", error) from error

    def _class(self, module: ModuleType) -> type[Strategy]:
        from replay.strategy import Strategy

        found = getattr(module, self.class_name, None)
        if isinstance(found, type) and issubclass(found, Strategy) and found is not Strategy:
            return found
        choices = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, Strategy) and value is not Strategy
        ]
        if found is None:
            raise self._fail(f"{self.source} has no class {self.class_name!r}", remedy=choose(self.class_name, choices))
        raise self._fail(
            f"{self.class_name!r} in {self.source} is no strategy",
            remedy="derive it from replay.Strategy" if not choices else choose(self.class_name, choices),
        )

    def _parameters(self, strategy_class: type[Strategy]) -> dict[str, Any]:
        from replay.strategy import check_types, place_of

        known = strategy_class.parameters()
        try:
            check_types(
                strategy_class,
                {name: entry.default for name, entry in known.items() if entry.default is not inspect.Parameter.empty},
            )
        except UsageError as error:
            raise self._fail(error.message, place=place_of(strategy_class), remedy=error.remedy) from None
        values: dict[str, Any] = {}
        for name, value in self.spec.params.items():
            if name not in known:
                raise self._fail(
                    f"{self.class_name} has no parameter {name!r}",
                    *("params", name),
                    remedy=choose(name, known) if known else "it declares none: add an annotated class attribute",
                )
            values[name] = self._typed(name, value, known[name].type)
        for name, parameter in known.items():
            if name not in values and parameter.default is inspect.Parameter.empty:
                raise self._fail(
                    f"{self.class_name} needs the parameter {name!r}",
                    *("params",),
                    remedy=f"add it to params, or give it a value in the class: {name}: {_name(parameter.type)} = ...",
                )
        return values

    def _typed(self, name: str, value: object, wanted: Any) -> object:
        try:
            return msgspec.convert(value, wanted)
        except (msgspec.ValidationError, TypeError):
            raise self._fail(
                f"parameter {name!r} of {self.class_name} is {_name(wanted)}, and {value!r} is not",
                *("params", name),
                remedy=_type_remedy(wanted, value),
            ) from None


def _name(wanted: Any) -> str:
    return wanted.__name__ if isinstance(wanted, type) else str(wanted)


def _type_remedy(wanted: Any, value: object) -> str:
    example = {int: "20", float: "0.5", str: '"BTCUSDT"', bool: "true", Decimal: '"0.01"'}.get(wanted, "another value")
    quoted = isinstance(value, str) and wanted in (int, float, bool)
    return f"write it without quotes, as {example}" if quoted else f"write it as {example}"
