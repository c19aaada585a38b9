"""Attacks as request targets: every spelling of a way out of the root, of a second name, of a fault."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

#: What an attack tries to reach; none of it is public. The last lies inside the root, hidden.
GOALS = (b"secret.txt", b"site-two/secret.txt", b"etc/passwd", b".hidden", b".git/config")

#: "." "/" and "\" as filters have met them: plain, encoded, encoded twice, overlong UTF-8
#: (RFC 3629 §3), full-width forms, IIS's %u.
DOTS = (
    b".",
    b"%2e",
    b"%2E",
    b"%252e",
    b"%c0%ae",
    b"%e0%80%ae",
    b"%ef%bc%8e",
    b"%u002e",
    b"%5Cu002e",
)
SLASHES = (
    *(b"/", b"%2f", b"%2F", b"%252f", b"%25252f", b"%c0%af", b"%e0%80%af", b"%c1%9c"),
    *(
        b"\\",
        b"%5c",
        b"%5C",
        b"%255c",
        b"%ef%bc%8f",
        b"%u2215",
        b"//",
        b"/./",
        b"%00/",
        b";/",
        b"%2f/",
    ),
)
#: Bytes that end a name for C, a header field, a shell, or another parser.
CUTS = (
    b"%00",
    b"%0a",
    b"%0d%0a",
    b"%20",
    b"%09",
    b"%7f",
    b"%ff",
    b"%",
    b"%2",
    b"%zz",
    b"%c3",
    b"%ed%a0%80",
)
#: Names that are devices, streams or short names elsewhere; here they name nothing.
WINDOWS = (
    *(b"con", b"CON.txt", b"nul", b"aux.html", b"com1", b"COM%C2%B9", b"lpt9.js", b"conin$"),
    *(b"page.html::$DATA", b"page.html:stream", b"PAGE~1.HTM", b"page.html.", b"page.html%20"),
    *(b"C:/windows/win.ini", b"C:%5Cwindows", b"%5C%5Chost%5Cshare", b"%3f%3f%5CC:"),
)
#: What means another name, or none, to somebody in front of us.
ALIASES = (
    *(b"PAGE.HTML", b"Page.html", b"p%61ge.html%2f", b"page.html/", b"page.html//", b"page.html/."),
    *(b"page%2ehtml%00.txt", b"page.html;v=1", b"page.html%3fq", b"page.html%23f", b"page.html#f"),
    *(b"dir/e%CC%81te.html", b"dir/%C3%A9te%CC%81.html", b"dir//page.html", b"dir/./page.html"),
    *(
        b"dir/%2e/page.html",
        b"~/page.html",
        b"~root/",
        b"-",
        b"*",
        b"%2a",
        b"dir/*",
        b"[",
        b"]",
        b"{}",
    ),
)
#: Targets that are not in origin-form (RFC 9112 §3.2), and ones that are hardly that.
FORMS = (
    *(
        b"http://localhost/../secret.txt",
        b"http://localhost",
        b"http://x@localhost/%2e%2e/secret.txt",
    ),
    *(
        b"HTTP://LOCALHOST//etc/passwd",
        b"file:///etc/passwd",
        b"ftp://localhost/x",
        b"localhost:80",
    ),
    *(b"*", b"page.html", b"../secret.txt", b"?", b"?../secret.txt", b"//localhost/secret.txt"),
    *(
        b"///",
        b"/%",
        b"/%%",
        b"/?%00",
        b"/page.html?/../../secret.txt",
        b"/.%2e?x=/",
        b"http:///etc/passwd",
    ),
)
_ALPHABET = tuple(dict.fromkeys((*DOTS, *SLASHES, *CUTS, b"page.html", b"dir", b"a", b"?", b"")))


def attacks() -> list[bytes]:
    """Every attack once: several hundred targets."""
    found = itertools.chain(
        _ways_out(),
        _hidden(),
        _cut_names(),
        _under("", WINDOWS),
        _under("", ALIASES),
        FORMS,
        _long(),
    )
    return list(dict.fromkeys(found))


def _ways_out() -> Iterator[bytes]:
    for dot, slash in itertools.product(DOTS, SLASHES):
        up = dot + dot + slash
        yield b"/" + up * 3 + GOALS[0]
        yield b"/dir" + slash + up * 2 + GOALS[1].replace(b"/", slash)
    for goal in GOALS:
        for up in (b"../", b"..%2f", b"%2e%2e/", b"..\\", b"..;/", b".%2e/", b"....//", b".../"):
            yield b"/" + up * 9 + goal
            yield b"/dir/" + up * 2 + goal
        yield b"//" + goal
        yield b"/%2f" + goal
        yield b"/%2f%2f" + goal


def _hidden() -> Iterator[bytes]:
    for goal in (b".hidden", b".git/config", b"dir/.env", b".well-known/../.hidden", b"to_hidden"):
        yield b"/" + goal
        yield b"/" + goal.replace(b".", b"%2e")
        yield b"/" + goal + b"/"
        yield b"/" + goal + b"%00"
    yield from (
        b"/out",
        b"/out/secret.txt",
        b"/outdir/secret.txt",
        b"/root_of_all/etc/passwd",
        b"/loop",
    )


def _cut_names() -> Iterator[bytes]:
    for cut in CUTS:
        for target in (b"/%spage.html", b"/page.html%s", b"/page%s.html", b"/dir%s/page.html"):
            yield target % cut
        yield b"/../secret.txt" + cut + b".html"


def _under(prefix: str, names: tuple[bytes, ...]) -> Iterator[bytes]:
    for name in names:
        yield prefix.encode() + b"/" + name
        yield prefix.encode() + b"/dir/" + name


def _long() -> Iterator[bytes]:
    for unit in (b"a", b"/", b"%61", b"../", b"/.", b"%2e%2e/", b"%c3%a9", b"a/", b"%"):
        for data in (255, 256, 4095, 4096, 4097, 8192, 8193, 9000):
            yield (b"/" + unit * data)[:data]


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """Attacks put together, cut and spoilt at random; equal for an equal seed."""
    chance = random.Random(seed)
    known = attacks()
    for _ in range(count):
        pieces = [chance.choice(_ALPHABET) for _ in range(chance.randrange(1, 9))]
        target = bytearray(chance.choice((b"/" + b"".join(pieces), chance.choice(known))))
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(target) + 1)
            target[at : at + chance.randrange(3)] = bytes([chance.randrange(0x21, 0x100)])
        yield bytes(target)
