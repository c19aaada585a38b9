"""Where to listen: the options, else sockets from systemd, else ``$PORT``, else port 8000."""

from __future__ import annotations

import os
from collections.abc import MutableMapping, Sequence
from typing import NamedTuple

from asyncstatic.serve.process.bind import checked_bind, is_number
from asyncstatic.settings import SettingsError
from asyncstatic.settings.values import printable

_DEFAULT = "127.0.0.1:8000"
_FIRST_FD = 3  # SD_LISTEN_FDS_START
_OF_SYSTEMD = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class Addresses(NamedTuple):
    """Addresses in the forms that `checked_bind` returns.

    Attributes:
        bind: of ``--bind``.
        tls_bind: of ``--tls-bind``.
    """

    bind: tuple[str, ...]
    tls_bind: tuple[str, ...] = ()


def addresses(
    bind: Sequence[str], tls_bind: Sequence[str], environ: MutableMapping[str, str]
) -> Addresses:
    """Choose the addresses, and take the variables of systemd out of the environment.

    Without an option, sockets that systemd has opened are used (sd_listen_fds(3)); those that it
    names ``https`` (``FileDescriptorName=``) are for TLS. Without these, the ``PORT`` of a platform
    means that port of all IPv4 interfaces.

    Args:
        bind: texts of ``--bind``.
        tls_bind: texts of ``--tls-bind``.
        environ: the environment of this process and of its children.

    Raises:
        SettingsError: an address or a variable is wrong.
    """
    activated = _activated(environ)
    if bind or tls_bind:
        return Addresses(
            tuple(checked_bind(text) for text in bind),
            tuple(checked_bind(text, "--tls-bind") for text in tls_bind),
        )
    if activated is not None:
        return activated
    port = _port(environ)
    return Addresses((_DEFAULT if port is None else f"0.0.0.0:{port}",))


def _activated(environ: MutableMapping[str, str]) -> Addresses | None:
    """Return the sockets that systemd has opened for this process."""
    if environ.get("LISTEN_PID") != str(os.getpid()):  # they belong to a parent
        return None
    values = {name: environ.pop(name, "") for name in _OF_SYSTEMD}
    count = values["LISTEN_FDS"]
    if not is_number(count):
        raise SettingsError(f"LISTEN_FDS={printable(count)}: a number of sockets is needed")
    names = values["LISTEN_FDNAMES"].split(":")
    plain: list[str] = []
    secure: list[str] = []
    for index in range(int(count)):
        is_secure = names[index : index + 1] == ["https"]
        (secure if is_secure else plain).append(f"fd://{_FIRST_FD + index}")
    return Addresses(tuple(plain), tuple(secure)) if plain or secure else None


def _port(environ: MutableMapping[str, str]) -> str | None:
    """Return the port that a platform such as Heroku or Cloud Run has chosen.

    Kubernetes sets ``PORT=tcp://...`` beside a Service without a name of its own, so a URL is none.
    """
    port = environ.get("PORT", "")
    if not port or "://" in port:
        return None
    if not is_number(port) or int(port) > 65_535:
        raise SettingsError(
            f"PORT={printable(port)}: the number of a port is needed, such as 8000; "
            "or name an address with --bind"
        )
    return port
