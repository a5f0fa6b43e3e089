"""The compiled decoders, or the error that says how to get them.

Nothing else may live here: a decoder in plain Python takes this place later.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from replay.errors import EngineMissing


def engine() -> Any:
    """Return the module `replay._engine`; raise EngineMissing if it is not there."""
    try:
        return import_module("replay._engine")
    except ImportError as error:
        raise EngineMissing(str(error)) from error
