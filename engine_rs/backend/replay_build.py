"""The build backend of the package: maturin where cargo is on PATH, hatchling (plain Python) where it is not.

May not live here: anything that compiles, copies or decides what goes into a wheel; pyproject.toml says that.
"""

from __future__ import annotations

import importlib
import os
import shutil
from typing import Any

PURE = os.environ.get("REPLAY_PURE") == "1" or shutil.which("cargo") is None


def _requirements(config_settings: object = None) -> list[str]:
    return ["hatchling>=1.27", "editables>=0.5"] if PURE else ["maturin>=1.9.4,<2"]


get_requires_for_build_wheel = get_requires_for_build_editable = get_requires_for_build_sdist = _requirements


def __getattr__(name: str) -> Any:
    return getattr(importlib.import_module("hatchling.build" if PURE else "maturin"), name)
