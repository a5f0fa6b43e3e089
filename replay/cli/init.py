"""`replay init`: a folder with a strategy, its run file, some data and its test, that runs at once.

May not live here: the texts of these files (templates).
"""

from __future__ import annotations

import random
import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from replay.errors import EXIT_DONE, UsageError, disk_remedy
from replay.units import format_time, parse_time

BARS = 3 * 1440
"""Three days of minutes."""

_FILES = {"strategy.py": "strategy.py", "run.toml": "run.toml", "test_strategy.py": "test_strategy.py"}
_DATA = Path("data/demo-1m.csv")
_START_NS = parse_time("2024-01-01")
_MINUTE_NS = 60_000_000_000


def init(
    folder: Annotated[Path, Parameter(help="The folder to make; its name becomes the strategy's.")],
    /,
) -> int:
    """Make a folder with a commented strategy, a run file, generated data and a test; `replay backtest` runs in it."""
    name = folder.resolve().name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "exists and is not empty" if folder.is_dir() else "is a file, not a folder"
        raise UsageError(f"{folder} {what}", remedy="name a new folder; nothing was changed")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _DATA.parent).mkdir()
        for target, template in _FILES.items():
            (folder / target).write_text(_filled(template, name))
        (folder / ".gitignore").write_text("runs/\nsessions/\n")
        (folder / _DATA).write_text(market())
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror or error}", remedy=disk_remedy(error, folder)
        ) from error
    print(f"{folder} holds a strategy that runs: change strategy.py and run.toml, put your data into data/.\n")
    for command, does in (
        (f"cd {folder}", ""),
        ("replay backtest", f"run it over {_DATA}"),
        ("pytest", "its test"),
        ("replay play --speed 600", "watch it, ten minutes a second"),
        ("replay doctor", "what is installed, what is missing"),
    ):
        print(f"  {command:<24} {does}".rstrip())
    return EXIT_DONE


def class_name(name: str) -> str:
    """Make a class's name of a folder's: `my-strategy` gives MyStrategy."""
    words = re.findall(r"[A-Za-z0-9]+", name.encode("ascii", "ignore").decode())
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"Strategy{joined}"


def market() -> str:
    """Give the generated minutes as CSV: a random walk in whole cents, the same on every machine."""
    bits = random.Random(7).getrandbits  # getrandbits is the same in all versions
    price, drift = 10_000, 0
    lines = ["time,open,high,low,close,volume"]
    for row in range(BARS):
        if row % 240 == 0:
            drift = bits(2) - bits(2)
        path = [price]
        for _ in range(4):
            path.append(max(100, path[-1] + bits(3) - bits(3) + (drift if bits(2) == 0 else 0)))
        price = path[-1]
        end = format_time(_START_NS + (row + 1) * _MINUTE_NS)
        numbers = ",".join(f"{value // 100}.{value % 100:02d}" for value in (path[0], max(path), min(path), price))
        lines.append(f"{end},{numbers},{(bits(10) + 1) / 8:g}")
    return "\n".join(lines) + "\n"


def _filled(template: str, name: str) -> str:
    text = (files("replay.cli") / "templates" / f"{template}.tmpl").read_text()
    return text.replace("MyStrategy", class_name(name)).replace("my-strategy", re.sub(r"[\"\\\s]+", "-", name))
