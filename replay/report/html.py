"""The page: a report's or a comparison's document put into its template, as one file that needs nothing else.

May not live here: what a page shows (document.py, comparison.py), and its markup, style and code (page/).
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from replay.errors import UsageError, disk_remedy
from replay.report.document import Document
from replay.report.packing import pack_bytes

_INCLUDE = re.compile(r"\{\{(include|head|columns|chart-library) ?([\w.-]*)\}\}")
_LIBRARY_FILE = ("package_data", "plotly.min.js")
EXTRA_REMEDY = 'install the extra: pip install "tickreplay[report]" (in the source folder: ./dev setup)'


def page(template: str, document: Document) -> str:
    """Fill a template of page/ in; raise UsageError where the package `plotly`, which has the charts, is missing."""

    def fill(match: re.Match[str]) -> str:
        what, name = match.groups()
        if what == "include":
            return _INCLUDE.sub(fill, _resource(name))
        if what == "head":
            return _json(document.head)
        if what == "columns":
            return "\n".join(_column(name, document) for name in document.columns)
        return _chart_library()

    return _INCLUDE.sub(fill, _resource(template))


def write_page(text: str, path: Path) -> Path:
    """Write a page; its folder must exist. Raises UsageError where it cannot be written."""
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write the report: {error.strerror or error}", place=str(path), remedy=disk_remedy(error, path)
        ) from error
    return path


def _resource(name: str) -> str:
    return (files("replay.report") / "page" / name).read_text("utf-8")


def _column(name: str, document: Document) -> str:
    packed = document.columns[name]
    about = _json(packed.to_builtins()).replace("'", "&#39;")
    return f"<script type='text/plain' data-column='{name}' data-about='{about}'>{packed.text}</script>"


def _json(value: object) -> str:
    """Write JSON that may stand in a script element, whatever its texts are."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def check_chart_library() -> Path:
    """Give the path of Plotly's JavaScript in its installed package. Raises UsageError where that is missing."""
    spec = find_spec("plotly")
    for folder in spec.submodule_search_locations or [] if spec is not None else []:
        file = Path(folder).joinpath(*_LIBRARY_FILE)
        if file.is_file():
            return file
    raise UsageError("the report needs the package plotly, which is not installed", remedy=EXTRA_REMEDY)


@lru_cache(maxsize=1)
def _chart_library() -> str:
    """Give Plotly's JavaScript packed: 4.8 MB become 1.9."""
    return pack_bytes(check_chart_library().read_bytes())
