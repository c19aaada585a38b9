"""The document root every server gets: small, deterministic, and with a secret beside it."""

from __future__ import annotations

import gzip
import os
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

# A modification date with a fraction of a second, as real files have: comparing it unrounded with
# an HTTP-date, which has none, is a classic mistake.
MODIFIED = 1_714_564_800.625
MODIFIED_HTTP = "Wed, 01 May 2024 12:00:00 GMT"
FUTURE = 2_524_608_000.0  # 2050-01-01
SECRET = b"outside the document root\n"

PLAIN = b"".join(b"%04d " % number for number in range(400))  # 2,000 octets, each place unique
SCRIPT = b"".join(b"export const value%d = %d;\n" % (n, n * n) for n in range(900))
PAGE = "<!doctype html><title>page</title><p>caf\u00e9\n".encode()
SHEET = b"p { color: green }\n" * 200
OLD_SHEET = b"p { color: crimson }\n" * 150
BIG = b"".join(b"%015d\n" % number for number in range(65_536))  # 1 MiB
TWIN, TWIN_CHANGED = b"the first bytes\n", b"the other bytes\n"  # equal length

# Names that only arrive whole when a target is split first and percent-decoded once.
NAMES = {
    "sp ace.txt": b"a space\n",
    "caf\u00e9.txt": b"two octets of UTF-8\n",
    "what?.txt": b"a question mark\n",
    "100%.txt": b"a percent sign\n",
    "a+b.txt": b"a plus sign\n",
    "a;b=c&d,e.txt": b"sub-delims\n",
    "~tilde.txt": b"unreserved\n",
    "a:b@c.txt": b"pchar\n",
    "%41.txt": b"a name that looks encoded\n",
}

MEDIA = {
    name: b"\x89\x00\xff binary " + name.encode()
    for name in ("p.png", "m.wasm", "i.webp", "i.avif", "f.woff2", "d.pdf", "v.mp4", "x.unheardof")
} | {
    "s.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "d.json": b"{}",
    "m.mjs": b"export {};\n",
    "w.webmanifest": b"{}",
}

FILES = {
    "index.html": PAGE,
    "page.html": PAGE,
    "plain.txt": PLAIN,
    "empty.txt": b"",
    "app.js": SCRIPT,
    "style.css": SHEET,
    "big.bin": BIG,
    "twin.txt": TWIN,
    "second.txt": TWIN,
    "edited.txt": TWIN,
    "at-once.txt": TWIN,
    "future.txt": b"from the future\n",
    "dir/index.html": PAGE,
    "dir/inner.txt": b"inner\n",
    "archive.tar.gz": gzip.compress(b"not really a tar", mtime=0),
    **NAMES,
    **MEDIA,
}


@dataclass(frozen=True, slots=True)
class Site:
    """One server's own copy of the tree; rows may change files in it."""

    root: Path

    def rewrite(self, name: str, content: bytes, modified: float) -> None:
        """Replace a file's bytes in place and set its modification time, in seconds."""
        path = self.root / name
        path.write_bytes(content)
        os.utime(path, (modified, modified))


def _sidecars() -> dict[str, bytes]:
    """Coded copies of app.js, of every coding the installed packages can make."""
    coded = {"app.js.gz": gzip.compress(SCRIPT, 9, mtime=0)}
    with suppress(ImportError):
        coded["app.js.br"] = import_module("brotli").compress(SCRIPT)
    with suppress(ImportError):
        coded["app.js.zst"] = import_module("zstandard").compress(SCRIPT, 19)
    return coded


def build(parent: Path) -> Site:
    """Write the tree to ``parent/site``, and ``parent/secret.txt`` beside it."""
    site = Site(parent / "site")
    for name, content in (FILES | _sidecars()).items():
        (site.root / name).parent.mkdir(parents=True, exist_ok=True)
        site.rewrite(name, content, MODIFIED)
    # A sidecar older than its original, of an earlier version: what a forgotten build step leaves.
    site.rewrite("style.css.gz", gzip.compress(OLD_SHEET, mtime=0), MODIFIED - 86_400)
    site.rewrite("future.txt", FILES["future.txt"], FUTURE)
    (parent / "secret.txt").write_bytes(SECRET)
    return site
