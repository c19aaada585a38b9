"""Small sites to be served, as tables of name and content."""

from __future__ import annotations

import gzip
import random
from collections.abc import Mapping
from pathlib import Path

_PIXELS = random.Random(7).randbytes(300_000)
_SCRIPT = b"export const words = ['one', 'two', 'three'];\n" * 60

#: One file of each kind that clients meet.
SMALL_SITE: Mapping[str, bytes] = {
    "index.html": (
        b"<!doctype html><title>Small</title><link rel=stylesheet href=css/app.css>"
        b'<script src="app.js"></script><a href="docs/">docs</a> <a href="big.bin">big</a>'
        b'<a href="with%20space.txt">space</a> <a href="empty.txt">empty</a>'
        b'<a href="docs/deep/%C3%A9t%C3%A9.html">summer</a><img src="pixels.png">'
    ),
    "css/app.css": b"body { color: #123 }\n",
    "app.js": _SCRIPT,
    "app.js.gz": gzip.compress(_SCRIPT, mtime=0),
    "docs/index.html": b'<!doctype html><title>Docs</title><a href="../">up</a>\n',
    "docs/deep/\u00e9t\u00e9.html": "<!doctype html><title>\u00e9t\u00e9</title>\n".encode(),
    "with space.txt": b"a space in the name\n",
    "empty.txt": b"",
    "pixels.png": _PIXELS,
    "big.bin": _PIXELS * 4,
    ".hidden": b"foreign: hidden",
    ".well-known/security.txt": b"Contact: mailto:security@example.org\n",
}


def write_site(root: Path, files: Mapping[str, bytes] = SMALL_SITE) -> Path:
    """Write files below a directory, which is created."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root
