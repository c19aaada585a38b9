"""Listening: the forms of ``--bind`` and ``--tls-bind``, their sockets, and the URLs of these.

=====================  ====================================================================
``HOST:PORT``          an address, or all addresses of a name; ``[::1]:8000`` for IPv6; port 0 for any
                       free one
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
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from hypercorn.config import Sockets

from asyncstatic.settings import SettingsError
from asyncstatic.settings.values import printable

if sys.platform != "win32":
    import fcntl

_DEFAULT_PORT = "8000"
_LOOPBACK = "127.0.0.1"
_EVERYWHERE = {"0.0.0.0": _LOOPBACK, "::": "::1"}  # noqa: S104 - a comparison
BACKLOG = 2048  # connections that wait to be accepted; the kernel has its own limit as well
# A name may have addresses that this machine lacks, such as ::1 where IPv6 is off.
_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_ATTEMPTS = 10  # to find a port that is free on all addresses of a name
_LOCK_SECONDS = 1.0


def checked_bind(text: str, option: str = "--bind") -> str:
    """Return the full form of an address: ``unix:PATH``, ``fd://NUMBER`` or ``HOST:PORT``.

    Args:
        text: the address as the user wrote it.
        option: where the user wrote it.

    Raises:
        SettingsError: the form is wrong; the message, one line, names the right one.
    """
    label = f"{option} {printable(text)}"
    if text.startswith("unix:"):
        if not text.removeprefix("unix:"):
            raise SettingsError(f"{label}: say unix:PATH, such as unix:/run/site.sock")
        return text
    if text.startswith("fd:"):
        if not is_number(text.removeprefix("fd://")):
            raise SettingsError(f"{label}: say fd://NUMBER of an inherited socket, such as fd://3")
        return text
    host, port = _host_and_port(text)
    if "://" in text or "/" in text or not is_number(port) or int(port) > 65_535:
        raise SettingsError(f"{label}: say HOST:PORT, such as 127.0.0.1:8000")
    if not host or not _is_host(host):
        raise SettingsError(f"{label}: {_hint_for_host(text)}")
    return f"{host}:{port}"


def is_number(text: str) -> bool:
    """Tell whether a text is a short decimal number."""
    return text.isascii() and text.isdecimal() and len(text) < 10


def _host_and_port(text: str) -> tuple[str, str]:
    if is_number(text):
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
    if _is_ipv6(host) and is_number(port):
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


@dataclass(frozen=True, slots=True)
class Listening:
    """Sockets that listen.

    Attributes:
        sockets: the sockets, in the form that Hypercorn takes.
        places: their addresses, those without TLS first.
    """

    sockets: Sockets
    places: tuple[Place, ...]


@contextmanager
def listening(
    plain: Sequence[str],
    secure: Sequence[str] = (),
    *,
    mode: int | None = None,
    option: str = "--bind",
    tls_option: str = "--tls-bind",
) -> Iterator[Listening]:
    """Listen on addresses, and remove the Unix sockets at the end.

    Args:
        plain: addresses without TLS, as `checked_bind` returns them.
        secure: addresses with TLS.
        mode: permissions of Unix sockets; the umask decides if None.
        option: where the user wrote the addresses without TLS.
        tls_option: where the user wrote those with it.

    Raises:
        OSError: the server cannot listen on an address; the message, one line, names it and the option.
    """
    with ExitStack() as stack:
        places: dict[Place, None] = {}
        made: dict[str, list[socket.socket]] = {"http": [], "https": []}
        for scheme, binds, named in (("http", plain, option), ("https", secure, tls_option)):
            for bind in binds:
                for sock in _listeners(bind, named, mode, stack):
                    made[scheme].append(sock)
                    places[_place(sock, bind, scheme)] = None
        yield Listening(Sockets(made["https"], made["http"], []), tuple(places))


def _listeners(bind: str, option: str, mode: int | None, stack: ExitStack) -> list[socket.socket]:
    """Listen on one address; the stack closes the sockets and removes a Unix socket's file."""
    try:
        if bind.startswith("unix:"):
            sockets = [_unix_socket(bind.removeprefix("unix:"), mode)]
        elif bind.startswith("fd://"):
            sockets = [_inherited_socket(int(bind.removeprefix("fd://")))]
        else:
            sockets = _tcp_sockets(bind)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label of a name is too long or empty
        reason = getattr(error, "strerror", None) or str(error)
        raise OSError(
            f"cannot listen on {printable(bind)}: {reason}; choose another address with {option}"
        ) from error
    for sock in sockets:
        stack.callback(sock.close)
        sock.setblocking(False)
        sock.set_inheritable(True)
    if bind.startswith("unix:"):
        stack.callback(_remove, *_identity(bind.removeprefix("unix:")))
    return sockets


def _tcp_sockets(bind: str) -> list[socket.socket]:
    """Listen on all addresses of a host, on one port."""
    host, _, port = bind.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    attempts = _ATTEMPTS if int(port) == 0 else 1
    while True:
        attempts -= 1
        with ExitStack() as made:
            try:
                sockets = _on_all(addresses, made)
            except OSError as error:  # the port that was free on one address is in use on another
                if error.errno != errno.EADDRINUSE or not attempts:
                    raise
            else:
                made.pop_all()
                return sockets


def _on_all(addresses: Sequence[tuple[int, Any]], made: ExitStack) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    absent = None
    for family, (host, port, *more) in addresses:
        port = port or (sockets[0].getsockname()[1] if sockets else 0)
        try:
            sockets.append(made.enter_context(_tcp_socket(family, (host, port, *more))))
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            absent = error
    if absent is not None and not sockets:
        raise absent
    return sockets


def _tcp_socket(family: int, address: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if os.name == "posix":  # elsewhere it lets two servers have one port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
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


def keep_standard_streams() -> None:
    """Open /dev/null in the place of each standard stream that is closed.

    Otherwise a socket would get its number. uvloop ends a process that closes one of these, and
    libraries write to standard error.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def _unix_socket(path: str, mode: int | None) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EAFNOSUPPORT, "this system has no Unix sockets")
    with _locked(os.path.dirname(path) or os.curdir):
        _make_way(path)
        return _bound_unix_socket(path, mode)


def _bound_unix_socket(path: str, mode: int | None) -> socket.socket:
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


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Let one server at a time examine, remove and bind a socket file in a directory (flock(2)).

    Two servers that start at once would otherwise both find a stale file, and the second would
    remove the socket of the first. The lock is released when it is closed. It is no condition for
    the start: some file systems have none, and another program may hold it for long.
    """
    handle = None
    with suppress(OSError):  # bind(2) reports a directory that is missing
        handle = os.open(directory, os.O_RDONLY)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while handle is not None and not _lock(handle) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _lock(handle: int) -> bool:
    """Try to lock; False while another process holds the lock."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


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


def _place(sock: socket.socket, bind: str, scheme: str) -> Place:
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return Place(bind if bind.startswith("unix:") else f"unix:{os.fsdecode(name)}")
    bound, port = name[0], name[1]
    named = "" if bind.startswith("fd://") else bind.rpartition(":")[0].strip("[]")
    host = _EVERYWHERE.get(bound, named or bound)
    host = f"[{host}]" if ":" in host else host
    return Place(f"{scheme}://{host}:{port}/", bound in _EVERYWHERE)
