#!/usr/bin/env python3
"""Write asyncstatic/http/media_types.py from mime-db (MIT), the merged public registries.

    .ci/media_types.py           write the module
    .ci/media_types.py --check   compare it byte for byte; exit 1 when it differs

Where registries disagree on a suffix, IANA counts more than Apache, Apache more than nginx, and
nginx more than mime-db's own additions. Where one of them disagrees with itself, or is not
followed, `CHOSEN` decides, with the reason beside it. Needs npm and the network.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

VERSION = "1.54.0"
SHA256 = "2b21054e65d0eabd58c5002d2713e968dd47b15700bfed4b7281a344ded1c420"
MODULE = Path(__file__).parents[1] / "asyncstatic" / "http" / "media_types.py"
SOURCES = ("iana", "apache", "nginx", None)

# What unknown suffixes get, and so is never in the table: chosen for a suffix, it removes it.
UNKNOWN = "application/octet-stream"

CHOSEN = {
    # Two types in one registry.
    "3gpp": "video/3gpp",  # as .3gp (RFC 3839)
    "ac": "application/pkix-attr-cert",  # RFC 5877; the other is a game console of 2003
    "asc": "application/pgp-signature",  # beside a download it is the signature (RFC 3156)
    "bdoc": "application/bdoc",  # neither is registered; the one without x- (RFC 6648)
    "mp4": "video/mp4",  # RFC 4337: application/mp4 is for what is neither video nor audio
    "mpg4": "video/mp4",  # likewise
    "mpp": "application/vnd.ms-project",  # decades older than DASH patches
    "mts": "video/mp2t",  # what camcorders write (AVCHD)
    "rtf": "application/rtf",  # text/* would get a charset; RTF declares its own
    "sub": UNKNOWN,  # two DVB formats, MicroDVD and VobSub: text and binary
    "wmz": "application/x-msmetafile",  # as .emz; the player with the skins is gone
    "xml": "application/xml",  # RFC 7303 §9.2: text/xml is its alias
    "xsl": "application/xslt+xml",  # what it is; browsers take any +xml
    # Registered, but without the suffix or under an older name.
    "arrow": "application/vnd.apache.arrow.file",
    "arrows": "application/vnd.apache.arrow.stream",
    "cbor": "application/cbor",  # RFC 8949
    "cur": "image/vnd.microsoft.icon",  # cursors share the icon format; nosniff needs image/*
    "deb": "application/vnd.debian.binary-package",
    "ecma": "text/javascript",  # RFC 9239 §6: application/ecmascript is obsolete
    "feather": "application/vnd.apache.arrow.file",  # version 2 is the Arrow file format
    "flac": "audio/flac",  # RFC 9639
    "jfif": "image/jpeg",  # image/pjpeg was Internet Explorer's
    "parquet": "application/vnd.apache.parquet",
    "pmtiles": "application/vnd.pmtiles",
    "sqlite": "application/vnd.sqlite3",
    "sqlite3": "application/vnd.sqlite3",
    "vcf": "text/vcard",  # RFC 6350
    "yaml": "application/yaml",  # RFC 9512
    "yml": "application/yaml",  # RFC 9512
    "zst": "application/zstd",  # RFC 8878 §7.1
    # Not registered; what clients agree on.
    "jsonl": "application/jsonl",
    "ndjson": "application/x-ndjson",
    "topojson": "application/json",  # fetch(...).json() and proxies that compress
    "wav": "audio/wav",  # the WHATWG's name; audio/vnd.wave is known to no browser
    # A compressed file is a file: no Content-Encoding comes with it, so no type that needs one.
    "svgz": "application/gzip",
    "tgz": "application/gzip",
    # Run by browsers only under this type (nosniff): UMD bundles are named .umd.cjs.
    "cjs": "text/javascript",
    # Source text: to be read, not run. text/plain is what every browser shows.
    "adoc": "text/plain",
    "cfg": "text/plain",
    "d.ts": "text/plain",  # surely TypeScript, where .ts alone is a piece of video
    "diff": "text/plain",
    "go": "text/plain",
    "graphql": "text/plain",
    "hpp": "text/plain",
    "kt": "text/plain",
    "lock": "text/plain",
    "patch": "text/plain",
    "proto": "text/plain",
    "py": "text/plain",
    "pyi": "text/plain",
    "rb": "text/plain",
    "rs": "text/plain",  # Rust is more than a few lists of SIP services (RFC 4662)
    "rst": "text/plain",
    "svelte": "text/plain",
    "swift": "text/plain",
    "tsx": "text/plain",
    "vue": "text/plain",
    "wat": "text/plain",
    # Checksums beside a download.
    "md5": "text/plain",
    "sha1": "text/plain",
    "sha256": "text/plain",
    "sha512": "text/plain",
}

Registry = dict[str, dict[str, Any]]


def download(directory: str) -> Registry:
    command = ["npm", "pack", "--silent", f"mime-db@{VERSION}"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=120)
    archive = next(Path(directory).glob("*.tgz"))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != SHA256:
        sys.exit(f"mime-db {VERSION} is not the archive it was: {digest}")
    with tarfile.open(archive) as members:
        file = members.extractfile("package/db.json")
        return json.load(file) if file else {}


def candidates(registry: Registry) -> dict[str, list[tuple[int, str]]]:
    """Map each suffix to its types, each with the rank of its source."""
    found = defaultdict(list)
    for media_type, facts in registry.items():
        for suffix in facts.get("extensions", ()):
            found[suffix].append((SOURCES.index(facts.get("source")), media_type))
    return found


def choose(suffix: str, types: list[tuple[int, str]]) -> str:
    best = min((rank for rank, _ in types), default=None)
    first = [media_type for rank, media_type in types if rank == best] or [UNKNOWN]
    chosen = CHOSEN.get(suffix, first[0])
    if suffix in CHOSEN and first == [chosen]:
        sys.exit(f".{suffix}: the choice of {chosen} is no longer needed")
    if suffix not in CHOSEN and len(first) > 1:
        sys.exit(f".{suffix}: choose one of {', '.join(first)}")
    return chosen


def module(registry: Registry) -> str:
    found = candidates(registry)
    chosen = {suffix: choose(suffix, found.get(suffix, [])) for suffix in {*found, *CHOSEN}}
    suffixes = defaultdict(list)
    for suffix, media_type in sorted(chosen.items()):
        suffixes[media_type].append(suffix)
    suffixes.pop(UNKNOWN, None)
    rows = [f"{media_type} {' '.join(named)}\n" for media_type, named in sorted(suffixes.items())]
    return (
        '"""Media types and their suffixes, from mime-db '
        f'{VERSION} (MIT); written by .ci/media_types.py, not by hand."""\n\n'
        "from typing import Final\n\n"
        "#: A type and its suffixes in each line, as in the file mime.types of Apache and nginx.\n"
        f'MIME_TYPES: Final = """\\\n{"".join(rows)}"""\n'
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        try:
            text = module(download(directory))
        except (OSError, subprocess.SubprocessError) as error:
            sys.exit(f"mime-db {VERSION} cannot be fetched: {error}")
    if "--check" not in sys.argv[1:]:
        MODULE.write_text(text, encoding="utf-8", newline="\n")
    elif not MODULE.exists() or MODULE.read_bytes() != text.encode():
        sys.exit(f"{MODULE.name} is not what .ci/media_types.py writes: run it")


if __name__ == "__main__":
    main()
