"""Raw requests by the thousand: what clients send, and what attackers do (RFC 9112)."""

from __future__ import annotations

import random
from collections.abc import Iterator

_PLAIN = b"GET /css/app.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
_LAST = b"GET /css/app.css HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def request(*lines: bytes, start: bytes = b"GET /css/app.css HTTP/1.1") -> bytes:
    """A request that has these field lines, after its Host."""
    return b"\r\n".join((start, b"Host: localhost", *lines, b"", b""))


def started(start: bytes) -> bytes:
    """A request with this request line."""
    return request(start=start)


def hosted(*hosts: bytes) -> bytes:
    """A request with these Host lines."""
    return b"\r\n".join((b"GET /css/app.css HTTP/1.1", *hosts, b"", b""))


#: name -> bytes of one connection.
TABLE: dict[str, bytes] = {
    "plain": _PLAIN,
    "close": _LAST,
    "head": started(b"HEAD /css/app.css HTTP/1.1"),
    "options": started(b"OPTIONS /css/app.css HTTP/1.1"),
    "options asterisk": started(b"OPTIONS * HTTP/1.1"),
    "get asterisk": started(b"GET * HTTP/1.1"),
    "post without content": started(b"POST /css/app.css HTTP/1.1"),
    "connect": started(b"CONNECT localhost:80 HTTP/1.1"),
    "trace": started(b"TRACE / HTTP/1.1"),
    "lower-case method": started(b"get /css/app.css HTTP/1.1"),
    "unknown method": started(b"BREW /pot HTTP/1.1"),
    "method that begins like ours": started(b"GETS /css/app.css HTTP/1.1"),
    "method with a control": started(b"G\x00T / HTTP/1.1"),
    # -- content: which of two framings? (RFC 9112 §6.3, §11.2)
    "length and chunked": request(b"Content-Length: 4", b"Transfer-Encoding: chunked")
    + b"0\r\n\r\n"
    + _SMUGGLED,
    "chunked and length": request(b"Transfer-Encoding: chunked", b"Content-Length: 4")
    + b"0\r\n\r\n"
    + _SMUGGLED,
    "length on get": request(b"Content-Length: 5") + b"12345" + _LAST,
    "length zero": request(b"Content-Length: 0") + _LAST,
    "length short of content": request(b"Content-Length: 3") + b"12345",
    "length twice, equal": request(b"Content-Length: 5", b"Content-Length: 5") + b"12345" + _LAST,
    "length twice, different": request(b"Content-Length: 5", b"Content-Length: 6")
    + b"12345"
    + _LAST,
    "length list": request(b"Content-Length: 5, 5") + b"12345" + _LAST,
    "length negative": request(b"Content-Length: -1") + _SMUGGLED,
    "length signed": request(b"Content-Length: +5") + b"12345" + _SMUGGLED,
    "length hexadecimal": request(b"Content-Length: 0x5") + b"12345" + _SMUGGLED,
    "length with a space before its colon": request(b"Content-Length : 5") + b"12345" + _SMUGGLED,
    "length with an underscore": request(b"Content_Length: 5") + _LAST,
    "chunked": request(b"Transfer-Encoding: chunked") + b"5\r\n12345\r\n0\r\n\r\n" + _LAST,
    "chunked with trailer": request(b"Transfer-Encoding: chunked", b"Trailer: X")
    + b"0\r\nX: 1\r\n\r\n"
    + _LAST,
    "chunked in capitals": request(b"Transfer-Encoding: CHUNKED") + b"0\r\n\r\n" + _LAST,
    "chunked twice": request(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n" + _SMUGGLED,
    "chunked and identity": request(b"Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",
    "coding nobody knows": request(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n" + _SMUGGLED,
    "chunked after a vertical tab": request(b"Transfer-Encoding:\x0bchunked") + b"0\r\n\r\n",
    "chunked with a space before its colon": request(b"Transfer-Encoding : chunked") + b"0\r\n\r\n",
    "chunked behind a bare line feed": request(b"X: y\nTransfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunk size that is none": request(b"Transfer-Encoding: chunked") + b"z\r\n\r\n" + _SMUGGLED,
    "chunk size too long": request(b"Transfer-Encoding: chunked") + b"f" * 40 + b"\r\n",
    "chunk extension": request(b"Transfer-Encoding: chunked") + b"0;a=b\r\n\r\n" + _LAST,
    "chunk with bare line feeds": request(b"Transfer-Encoding: chunked") + b"0\n\n" + _SMUGGLED,
    "expect": request(b"Expect: 100-continue"),
    "expect with content": request(b"Expect: 100-continue", b"Content-Length: 2") + b"ab" + _LAST,
    "expect something else": request(b"Expect: 42-maybe"),
    # -- lines and fields (RFC 9112 §2.2, §5)
    "bare line feeds": _PLAIN.replace(b"\r\n", b"\n"),
    "one bare line feed": b"GET /css/app.css HTTP/1.1\nHost: localhost\r\n\r\n",
    "bare line feed at the end": b"GET /css/app.css HTTP/1.1\r\nHost: localhost\r\n\n",
    "bare line feed, then a second head": b"GET / HTTP/1.1\r\nHost: a\r\n\n" + _SMUGGLED,
    "bare carriage return": request(b"X: a\rb"),
    "bare carriage return before the end": b"GET / HTTP/1.1\r\nHost: localhost\r\r\n\r\n",
    "folded field": request(b"X: a", b" b"),
    "folded with a tab": request(b"X: a", b"\tb"),
    "folded first field": b"GET / HTTP/1.1\r\n X: a\r\nHost: localhost\r\n\r\n",
    "space before a colon": request(b"X : a"),
    "tab before a colon": request(b"X\t: a"),
    "space before a name": request(b"A: b", b" X: a"),
    "no colon": request(b"X"),
    "empty name": request(b": a"),
    "empty value": request(b"X:"),
    "value of spaces": request(b"X:   \t "),
    "nul in a value": request(b"X: a\x00b"),
    "nul in a name": request(b"X\x00Y: a"),
    "control in a value": request(b"X: a\x01b"),
    "delete in a value": request(b"X: a\x7fb"),
    "escape in a value": request(b"X: \x1b[2J"),
    "beyond ascii in a value": request(b"X: \xe9\xff"),
    "beyond ascii in a name": request(b"\xe9: a"),
    "delimiter in a name": request(b"X(): a"),
    "leading line ends": b"\r\n\r\n" + _LAST,
    "leading line end": b"\r\n" + _LAST,
    "leading line feed": b"\n" + _LAST,
    "leading space": b" " + _LAST,
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "nothing but line ends": b"\r\n\r\n\r\n",
    # -- host (RFC 9112 §3.2)
    "no host": b"GET /css/app.css HTTP/1.1\r\n\r\n",
    "no host but fields": hosted(b"Accept: */*"),
    "two hosts": hosted(b"Host: localhost", b"Host: localhost"),
    "two different hosts": hosted(b"Host: a", b"Host: b"),
    "empty host": hosted(b"Host:"),
    "host with a space": hosted(b"Host: a b"),
    "host with a slash": hosted(b"Host: a/b"),
    "host with user": hosted(b"Host: user@localhost"),
    "host with a comma": hosted(b"Host: a, b"),
    "host with a port": hosted(b"Host: localhost:80"),
    "host with a port that is none": hosted(b"Host: localhost:http"),
    "host of version 6": hosted(b"Host: [::1]:80"),
    "host without a bracket": hosted(b"Host: [::1"),
    "host with brackets": hosted(b"Host: a]b[c"),
    "host encoded": hosted(b"Host: a%2fb"),
    "host beyond ascii": hosted(b"Host: \xe9"),
    # -- targets (RFC 9112 §3.2)
    "absolute-form": started(b"GET http://localhost/css/app.css HTTP/1.1"),
    "absolute-form of another host": started(b"GET http://elsewhere/css/app.css HTTP/1.1"),
    "absolute-form with https": started(b"GET https://localhost/css/app.css HTTP/1.1"),
    "absolute-form without a path": started(b"GET http://localhost HTTP/1.1"),
    "authority-form": started(b"GET localhost:80 HTTP/1.1"),
    "no slash": started(b"GET css/app.css HTTP/1.1"),
    "two slashes": started(b"GET //css/app.css HTTP/1.1"),
    "fragment": started(b"GET /css/app.css#a HTTP/1.1"),
    "query": started(b"GET /css/app.css?a=b&c HTTP/1.1"),
    "encoded": started(b"GET /css%2Fapp.css HTTP/1.1"),
    "encoded letters": started(b"GET /%63ss/app.css HTTP/1.1"),
    "encoded nul": started(b"GET /css%00 HTTP/1.1"),
    "malformed percent": started(b"GET /css% HTTP/1.1"),
    "parent": started(b"GET /docs/../css/app.css HTTP/1.1"),
    "encoded parent": started(b"GET /docs/%2e%2e/css/app.css HTTP/1.1"),
    "current": started(b"GET /./css/app.css HTTP/1.1"),
    "backslash": started(b"GET /css\\app.css HTTP/1.1"),
    "space in a target": started(b"GET /with space.txt HTTP/1.1"),
    "tab in a target": started(b"GET /a\tb HTTP/1.1"),
    "nul in a target": started(b"GET /a\x00b HTTP/1.1"),
    "beyond ascii in a target": started("GET /docs/deep/été.html HTTP/1.1".encode()),
    "utf-8, encoded": started(b"GET /docs/deep/%C3%A9t%C3%A9.html HTTP/1.1"),
    "not utf-8": started(b"GET /%FF HTTP/1.1"),
    "hidden": started(b"GET /.hidden HTTP/1.1"),
    "well-known": started(b"GET /.well-known/security.txt HTTP/1.1"),
    "directory without slash": started(b"GET /docs HTTP/1.1"),
    "directory without slash, with a query": started(b"GET /docs?x=/y HTTP/1.1"),
    "directory": started(b"GET /docs/ HTTP/1.1"),
    "file with slash": started(b"GET /css/app.css/ HTTP/1.1"),
    "missing": started(b"GET /missing HTTP/1.1"),
    "missing, html wanted": request(b"Accept: text/html", start=b"GET /missing HTTP/1.1"),
    "target of 8192 bytes": started(b"GET /" + b"a" * 8191 + b" HTTP/1.1"),
    "target of 8193 bytes": started(b"GET /" + b"a" * 8192 + b" HTTP/1.1"),
    # -- versions (RFC 9112 §2.3)
    "version 1.0": b"GET /css/app.css HTTP/1.0\r\n\r\n",
    "version 1.0 with host": started(b"GET /css/app.css HTTP/1.0"),
    "version 1.0 that stays": request(b"Connection: keep-alive", start=b"GET / HTTP/1.0") + _LAST,
    "version 0.9": b"GET /css/app.css\r\n\r\n",
    "version 0.9 without line end": b"GET /css/app.css\n",
    "version 1.2": started(b"GET /css/app.css HTTP/1.2"),
    "version 2.0": started(b"GET /css/app.css HTTP/2.0"),
    "version 11": started(b"GET /css/app.css HTTP/11"),
    "version lower-case": started(b"GET /css/app.css http/1.1"),
    "version missing its slash": started(b"GET /css/app.css HTTP1.1"),
    "two spaces in the line": started(b"GET  /css/app.css HTTP/1.1"),
    "tab in the line": started(b"GET\t/css/app.css HTTP/1.1"),
    "space at the line's end": started(b"GET /css/app.css HTTP/1.1 "),
    "preface of version 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    # -- connection and upgrade (RFC 9110 §7.6.1, §7.8)
    "keep-alive": request(b"Connection: keep-alive") + _LAST,
    "close and keep-alive": request(b"Connection: close, keep-alive"),
    "close in capitals": request(b"CONNECTION: CLOSE"),
    "close twice": request(b"Connection: close", b"Connection: close"),
    "connection names a field": request(b"Connection: close, X", b"X: y"),
    "upgrade to websocket": request(
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "websocket without its fields": request(b"Connection: Upgrade", b"Upgrade: websocket"),
    "upgrade to h2c": request(
        b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"
    ),
    "upgrade to h2c, unconnected": request(b"Upgrade: h2c"),
    "upgrade to something": request(b"Connection: Upgrade", b"Upgrade: foo/2"),
    "upgrade, unconnected": request(b"Upgrade: foo/2"),
    "te": request(b"TE: trailers", b"Connection: TE"),
    "keep-alive field": request(b"Keep-Alive: timeout=5"),
    # -- lengths (RFC 6585 §5)
    "head just below the limit": request(b"X: " + b"a" * 16_000),
    "head above the limit, unfinished": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000,
    "head above the limit, whole": request(b"X: " + b"a" * 20_000),
    "line above the limit, unfinished": b"GET /" + b"a" * 20_000,
    "method above the limit, unfinished": b"A" * 20_000,
    "a thousand fields": request(*(b"X%d: y" % number for number in range(1000))),
    "two thousand fields": request(*(b"X%d: y" % number for number in range(2000))),
    # -- several on one connection (RFC 9112 §9.3)
    "three": _PLAIN * 2 + _LAST,
    "three, large between": _PLAIN + started(b"GET /big.bin HTTP/1.1") + _LAST,
    "large, then head": started(b"GET /pixels.png HTTP/1.1")
    + request(b"Connection: close", start=b"HEAD /pixels.png HTTP/1.1"),
    "a bad one behind a good one": _PLAIN + request(b"X : y") + _SMUGGLED,
    "an upload behind a download": _PLAIN
    + request(b"Content-Length: 3", start=b"POST /css/app.css HTTP/1.1")
    + b"abc"
    + _LAST,
    "behind close": _LAST + _SMUGGLED,
    "line feed behind close": _LAST + b"\n",
    "line feed behind version 1.0": b"GET /css/app.css HTTP/1.0\r\n\r\n\n",
    "request behind version 1.0": b"GET /css/app.css HTTP/1.0\r\n\r\n" + _SMUGGLED,
    "line ends behind an upload": request(b"Content-Length: 3", start=b"POST / HTTP/1.1")
    + b"abc\r\n"
    + _LAST,
    "line ends behind an upload, close": request(
        b"Content-Length: 3", b"Connection: close", start=b"POST / HTTP/1.1"
    )
    + b"abc\r\n",
    "cut off in the line": b"GET /css/ap",
    "cut off in the fields": b"GET /css/app.css HTTP/1.1\r\nHo",
    "cut off before the end": _PLAIN[:-1],
    "garbage behind a good one": _PLAIN + b"\x00\x01\x02\x03\r\n\r\n",
    "line ends between": _PLAIN + b"\r\n\r\n" + _LAST,
    # -- what a root answers (RFC 9110 §13, §14)
    "range": request(b"Range: bytes=2-5"),
    "range of a large file": request(b"Range: bytes=70000-1100000", start=b"GET /big.bin HTTP/1.1"),
    "suffix": request(b"Range: bytes=-7", start=b"GET /big.bin HTTP/1.1"),
    "range not satisfiable": request(b"Range: bytes=99999999-"),
    "range unknown": request(b"Range: lines=1-2"),
    "if-none-match": request(b"If-None-Match: *"),
    "if-match": request(b'If-Match: "no"'),
    "if-modified-since": request(b"If-Modified-Since: Fri, 31 Dec 2038 23:59:59 GMT"),
    "gzip": request(b"Accept-Encoding: gzip", start=b"GET /app.js HTTP/1.1"),
    "no identity": request(b"Accept-Encoding: identity;q=0", start=b"GET /app.js HTTP/1.1"),
    "empty file": started(b"GET /empty.txt HTTP/1.1"),
    "fields joined": request(b"Accept-Encoding: br", b"Accept-Encoding: gzip"),
}

_STARTS = (b"GET", b"HEAD", b"GET", b"HEAD", b"OPTIONS", b"POST", b"PUT", b"FOO", b"")
_TARGETS = (
    *(b"/", b"/css/app.css", b"/app.js", b"/docs", b"/docs/", b"/missing", b"/pixels.png", b"/%zz"),
    *(b"/with%20space.txt", b"//", b"*", b"http://localhost/", b"/a b", b"/.hidden", b"/css/../a"),
)
_VERSIONS = (b"HTTP/1.1",) * 8 + (b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"")
_LINES = (
    *(b"Connection: close", b"Connection: keep-alive", b"Connection: Upgrade", b"Accept: */*"),
    *(b"Content-Length: 0", b"Content-Length: 3", b"Content-Length: 3, 3", b"Content-Length: x"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Expect: 100-continue"),
    *(b"Range: bytes=1-3", b"Range: bytes=1-2,4-5", b"If-None-Match: *", b"Accept-Encoding: gzip"),
    *(b"X : y", b" folded", b"X:\x00", b"X: \x0b", b"\xff: y", b"X: \xff", b"no colon", b"Host: b"),
    *(b"User-Agent: a", b"Cookie: a=b", b"TE: trailers", b"Upgrade: foo", b"X:", b"Trailer: X"),
)
_ENDS = (b"\r\n",) * 30 + (b"\n", b"\r", b"\r\r\n", b" \r\n")
_CONTENTS = (b"", b"", b"", b"abc", b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", _LAST, _SMUGGLED)


def _one(chance: random.Random) -> bytes:
    """A request that is mostly right."""
    words = (chance.choice(_STARTS), chance.choice(_TARGETS), chance.choice(_VERSIONS))
    lines = [chance.choice((b" ",) * 20 + (b"  ", b"\t")).join(words)]
    lines += [b"Host: localhost"] * chance.choice((1,) * 12 + (0, 2))
    lines += chance.choices(_LINES, k=chance.choice((0, 0, 1, 1, 2, 3)))
    data = b"".join(line + chance.choice(_ENDS) for line in lines)
    return data + chance.choice((b"\r\n",) * 20 + (b"\n", b"")) + chance.choice(_CONTENTS)


def _damaged(data: bytes, chance: random.Random) -> bytes:
    """The same with a byte less, more or other."""
    at = chance.randrange(len(data))
    other = bytes([chance.choice((0, 9, 10, 11, 13, 32, 47, 58, 127, 255, chance.randrange(256)))])
    return data[:at] + chance.choice((b"", other, other + data[at : at + 1])) + data[at + 1 :]


def generated(count: int, seed: str) -> Iterator[bytes]:
    """Bytes of `count` connections: requests alone and in a row, some of them damaged."""
    chance = random.Random(seed)
    for _ in range(count):
        data = b"".join(_one(chance) for _ in range(chance.choice((1, 1, 1, 2, 3))))
        yield _damaged(data, chance) if data and chance.random() < 0.4 else data
