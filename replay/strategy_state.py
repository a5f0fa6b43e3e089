"""The state of a strategy as bytes: its attributes, of a fixed set of types, bit for bit and with what they share.

May not live here: files, the engine's own state, pickle, or any code of a type that a snapshot names.

The bytes are MessagePack. None, bool, int of 64 bits, float, str and bytes stand for themselves, everything else is an
array that begins with a tag. What can be shared (lists, dicts, arrays, handles, ...) is numbered as it is first met, so
that two names of one list are two names of one list again, and a list may hold itself.
"""

from __future__ import annotations

import ast
import enum
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.errors import StrategyError

if TYPE_CHECKING:
    from replay._engine import Engine
    from replay.strategy import Strategy

__all__ = ["Problem", "UnsupportedState", "decode", "encode", "find_problems", "lay_out", "put_state", "take_state"]

VERSION = 1
DEPTH_MAX = 100
"""How deep containers may lie in each other."""
STATE_BYTES_MAX = 256 << 20
_PACKED_ROWS = 8
"""From so many on, items that are all floats (or all small ints) are kept as one piece."""

HANDLE_TYPES = frozenset(
    {
        "Account",
        "Adx",
        "Bar",
        "Bollinger",
        "Desk",
        "Donchian",
        "Fill",
        "Indicator",
        "Macd",
        "Order",
        "OrderUpdate",
        "Position",
        "Quote",
        "Random",
        "Series",
        "Stochastic",
        "Trade",
    }
)
"""Types of replay._engine that a strategy may keep."""

_FACTORIES: dict[str, Any] = {
    "": None,
    "bool": bool,
    "bytes": bytes,
    "deque": deque,
    "dict": dict,
    "float": float,
    "int": int,
    "list": list,
    "set": set,
    "str": str,
    "tuple": tuple,
    "Decimal": Decimal,
}
"""What a defaultdict may make its values with."""

REMEDY = (
    "keep it as one of None, bool, int, float, str, bytes, Decimal, list, dict, set, tuple, deque, numpy array, rng or "
    "engine handle; or give the strategy its own snapshot() and restore(); or leave it: the session is then recovered "
    "from its journal's start"
)


class Problem(NamedTuple):
    """A value that a snapshot cannot hold."""

    path: str
    """As it would be written in the strategy: self.cache['x'][3]."""
    reason: str

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


class UnsupportedState(Exception):
    """A strategy has state that a snapshot cannot hold."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


# -- strategies


def lay_out(strategy: Strategy) -> None:
    """Lay the attributes of a strategy out so that its handlers stay fast although its `__dict__` is read.

    CPython keeps the attributes of an instance in a compact form until somebody asks for its `__dict__`, as each
    snapshot does. From then on (3.11, 3.12) handlers read them at half the speed, but not from a dict set as a whole.
    """
    strategy.__dict__ = dict(vars(strategy))


def find_problems(strategy: Strategy, engine: Engine) -> list[Problem]:
    """Name what of a strategy's state a snapshot cannot hold; empty where all is well."""
    try:
        _state_bytes(strategy, engine)
    except UnsupportedState as error:
        return list(error.problems)
    return []


def take_state(strategy: Strategy, engine: Engine) -> bytes:
    """Give a strategy's state between two batches. Raises UnsupportedState, which names what cannot be kept."""
    return _state_bytes(strategy, engine)


def put_state(strategy: Strategy, engine: Engine, data: bytes) -> None:
    """Give a new instance the state that `take_state` took of another one.

    Raises UnsupportedState for bytes that cannot be read here, StrategyError where the user's own `restore` raised.
    """
    module = type(strategy).__module__
    content = decode(data, module=module, thaw=engine.thaw, owner=strategy)
    if not isinstance(content, dict) or content.keys() != {"timers", "state"}:
        raise UnsupportedState([Problem("self", "is no state of a strategy")])
    try:
        strategy.restore(content["state"])
    except Exception as error:
        raise _raised(strategy, "restore", error) from error
    strategy._timers.restore(content["timers"])


def _state_bytes(strategy: Strategy, engine: Engine) -> bytes:
    try:
        state = strategy.snapshot()
    except Exception as error:
        problem = Problem("self.snapshot()", f"raised {type(error).__name__}: {error}")
        raise UnsupportedState([problem]) from error
    return _Writer(type(strategy).__module__, engine.freeze, strategy).strategy(state, strategy._timers.state())


def _raised(strategy: Strategy, method: str, error: Exception) -> StrategyError:
    return StrategyError(type(strategy).__name__, method, None, "", f"{type(error).__name__}: {error}")


# -- values


def encode(value: Any, *, module: str = "__main__", freeze: Callable[[Any], bytes] | None = None) -> bytes:
    """Give any supported value as bytes; `module` is where its own classes (enums, named tuples) are defined."""
    return _Writer(module, freeze, None).document(value)


def decode(
    data: bytes, *, module: str = "__main__", thaw: Callable[[bytes], Any] | None = None, owner: Any = None
) -> Any:
    """Give back what `encode` took. Raises UnsupportedState where the bytes, or a class in them, are not known."""
    try:
        version, document = msgspec.msgpack.decode(data)
        if version != VERSION:
            raise UnsupportedState([Problem("self", f"is state of version {version}, this program reads {VERSION}")])
        return _Reader(module, thaw, owner).value(document)
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise UnsupportedState([Problem("self", f"cannot be read: {error}")]) from error


class _Writer:
    """Turns values into what MessagePack has, numbering what can be shared."""

    def __init__(self, module: str, freeze: Callable[[Any], bytes] | None, owner: Any) -> None:
        self._module = module
        self._freeze = freeze
        self._owner = owner
        self._numbers: dict[int, int] = {}
        self._kept_alive: list[Any] = []
        self._open_tuples: set[int] = set()
        self._depth = 0

    def strategy(self, state: Any, timers: list[tuple[str, int]]) -> bytes:
        """Encode a strategy's state; names every attribute that cannot be kept, not only the first."""
        problems: list[Problem] = []
        if type(state) is dict and all(type(name) is str for name in state):
            pairs: list[Any] = []
            number = self._number(state)
            for name, value in state.items():
                try:
                    pairs += [name, self.value(value, f"self.{name}")]
                except UnsupportedState as error:
                    problems += error.problems
                    self._depth, self._open_tuples = 0, set()
            if problems:
                raise UnsupportedState(problems)
            encoded: Any = ["d", number, pairs]
        else:
            encoded = self.value(state, "self.snapshot()")
        whole = ["d", -1, ["timers", self.value(timers, "self._timers"), "state", encoded]]
        return self._bytes(whole)

    def document(self, value: Any) -> bytes:
        return self._bytes(self.value(value, "value"))

    def _bytes(self, document: Any) -> bytes:
        data = msgspec.msgpack.encode([VERSION, document])
        if len(data) > STATE_BYTES_MAX:
            raise UnsupportedState(
                [Problem("self", f"has {len(data):,} bytes of state, more than {STATE_BYTES_MAX:,}")]
            )
        return data

    def value(self, value: Any, path: str) -> Any:
        """Encode one value; `path` is how the user would write it."""
        kind = type(value)
        if value is None or kind is bool or kind is float or kind is bytes:
            return value
        if kind is int:
            return value if -(2**63) <= value < 2**64 else ["I", hex(value)]
        if kind is str:
            return value if _is_utf8(value) else ["S", value.encode("utf-8", "surrogatepass")]
        if kind is Decimal:
            return ["D", str(value)]
        if value is self._owner and value is not None:
            return ["self"]
        if id(value) in self._numbers:
            return ["r", self._numbers[id(value)]]
        if self._depth >= DEPTH_MAX:
            raise self._refuse(path, f"lies more than {DEPTH_MAX} containers deep")
        self._depth += 1
        encoded = self._structure(value, kind, path)
        self._depth -= 1
        return encoded

    def _structure(self, value: Any, kind: type, path: str) -> Any:
        if kind is list:
            return ["l", self._number(value), self._items(value, path)]
        if kind is dict or kind is OrderedDict or kind is Counter:
            tag = {dict: "d", OrderedDict: "O", Counter: "C"}[kind]
            return [tag, self._number(value), self._pairs(value, path)]
        if kind is tuple:
            return self._tuple(value, ["t"], path)
        if kind is set:
            return ["s", self._number(value), self._items(list(value), path)]
        if kind is frozenset:
            return ["z", self._items(list(value), path)]
        if kind is deque:
            return ["q", self._number(value), value.maxlen, self._items(list(value), path)]
        if kind is defaultdict:
            return self._default_dict(value, path)
        if kind is bytearray:
            return ["b", self._number(value), bytes(value)]
        if kind is np.ndarray:
            return self._array(value, path)
        return self._named(value, kind, path)

    def _named(self, value: Any, kind: type, path: str) -> Any:
        if isinstance(value, enum.Enum):
            return ["e", *self._class(kind, path), self.value(value.value, f"{path}.value")]
        if isinstance(value, np.generic):
            dtype = value.dtype
            if dtype.hasobject or dtype.kind == "V" or not dtype.itemsize:
                raise self._refuse(path, f"is a numpy scalar of dtype {dtype}")
            return ["N", dtype.str, np.asarray(value).tobytes()]
        if isinstance(value, tuple) and hasattr(kind, "_fields") and not getattr(value, "__dict__", None):
            return self._tuple(value, ["T", *self._class(kind, path)], path)
        if kind.__module__ == "replay._engine" and kind.__name__ in HANDLE_TYPES and self._freeze is not None:
            try:
                frozen = self._freeze(value)
            except TypeError as error:
                raise self._refuse(path, f"is a {kind.__name__}, and {error}") from None
            return ["h", self._number(value), frozen]
        raise self._refuse(path, f"is a {_full_name(kind)}")

    def _number(self, value: Any) -> int:
        number = len(self._numbers)
        self._numbers[id(value)] = number
        self._kept_alive.append(value)
        return number

    def _items(self, values: Sequence[Any], path: str) -> Any:
        """Encode items in order: as one piece of bytes where all are floats, or all small ints."""
        if len(values) >= _PACKED_ROWS:
            kinds = set(map(type, values))
            if kinds == {float}:
                return np.array(values, dtype="<f8").tobytes()
            if kinds == {int}:
                try:
                    return ["i8", np.array(values, dtype="<i8").tobytes()]
                except OverflowError:
                    pass
        return [["x"], *(self.value(item, f"{path}[{place}]") for place, item in enumerate(values))]

    def _pairs(self, value: dict[Any, Any], path: str) -> list[Any]:
        pairs: list[Any] = []
        for key, item in value.items():
            pairs += [self.value(key, f"a key of {path}"), self.value(item, f"{path}[{_short(key)}]")]
        return pairs

    def _tuple(self, value: tuple[Any, ...], head: list[Any], path: str) -> Any:
        if id(value) in self._open_tuples:
            raise self._refuse(path, "is a tuple that holds itself")
        self._open_tuples.add(id(value))
        encoded = [*head, self._items(value, path)]
        self._open_tuples.discard(id(value))
        return encoded

    def _default_dict(self, value: defaultdict[Any, Any], path: str) -> Any:
        factory = value.default_factory
        for name, known in _FACTORIES.items():
            if factory is known:
                return ["f", self._number(value), name, self._pairs(value, path)]
        raise self._refuse(path, f"is a defaultdict whose default is {factory!r}: only plain types are kept")

    def _class(self, kind: type, path: str) -> tuple[str, str]:
        module = "" if kind.__module__ == self._module else kind.__module__
        if _find_class(module or self._module, kind.__qualname__) is not kind:
            raise self._refuse(path, f"is a {_full_name(kind)}, which is not found under that name")
        return module, kind.__qualname__

    def _array(self, value: NDArray[Any], path: str) -> Any:
        if value.dtype.hasobject:
            raise self._refuse(path, "is an array of Python objects")
        base: Any = value
        while type(base) is np.ndarray and base.base is not None:
            base = base.base
        if base is value or type(base) is not np.ndarray:
            if base is not value and value.flags.writeable:
                raise self._refuse(path, f"is an array in the memory of a {_full_name(type(base))}")
            return self._own_array(value, path)
        number = self._number(value)
        root = self.value(base, f"{path}.base")
        offset = value.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        return ["v", number, root, _dtype_text(value.dtype), value.shape, value.strides, offset, value.flags.writeable]

    def _own_array(self, value: NDArray[Any], path: str) -> Any:
        axes = _axes(value)
        ordered = value.transpose(axes)
        if value.base is None and not ordered.flags.c_contiguous:
            raise self._refuse(path, "is an array with gaps in its memory")
        return [
            "a",
            self._number(value),
            _dtype_text(value.dtype),
            ordered.shape,
            list(axes),
            ordered.tobytes(),
            value.flags.writeable,
        ]

    def _refuse(self, path: str, reason: str) -> UnsupportedState:
        return UnsupportedState([Problem(path, reason)])


class _Reader:
    """Makes values of what the writer wrote; containers are made before what they hold, as they were numbered."""

    def __init__(self, module: str, thaw: Callable[[bytes], Any] | None, owner: Any) -> None:
        self._module = module
        self._thaw = thaw
        self._owner = owner
        self._made: dict[int, Any] = {}

    def value(self, encoded: Any) -> Any:
        """Decode one value."""
        if type(encoded) is not list:
            return encoded
        return self._READERS[encoded[0]](self, *encoded[1:])

    def _keep(self, number: int, value: Any) -> Any:
        self._made[number] = value
        return value

    def _items(self, encoded: Any) -> list[Any]:
        if isinstance(encoded, bytes):
            return list(np.frombuffer(encoded, dtype="<f8").tolist())
        if encoded[0] == "i8":
            return list(np.frombuffer(encoded[1], dtype="<i8").tolist())
        return [self.value(item) for item in encoded[1:]]

    def _fill(self, target: Any, pairs: list[Any]) -> Any:
        for place in range(0, len(pairs), 2):
            target[self.value(pairs[place])] = self.value(pairs[place + 1])
        return target

    def _reference(self, number: int) -> Any:
        return self._made[number]

    def _itself(self) -> Any:
        return self._owner

    def _integer(self, text: str) -> int:
        return int(text, 16)

    def _text(self, data: bytes) -> str:
        return data.decode("utf-8", "surrogatepass")

    def _decimal(self, text: str) -> Decimal:
        return Decimal(text)

    def _list(self, number: int, items: Any) -> Any:
        made = self._keep(number, [])
        made.extend(self._items(items))
        return made

    def _dict(self, number: int, pairs: list[Any]) -> Any:
        return self._fill(self._keep(number, {}), pairs)

    def _ordered_dict(self, number: int, pairs: list[Any]) -> Any:
        return self._fill(self._keep(number, OrderedDict()), pairs)

    def _counter(self, number: int, pairs: list[Any]) -> Any:
        return self._fill(self._keep(number, Counter()), pairs)

    def _default_dict(self, number: int, factory: str, pairs: list[Any]) -> Any:
        return self._fill(self._keep(number, defaultdict(_FACTORIES[factory])), pairs)

    def _tuple(self, items: Any) -> tuple[Any, ...]:
        return tuple(self._items(items))

    def _named_tuple(self, module: str, name: str, items: Any) -> Any:
        kind = self._class(module, name)
        if not issubclass(kind, tuple):
            raise ValueError(f"{name} is no named tuple")
        return tuple.__new__(kind, self._items(items))

    def _enum(self, module: str, name: str, value: Any) -> Any:
        kind = self._class(module, name)
        if not issubclass(kind, enum.Enum):
            raise ValueError(f"{name} is no enumeration")
        return kind(self.value(value))

    def _class(self, module: str, name: str) -> type:
        found = _find_class(module or self._module, name)
        if found is None:
            raise ValueError(f"there is no class {name} in {module or self._module}")
        return found

    def _set(self, number: int, items: Any) -> Any:
        made = self._keep(number, set())
        made.update(self._items(items))
        return made

    def _frozen_set(self, items: Any) -> frozenset[Any]:
        return frozenset(self._items(items))

    def _deque(self, number: int, limit: int | None, items: Any) -> Any:
        made: deque[Any] = self._keep(number, deque(maxlen=limit))
        made.extend(self._items(items))
        return made

    def _byte_array(self, number: int, data: bytes) -> Any:
        return self._keep(number, bytearray(data))

    def _scalar(self, dtype: str, data: bytes) -> Any:
        return np.frombuffer(data, dtype=np.dtype(dtype))[0]

    def _array(self, number: int, dtype: str, shape: list[int], axes: list[int], data: bytes, writeable: bool) -> Any:
        ordered: NDArray[Any] = np.empty(shape, dtype=_dtype_of(dtype))
        if ordered.nbytes:
            # As bytes: assignment of values may canonicalise a NaN.
            _raw(ordered)[:] = np.frombuffer(data, dtype=np.uint8)
        made = _owned(ordered, [axes.index(axis) for axis in range(len(axes))])
        made.flags.writeable = writeable
        return self._keep(number, made)

    def _view(
        self, number: int, root: Any, dtype: str, shape: list[int], strides: list[int], offset: int, writeable: bool
    ) -> Any:
        base = self.value(root)
        memory = _raw(base)
        if offset < 0 or offset > len(memory):
            raise ValueError("a view lies outside of its array")
        made: NDArray[Any] = np.ndarray(tuple(shape), _dtype_of(dtype), memory, offset, tuple(strides))
        if not writeable:
            made.flags.writeable = False
        return self._keep(number, made)

    def _handle(self, number: int, frozen: bytes) -> Any:
        if self._thaw is None:
            raise ValueError("there is no engine for a handle")
        return self._keep(number, self._thaw(frozen))

    _READERS: dict[str, Callable[..., Any]] = {  # noqa: RUF012 - a table, never changed
        "r": _reference,
        "self": _itself,
        "I": _integer,
        "S": _text,
        "D": _decimal,
        "l": _list,
        "d": _dict,
        "O": _ordered_dict,
        "C": _counter,
        "f": _default_dict,
        "t": _tuple,
        "T": _named_tuple,
        "e": _enum,
        "s": _set,
        "z": _frozen_set,
        "q": _deque,
        "b": _byte_array,
        "N": _scalar,
        "a": _array,
        "v": _view,
        "h": _handle,
    }


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _find_class(module: str, name: str) -> type | None:
    """Look a class up among the modules that are loaded: a snapshot never makes the program load one."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def _full_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _short(key: Any) -> str:
    text = repr(key)
    return text if len(text) <= 40 else text[:37] + "..."


def _dtype_text(dtype: np.dtype[Any]) -> str:
    return repr(np.lib.format.dtype_to_descr(dtype))


def _dtype_of(text: str) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.lib.format.descr_to_dtype(ast.literal_eval(text))
    if dtype.hasobject:
        raise ValueError("an array of Python objects")
    return dtype


def _axes(array: NDArray[Any]) -> tuple[int, ...]:
    """Give the axes in the order in which the array lies in memory, the slowest first."""
    axes = range(array.ndim)
    return tuple(sorted(axes, key=lambda axis: -abs(array.strides[axis])) if array.size else axes)


def _raw(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Show the memory of an array that has no gaps as bytes, in the order in which it lies."""
    ordered = array.transpose(_axes(array))
    flat: NDArray[np.uint8] = np.ndarray((ordered.nbytes,), np.uint8, ordered)
    return flat


def _owned(ordered: NDArray[Any], back: Iterable[int]) -> NDArray[Any]:
    """Give an array with the axes in another order that owns its memory, laid out as `ordered` is."""
    turned = ordered.transpose(tuple(back))
    if turned.strides == ordered.strides and turned.shape == ordered.shape:
        return ordered
    return turned.copy(order="K")
