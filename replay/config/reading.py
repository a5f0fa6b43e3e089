"""Reading a run file from disk, text or Python values, and writing the resolved one.

May not live here: what a key means, and any wording of errors beyond the file itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec

from replay.config import toml
from replay.config.check import Checker
from replay.config.explain import NOT_A_RUN_FILE, explain, toml_error
from replay.config.overrides import apply_set, replace_feeds
from replay.config.run_config import RunConfig, absolute
from replay.config.sections import RunFile
from replay.config.values import Text
from replay.errors import ConfigError, choose

DEFAULT_RUN_FILE = "run.toml"


def load(
    path: str | Path = DEFAULT_RUN_FILE, sets: Sequence[str] = (), feed: str | Sequence[str] | None = None
) -> RunConfig:
    """Read and check a run file; `sets` are `a.b=value` in order, `feed` replaces the run file's feeds.

    Raises ConfigError, whose place is `file:line` or the option that is wrong.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"there is no run file {str(path)!r}", remedy=_run_file_remedy(path)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"byte {error.start} is not UTF-8",
            place=str(path),
            remedy="save the file in UTF-8" if path.suffix == ".toml" else NOT_A_RUN_FILE,
        ) from None
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", place=str(path), remedy="name a run file that you may read"
        ) from None
    return parse(text, path=path, sets=sets, feed=feed)


def _run_file_remedy(path: Path) -> str:
    """Name the run files that lie where one was looked for."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {str(folder)!r}"
    near = sorted(entry.name for entry in folder.glob("*.toml") if entry.name != "pyproject.toml")[:10]
    if near:
        return choose(path.name, near)
    below = sorted(str(entry) for entry in folder.glob(f"*/{DEFAULT_RUN_FILE}"))[:10]
    if below:
        return f"name one: {', '.join(below)}"
    return "name one, as in `replay backtest my/run.toml`, or make one: `replay init my`"


def parse(
    text: str,
    *,
    path: Path | None = None,
    base_dir: Path | None = None,
    sets: Sequence[str] = (),
    feed: str | Sequence[str] | None = None,
) -> RunConfig:
    """Read and check the text of a run file; relative paths in it start at `base_dir`, by default the file's folder."""
    name = str(path) if path else "run file"
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise toml_error(error, name, text) from None
    except RecursionError:
        raise ConfigError("is nested too deeply", place=name) from None
    places: dict[toml.Path, str] = {where: f"{name}:{line}" for where, line in toml.lines(text).items()}
    for expression in sets:
        apply_set(data, expression, places)
    if feed is not None:
        replace_feeds(data, [feed] if isinstance(feed, str) else list(feed), places)
    folder = base_dir or (path.parent if path else Path())
    return _checked(data, folder.resolve(), text=text, path=path, places=places)


def from_mapping(data: Mapping[str, Any], *, base_dir: str | Path = ".") -> RunConfig:
    """Check a run file given as Python values: the same keys, the same rules; places are dotted keys."""
    return _checked(deepcopy(dict(data)), Path(base_dir).resolve(), text="", path=None, places={})


def resolved(config: RunConfig, folder: Path | None = None) -> str:
    """Write the complete run file with every default; loading it gives an equal config.

    Paths are absolute, or relative to `folder` if that is where the text will be stored.
    """
    data = msgspec.to_builtins(absolute(config, folder), enc_hook=str)
    assert isinstance(data, dict)
    return "# Every key with its value in this run; loading it gives the same run.\n" + toml.dump(
        {key: value for key, value in data.items() if value != []}
    )


def _checked(
    data: dict[str, Any], base_dir: Path, *, text: str, path: Path | None, places: dict[toml.Path, str]
) -> RunConfig:
    try:
        file = msgspec.convert(data, RunFile, dec_hook=_decode_text)
    except msgspec.ValidationError as error:
        raise explain(error, data, places, str(path) if path else None) from None
    sections = {name: getattr(file, name) for name in RunFile.__struct_fields__}
    config = RunConfig(**sections, base_dir=base_dir, text=text, path=path, places=places)
    Checker(config).check()
    return config


def _decode_text(kind: type, value: object) -> object:
    if issubclass(kind, Text):
        return kind.parse(value)
    raise NotImplementedError(kind)  # pragma: no cover (no other foreign type stands in a section)
