"""``--bind``: each form is understood or explained, announced as it is, and never taken over."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncstatic.serve.process.bind import checked_bind, listening
from asyncstatic.settings import SettingsError
from tests.support.programs import require
from tests.support.servers import environment

pytestmark = pytest.mark.grid

HOST = "127.0.0.1"
_CHOOSE = "choose another address with --bind"
_SERVE = (sys.executable, "-m", "asyncstatic", "serve", "site")


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("0.0.0.0:80", "0.0.0.0:80"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("8000", "127.0.0.1:8000"),
        (":8000", "0.0.0.0:8000"),
        ("127.0.0.1", "127.0.0.1:8000"),
        ("localhost", "localhost:8000"),
        ("localhost:9000", "localhost:9000"),
        ("[::1]:9000", "[::1]:9000"),
        ("[::1]", "[::1]:8000"),
        ("[::]:80", "[::]:80"),
        ("unix:/run/site.sock", "unix:/run/site.sock"),
        ("unix:site.sock", "unix:site.sock"),
        ("fd://3", "fd://3"),
    ],
)
def test_every_form_is_understood(text: str, means: str) -> None:
    assert checked_bind(text) == means


FORM = "say HOST:PORT, such as 127.0.0.1:8000"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", FORM),
        ("127.0.0.1:", FORM),
        ("127.0.0.1:http", FORM),
        ("127.0.0.1:99999", FORM),
        ("127.0.0.1:-1", FORM),
        ("127.0.0.1:²", FORM),
        ("99999", FORM),
        ("http://127.0.0.1:8000", FORM),
        ("http://127.0.0.1:8000/", FORM),
        ("/run/site.sock", FORM),
        ("::1:8000", "put an IPv6 address in brackets: [::1]:8000"),
        ("::1", "put an IPv6 address in brackets: [::1]:8000"),
        ("fe80::1:2:80", "put an IPv6 address in brackets: [fe80::1:2]:80"),
        ("[::1:8000", FORM),
        ("[localhost]:80", FORM),
        ("a b:80", FORM),
        ("unix:", "say unix:PATH, such as unix:/run/site.sock"),
        ("fd://abc", "say fd://NUMBER of an inherited socket, such as fd://3"),
        ("fd://", "say fd://NUMBER"),
        ("fd://-1", "say fd://NUMBER"),
        ("fd:3", "say fd://NUMBER"),
        ("a\nb", FORM),
    ],
)
def test_every_mistake_is_one_line_that_says_the_form(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        checked_bind(text)
    message = str(raised.value)
    assert says in message
    assert message.startswith("--bind ")
    assert "\n" not in message


# -- what is announced -----------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("home")
    return tmp_path


@contextmanager
def serving(folder: Path, *arguments: str, fds: tuple[int, ...] = ()) -> Iterator[str]:
    """Run `asyncstatic serve site`; give the line that it announces itself with."""
    process = subprocess.Popen(
        [*_SERVE, *arguments],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=fds,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline()
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors


def refused(
    folder: Path, *arguments: str, fds: tuple[int, ...] = (), before: tuple[str, ...] = ()
) -> tuple[int, str]:
    """Run `asyncstatic serve site`, which must end by itself; give its status and its line."""
    done = subprocess.run(
        [*before, *_SERVE, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        pass_fds=fds,
    )
    assert done.stdout == "", "nothing may be announced"
    assert done.stderr.count("\n") == 1
    return done.returncode, done.stderr


def fetch(where: str | tuple[str, int]) -> bytes:
    """Ask for the home page, at a port or on a Unix socket."""
    family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    if not isinstance(where, str) and ":" in where[0]:
        family = socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.connect(where)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while more := client.recv(65536):
            answer += more
    return answer.rpartition(b"\r\n")[2]


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(
    ("bind", "announced", "note", "more"),
    [
        pytest.param(f"{HOST}:0", HOST, "", (), id="loopback"),
        pytest.param(f"{HOST}:0", HOST, "", ("--no-direct",), id="loopback, no direct entry"),
        pytest.param(f"{HOST}:0", HOST, "", ("--workers", "2"), id="loopback, workers"),
        pytest.param("localhost:0", "localhost", "", (), id="name"),
        pytest.param(":0", HOST, " (all interfaces)", (), id="all interfaces"),
        pytest.param("0.0.0.0:0", HOST, " (all interfaces)", (), id="0.0.0.0"),
        pytest.param("[::1]:0", "[::1]", "", ("--workers", "2"), id="IPv6"),
        pytest.param("[::]:0", "[::1]", " (all interfaces)", (), id="all of IPv6"),
    ],
)
def test_the_announced_url_can_be_opened(
    folder: Path, bind: str, announced: str, note: str, more: tuple[str, ...]
) -> None:
    if "[" in bind and not has_ipv6():
        pytest.skip("no IPv6 here")
    with serving(folder, "--bind", bind, *more) as line:
        match = re.match(r"http://(\S+):([1-9][0-9]*)/(.*?)  serves ", line)
        assert match is not None, line
        assert (match[1], match[3]) == (announced, note)
        host = HOST if match[1] == "localhost" else match[1].strip("[]")
        assert fetch((host, int(match[2]))) == b"home"


def test_several_addresses_are_all_announced(folder: Path) -> None:
    with serving(folder, "-b", f"{HOST}:0", "-b", f"{HOST}:0", "-b", "unix:s") as line:
        ports = re.findall(rf"http://{HOST}:([0-9]+)/", line)
        assert len(set(ports)) == 2
        assert "unix:s  serves" in line
        for where in ((HOST, int(ports[0])), (HOST, int(ports[1])), str(folder / "s")):
            assert fetch(where) == b"home"


# -- inherited sockets -----------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_inherited_socket_is_served_and_its_url_announced(folder: Path, workers: str) -> None:
    with socket.create_server((HOST, 0)) as given:
        number, port = given.fileno(), given.getsockname()[1]
        arguments = ("--bind", f"fd://{number}", "--workers", workers)
        with serving(folder, *arguments, fds=(number,)) as line:
            assert line.startswith(f"http://{HOST}:{port}/  serves ")
            assert fetch((HOST, port)) == b"home"


def test_an_inherited_unix_socket_is_left_to_its_owner(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as given:
        path = str(folder / "given")
        given.bind(path)
        number = given.fileno()
        with serving(folder, "--bind", f"fd://{number}", fds=(number,)) as line:
            assert line.startswith(f"unix:{path}  serves ")
            assert fetch(path) == b"home"
        assert os.path.exists(path)


def test_a_number_without_a_socket_is_one_line(folder: Path) -> None:
    assert refused(folder, "--bind", "fd://99") == (
        1,
        f"Error: cannot listen on fd://99: {os.strerror(errno.EBADF)}; {_CHOOSE}\n",
    )
    with open(folder / "site" / "index.html") as file:
        number = file.fileno()
        status, line = refused(folder, "--bind", f"fd://{number}", fds=(number,))
    assert status == 1
    assert "Socket operation on non-socket" in line
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as given:
        status, line = refused(folder, "--bind", f"fd://{given.fileno()}", fds=(given.fileno(),))
    assert status == 1
    assert "not a stream socket" in line


# -- ports -----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_server_never_shares_a_port(folder: Path, workers: str) -> None:
    with serving(folder, "--bind", f"{HOST}:0", "--workers", workers) as line:
        address = line.split("/")[2]
        status, error = refused(folder, "--bind", address, "--workers", workers)
    assert status == 1
    assert f"cannot listen on {address}: Address already in use; choose another" in error


def test_a_port_that_needs_a_privilege_is_one_line(folder: Path) -> None:
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        setpriv = require("setpriv", apt="util-linux")
        dropped = "-net_bind_service"
        before = (setpriv, f"--bounding-set={dropped}", f"--inh-caps={dropped}")
    first_free = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not first_free.exists() or int(first_free.read_text()) <= 80:
        pytest.skip("anybody may have port 80 here")
    status, error = refused(folder, "--bind", "80", before=before)
    assert status == 1
    assert f"cannot listen on {HOST}:80: {os.strerror(errno.EACCES)}; {_CHOOSE}" in error


# -- Unix sockets ----------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_unix_socket_is_removed_at_the_end(folder: Path, workers: str) -> None:
    path = folder / "s"
    with serving(folder, "--bind", "unix:s", "--workers", workers) as line:
        assert line.startswith("unix:s  serves ")
        assert fetch(str(path)) == b"home"
    assert not path.exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_server_never_takes_over_a_live_unix_socket(folder: Path, workers: str) -> None:
    path = folder / "s"
    with serving(folder, "--bind", "unix:s", "--workers", workers):
        status, error = refused(folder, "--bind", "unix:s")
        assert status == 1
        assert "cannot listen on unix:s: in use by a running server; choose another" in error
        assert fetch(str(path)) == b"home"


def test_a_live_unix_socket_whose_queue_is_full_is_live(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(folder / "s"))
        busy.listen(0)
        waiting.connect(str(folder / "s"))
        assert "in use by a running server" in refused(folder, "--bind", "unix:s")[1]
    assert (folder / "s").exists()


def test_a_stale_unix_socket_is_replaced(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "s"))
    with serving(folder, "--bind", "unix:s"):
        assert fetch(str(folder / "s")) == b"home"


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_a_file_that_is_no_socket_is_never_removed(folder: Path, kind: str) -> None:
    path = folder / "s"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("site")
    status, error = refused(folder, "--bind", "unix:s")
    assert status == 1
    assert "cannot listen on unix:s: a file that is not a socket is there; choose another" in error
    assert path.is_symlink() if kind == "link" else path.exists()


@pytest.mark.parametrize(
    ("bind", "says"),
    [
        ("unix:missing/s", "No such file or directory"),
        (f"unix:{'x' * 200}", "AF_UNIX path too long"),
        ("unix:site/index.html/s", "Not a directory"),
    ],
)
def test_a_path_that_cannot_be_bound_is_one_line(folder: Path, bind: str, says: str) -> None:
    status, error = refused(folder, "--bind", bind)
    assert status == 1
    assert says in error


@pytest.mark.parametrize(
    ("given", "permissions"), [("660", 0o660), ("0o666", 0o666), ("0777", 0o777), ("600", 0o600)]
)
def test_the_mode_of_a_unix_socket_can_be_chosen(
    folder: Path, given: str, permissions: int
) -> None:
    with serving(folder, "--bind", "unix:s", "--socket-mode", given):
        assert mode(folder / "s") == permissions


def test_without_a_mode_the_umask_decides(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with listening((f"unix:{tmp_path}/s",)):
            assert mode(tmp_path / "s") == 0o750
        with listening((f"unix:{tmp_path}/s",), mode=0o666):
            assert mode(tmp_path / "s") == 0o666
        assert os.umask(0o027) == 0o027, "and stays as it is"
    finally:
        os.umask(before)


def test_the_socket_of_a_successor_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening((f"unix:{path}",)):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
    assert path.exists()


def test_what_was_bound_before_a_failure_is_released(tmp_path: Path) -> None:
    first = f"unix:{tmp_path}/s"
    with pytest.raises(OSError, match="cannot listen on"), listening((first, first)):
        pass
    assert not (tmp_path / "s").exists()
