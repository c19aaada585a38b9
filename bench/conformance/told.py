"""The origin of a fault: the application, or a server that did not pass the request on to it.

An application on a server of somebody else answers for the request that reached it. A fault is the server's
when the request that showed it, sent to the same server with `probe` in the application's place,
never reaches the application, or reaches it as another request than was sent.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace

from bench.commands import gunicorn, hypercorn, uvicorn
from bench.conformance.exchange import Client, Sent
from bench.conformance.messages import Ask, Unanswered
from bench.conformance.servers import Server

_PROBE = "bench.conformance.probe"
_HYPERCORN, _UVICORN = hypercorn(f"{_PROBE}:asgi"), uvicorn(f"{_PROBE}:asgi")
_GUNICORN = gunicorn(f"{_PROBE}:wsgi")
# The contenders that are an application; the others are servers themselves.
_PROBED = {
    "asyncstatic-asgi": _HYPERCORN,
    "starlette": _UVICORN,
    "whitenoise": _GUNICORN,
    "servestatic": _UVICORN,
    "quart": _HYPERCORN,
    "flask": _GUNICORN,
}
# Framing belongs to the server, who may leave it out of what it tells.
_FRAMING = {"connection", "content-length", "transfer-encoding"}


def with_probe(server: Server) -> Server | None:
    """Put the probe in the place of a server's application; None where the two are one."""
    command = _PROBED.get(server.name)
    return replace(server, command=command, http2=server.http2 and command) if command else None


def excuse(probed: Client, sent: Sent) -> str | None:
    """Say what kept the application from answering rightly; None when nothing did.

    Where the probe's server does not answer either, nobody can tell: that excuses nothing.

    Args:
        probed: a client of the server with the probe.
        sent: the request that showed the fault.

    """
    try:
        told = _told(probed, sent)
    except Unanswered:
        return None
    if told is None:
        return "the application is not asked"
    asked = _asked(sent)
    if asked is None or _is_told(told, asked):
        return None
    return f"the application is told {told.method} {told.target[:60]}"


def _told(probed: Client, sent: Sent) -> Ask | None:
    """Send a request again, and give what the application was told of it; None for nothing."""
    said = probed.again(sent).get("Told")
    if said is None:
        return None
    method, target, fields = json.loads(b64decode(said))
    return Ask(target, method, tuple((name, value) for name, value in fields))


def _asked(sent: Sent) -> Ask | None:
    """Read what was sent; None when it is no request, whatever the server made of it."""
    if isinstance(sent, Ask):
        octets = sent.target.encode("utf-8", "surrogateescape")
        return replace(sent, target=octets.decode("latin-1"))
    line, *lines = sent.partition(b"\r\n\r\n")[0].lstrip(b"\r\n").decode("latin-1").split("\r\n")
    words = line.split(" ")
    fields = tuple((name, value) for name, _, value in (pair.partition(":") for pair in lines))
    return Ask(words[1], words[0], fields) if len(words) == 3 else None


def _is_told(told: Ask, asked: Ask) -> bool:
    """Tell whether method, target and every field came through."""
    known, wanted = _fields(told), _fields(asked)
    same_fields = all(known.get(name) == value for name, value in wanted.items())
    return same_fields and (told.method, told.target) == (asked.method, asked.target)


def _fields(request: Ask) -> dict[str, str]:
    """Combine the lines of each field (9110 §5.3)."""
    found: dict[str, str] = {}
    for name, value in request.fields:
        key, text = name.lower(), value.strip(" \t")
        if key not in _FRAMING:
            found[key] = f"{found[key]},{text}" if key in found else text
    return {name: value.replace(" ", "") for name, value in found.items()}
