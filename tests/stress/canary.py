"""The canary: a marked password that a session is given, and a search of all it wrote for any form of it.

May not live here: the ways of giving it and the failures it is carried through; each test has its own.
"""

from __future__ import annotations

import base64
import json
import secrets
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path


def new_password() -> str:
    """Make a password that stands nowhere by chance, with letters that quoting and encoding change."""
    return f"canary/{secrets.token_hex(12)}+é%\\="


def forms(password: str) -> dict[str, bytes]:
    """Give the ways in which a password may stand in a file; the part that no encoding changes is one of them."""
    raw = password.encode()
    marked = password.split("/")[1].split("+")[0]
    return {
        "its middle": marked.encode(),
        "as it is": raw,
        "backwards": raw[::-1],
        "base64": base64.b64encode(raw).rstrip(b"="),
        "hex": raw.hex().encode(),
        "in a URL": urllib.parse.quote(password, safe="").encode(),
        "in JSON": json.dumps(password)[1:-1].encode(),
        "in UTF-16": password.encode("utf-16-le"),
    }


def leaks(password: str, folders: Iterable[Path], texts: Mapping[str, str | bytes] | None = None) -> list[str]:
    """Search all files under some folders, their names, and some texts; say where which form stands."""
    found = [
        f"{place}: {form}"
        for place, data in _written(folders, texts or {})
        for form, needle in forms(password).items()
        if needle in data
    ]
    return sorted(found)


def _written(folders: Iterable[Path], texts: Mapping[str, str | bytes]) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            yield f"the name of {path}", str(path.relative_to(folder)).encode()
            if path.is_file():
                yield str(path), path.read_bytes()
    for name, text in texts.items():
        yield name, text.encode() if isinstance(text, str) else text
