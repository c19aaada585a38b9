"""Listening: the forms of ``--bind``, the sockets that they make, and the URLs of these.

=====================  ====================================================================
``HOST:PORT``          an address or a name; ``[::1]:8000`` for IPv6; port 0 for any free one
``HOST``, ``PORT``     port 8000 of the host, that port of 127.0.0.1
``:PORT``              that port of all IPv4 interfaces, as ``0.0.0.0:PORT``
``unix:PATH``          a Unix socket; a stale one is replaced, a live one is not
``fd://NUMBER``        a socket that was inherited, as from systemd (``LISTEN_FDS``)
=====================  ====================================================================
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from hypercorn.config import Sockets

from asyncstatic.settings import SettingsError
from asyncstatic.values import printable

_DEFAULT_PORT = "8000"
_LOOPBACK = "127.0.0.1"
_EVERYWHERE = {"0.0.0.0": _LOOPBACK, "::": "::1"}  # noqa: S104 - a comparison
BACKLOG = 2048  # connections that wait to be accepted; the kernel has its own limit as well


def checked_bind(text: str) -> str:
    """Return the full form of a ``--bind``: ``unix:PATH``, ``fd://NUMBER`` or ``HOST:PORT``.

    Raises:
        SettingsError: the form is wrong; the message, one line, names the right one.
    """
    label = f"--bind {printable(text)}"
    if text.startswith("unix:"):
        if not text.removeprefix("unix:"):
            raise SettingsError(f"{label}: say unix:PATH, such as unix:/run/site.sock")
        return text
    if text.startswith("fd:"):
        if not _is_number(text.removeprefix("fd://")):
            raise SettingsError(f"{label}: say fd://NUMBER of an inherited socket, such as fd://3")
        return text
    host, port = _host_and_port(text)
    if "://" in text or "/" in text or not _is_number(port) or int(port) > 65_535:
        raise SettingsError(f"{label}: say HOST:PORT, such as 127.0.0.1:8000")
    if not host or not _is_host(host):
        raise SettingsError(f"{label}: {_hint_for_host(text)}")
    return f"{host}:{port}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _host_and_port(text: str) -> tuple[str, str]:
    if _is_number(text):
        return _LOOPBACK, text
    if text.endswith("]"):
        return text, _DEFAULT_PORT
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, _DEFAULT_PORT
    return host or "0.0.0.0", port  # noqa: S104 - what ":PORT" means everywhere


def _is_host(host: str) -> bool:
    if host.startswith("[") and host.endswith("]"):
        return _is_ipv6(host[1:-1])
    return host.isprintable() and not any(character in host for character in ":[] ")


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _hint_for_host(text: str) -> str:
    host, _, port = text.rpartition(":")
    if _is_ipv6(host) and _is_number(port):
        return f"put an IPv6 address in brackets: [{host}]:{port}"
    if _is_ipv6(text):
        return f"put an IPv6 address in brackets: [{text}]:{_DEFAULT_PORT}"
    return "say HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000"


@dataclass(frozen=True, slots=True)
class Place:
    """The address of a socket, for people.

    Attributes:
        url: a URL that can be opened, or ``unix:PATH``.
        is_everywhere: the socket listens on all interfaces.
    """

    url: str
    is_everywhere: bool = False

    def __str__(self) -> str:
        return f"{self.url} (all interfaces)" if self.is_everywhere else self.url


@dataclass
class Listening:
    """Sockets that listen.

    Attributes:
        sockets: the sockets, in the form that Hypercorn takes.
        places: the address of each.
    """

    sockets: Sockets
    places: list[Place] = field(default_factory=list)


@contextmanager
def listening(binds: tuple[str, ...], *, tls: bool, mode: int | None = None) -> Iterator[Listening]:
    """Listen on addresses, and remove the Unix sockets at the end.

    Args:
        binds: the addresses, as `checked_bind` returns them.
        tls: whether the sockets are for HTTPS.
        mode: permissions of Unix sockets; the umask decides if None.

    Raises:
        OSError: the server cannot listen on an address; the message, one line, names it.
    """
    made: list[socket.socket] = []
    files: list[tuple[str, tuple[int, int]]] = []
    try:
        for bind in binds:
            made.append(_listener(bind, mode))
            if bind.startswith("unix:"):
                files.append(_identity(bind.removeprefix("unix:")))
        sockets = Sockets(made if tls else [], [] if tls else made, [])
        places = [_place(sock, bind, tls) for sock, bind in zip(made, binds, strict=True)]
        yield Listening(sockets, places)
    finally:
        for file in files:
            _remove(*file)
        for sock in made:
            sock.close()


def _listener(bind: str, mode: int | None) -> socket.socket:
    try:
        if bind.startswith("unix:"):
            sock = _unix_socket(bind.removeprefix("unix:"), mode)
        elif bind.startswith("fd://"):
            sock = _inherited_socket(int(bind.removeprefix("fd://")))
        else:
            sock = _tcp_socket(bind)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            f"cannot listen on {printable(bind)}: {reason}; choose another address with --bind"
        ) from error
    sock.setblocking(False)
    sock.set_inheritable(True)
    return sock


def _tcp_socket(bind: str) -> socket.socket:
    host, _, port = bind.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if os.name == "posix":  # elsewhere it lets two servers have one port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host.strip("[]"), int(port)))
        sock.listen(BACKLOG)  # two sockets may be bound to one port; only listen(2) fails
    except BaseException:
        sock.close()
        raise
    return sock


def _inherited_socket(number: int) -> socket.socket:
    sock = socket.socket(fileno=number)
    if sock.type != socket.SOCK_STREAM:
        sock.detach()  # the socket belongs to the parent
        raise OSError(errno.EPROTOTYPE, "not a stream socket")
    sock.listen(BACKLOG)
    return sock


def _unix_socket(path: str, mode: int | None) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EAFNOSUPPORT, "this system has no Unix sockets")
    _make_way(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A socket file is created with the mode 0777 less the umask (unix(7)).
    umask = None if mode is None else os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    finally:
        if umask is not None:
            os.umask(umask)
    return sock


def _make_way(path: str) -> None:
    """Remove a stale socket file: no server listens on it any more.

    Raises:
        OSError: a server listens on it, or the file is not a socket.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "a file that is not a socket is there")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            with suppress(FileNotFoundError):
                os.unlink(path)
            return
        except BlockingIOError:  # its queue is full, so a server listens
            pass
    raise OSError(errno.EADDRINUSE, "in use by a running server")


def _identity(path: str) -> tuple[str, tuple[int, int]]:
    facts = os.lstat(path)
    return os.path.abspath(path), (facts.st_dev, facts.st_ino)


def _remove(path: str, identity: tuple[int, int]) -> None:
    """Remove our socket file, unless another server has replaced it by its own."""
    with suppress(OSError):  # in a sandbox nothing can be removed; the next server replaces it
        if _identity(path)[1] == identity:
            os.unlink(path)


def _place(sock: socket.socket, bind: str, tls: bool) -> Place:
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return Place(bind if bind.startswith("unix:") else f"unix:{os.fsdecode(name)}")
    bound, port = name[0], name[1]
    named = "" if bind.startswith("fd://") else bind.rpartition(":")[0].strip("[]")
    host = _EVERYWHERE.get(bound, named or bound)
    host = f"[{host}]" if ":" in host else host
    return Place(f"{'https' if tls else 'http'}://{host}:{port}/", bound in _EVERYWHERE)
