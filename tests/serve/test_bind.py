"""``--bind``: each form is understood or explained, announced as it is, and never taken over."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from asyncstatic.serve.process.addresses import addresses
from asyncstatic.serve.process.bind import checked_bind, listening
from asyncstatic.settings import SettingsError
from tests.serve.inside import eventually
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


# -- which address ---------------------------------------------------------------------------

_SYSTEMD = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}
_DEFAULT = (("127.0.0.1:8000",), ())


@pytest.mark.parametrize(
    ("bind", "tls_bind", "variables", "expected"),
    [
        pytest.param([], [], {}, _DEFAULT, id="nothing"),
        pytest.param(["80", ":81"], [], {}, (("127.0.0.1:80", "0.0.0.0:81"), ()), id="options"),
        pytest.param([], ["443"], {}, ((), ("127.0.0.1:443",)), id="TLS alone"),
        pytest.param(
            ["80"], ["443"], {}, (("127.0.0.1:80",), ("127.0.0.1:443",)), id="both options"
        ),
        pytest.param([], [], {"PORT": "5000"}, (("0.0.0.0:5000",), ()), id="PORT"),
        pytest.param([], [], {"PORT": ""}, _DEFAULT, id="empty PORT"),
        pytest.param([], [], {"PORT": "tcp://10.0.0.1:80"}, _DEFAULT, id="PORT of Kubernetes"),
        pytest.param(["80"], [], {"PORT": "x"}, (("127.0.0.1:80",), ()), id="option before PORT"),
        pytest.param([], ["443"], {"PORT": "5000"}, ((), ("127.0.0.1:443",)), id="TLS, PORT"),
        pytest.param([], [], _SYSTEMD, (("fd://3", "fd://4"), ()), id="systemd"),
        pytest.param(
            [], [], _SYSTEMD | {"PORT": "5000"}, (("fd://3", "fd://4"), ()), id="systemd, PORT"
        ),
        pytest.param(
            [],
            [],
            _SYSTEMD | {"LISTEN_FDNAMES": "https:web.socket"},
            (("fd://4",), ("fd://3",)),
            id="named by systemd",
        ),
        pytest.param(["80"], [], _SYSTEMD, (("127.0.0.1:80",), ()), id="option before systemd"),
        pytest.param([], [], _SYSTEMD | {"LISTEN_FDS": "0"}, _DEFAULT, id="no socket"),
        pytest.param([], [], _SYSTEMD | {"LISTEN_PID": "1"}, _DEFAULT, id="of another process"),
        pytest.param([], [], {"LISTEN_FDS": "1"}, _DEFAULT, id="of no process"),
    ],
)
def test_the_first_of_options_systemd_and_port_counts(
    bind: list[str], tls_bind: list[str], variables: dict[str, str], expected: object
) -> None:
    environ = {"HOME": "/", **variables}
    assert addresses(bind, tls_bind, environ) == expected
    if environ.get("LISTEN_PID") != "1" and "LISTEN_PID" in variables:
        assert not [name for name in environ if name.startswith("LISTEN_")], "not for children"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"PORT": "http"}, "PORT=http: the number of a port is needed, such as 8000; or name an"),
        ({"PORT": "70000"}, "PORT=70000: the number of a port is needed"),
        (_SYSTEMD | {"LISTEN_FDS": "x"}, "LISTEN_FDS=x: a number of sockets is needed"),
    ],
)
def test_a_wrong_variable_of_the_platform_is_named(variables: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=f"^{says}"):
        addresses([], [], dict(variables))


# -- what is announced -----------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("home")
    return tmp_path


@contextmanager
def serving(
    folder: Path,
    *arguments: str,
    fds: tuple[int, ...] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[str]:
    """Run `asyncstatic serve site`; give the line that it announces itself with."""
    process = subprocess.Popen(
        [*_SERVE, *arguments],
        cwd=folder,
        env=environment(**variables),
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


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[str]]]:
    """Names and their addresses, as this process finds them."""
    known: dict[str, list[str]] = {}

    def find(host: str, port: int, **_: object) -> list[object]:
        families = {True: socket.AF_INET6, False: socket.AF_INET}
        return [
            (families[":" in address], socket.SOCK_STREAM, 6, "", (address, port))
            for address in known[host]
        ]

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", find)
        yield known


@pytest.mark.parametrize("other", ["127.0.0.2", "::1"])
def test_a_name_listens_on_all_its_addresses_and_is_announced_once(
    names: dict[str, list[str]], other: str
) -> None:
    if ":" in other and not has_ipv6():
        pytest.skip("no IPv6 here")
    names["name"] = [HOST, other, other]
    with listening(("name:0",)) as there:
        bound = [sock.getsockname()[:2] for sock in there.sockets.insecure_sockets]
        port = bound[0][1]
        assert bound == [(HOST, port), (other, port)]
        assert [place.url for place in there.places] == [f"http://name:{port}/"]


def test_an_address_that_this_machine_lacks_is_left_out_of_a_name(
    names: dict[str, list[str]],
) -> None:
    """203.0.113.1 is reserved for documentation (RFC 5737)."""
    names.update(name=["203.0.113.1", HOST], lacking=["203.0.113.1"])
    with listening(("name:0",)) as there:
        assert [sock.getsockname()[0] for sock in there.sockets.insecure_sockets] == [HOST]
    with pytest.raises(OSError, match="cannot listen on lacking:0"), listening(("lacking:0",)):
        pass


def test_a_name_is_refused_if_one_of_its_addresses_is_in_use(names: dict[str, list[str]]) -> None:
    names["name"] = [HOST, "127.0.0.2"]
    with socket.create_server(("127.0.0.2", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use"), listening((f"name:{port}",)):
            pass
    names["name"] = [HOST]
    with listening((f"name:{port}",)):  # the first address was released
        pass


def test_an_address_with_tls_and_one_without_are_kept_apart() -> None:
    with listening((f"{HOST}:0", f"{HOST}:0"), (f"{HOST}:0",)) as there:
        assert len(there.sockets.insecure_sockets) == 2
        assert len(there.sockets.secure_sockets) == 1
        assert [place.url.partition(":")[0] for place in there.places] == ["http", "http", "https"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_port_of_a_platform_is_served_on_all_interfaces(folder: Path, workers: str) -> None:
    with serving(folder, "--workers", workers, variables={"PORT": "0"}) as line:
        match = re.match(rf"http://{HOST}:([0-9]+)/ \(all interfaces\)  serves ", line)
        assert match is not None, line
        assert fetch((HOST, int(match[1]))) == b"home"


# -- inherited sockets -----------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_inherited_socket_is_served_and_its_url_announced(folder: Path, workers: str) -> None:
    with socket.create_server((HOST, 0)) as given:
        number, port = given.fileno(), given.getsockname()[1]
        arguments = ("--bind", f"fd://{number}", "--workers", workers)
        with serving(folder, *arguments, fds=(number,)) as line:
            assert line.startswith(f"http://{HOST}:{port}/  serves ")
            assert fetch((HOST, port)) == b"home"


@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_socket_takes_the_place_of_a_closed_standard_stream(
    folder: Path, workers: str, closed: str
) -> None:
    """A daemon may have closed them all."""
    options = ("--bind", "unix:s", "--workers", workers, "--pid", "pid")
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *_SERVE, *options],
        cwd=folder,
        env=environment(),
        stderr=subprocess.PIPE,
    )
    try:
        assert eventually((folder / "pid").exists, 30)
        assert fetch(str(folder / "s")) == b"home"
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, b"")


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


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_request_that_makes_systemd_start_the_server_is_answered(
    folder: Path, workers: str
) -> None:
    activate = require("systemd-socket-activate", apt="systemd")
    path = folder / "activated"
    process = subprocess.Popen(
        [activate, "--listen", str(path), *_SERVE, "--workers", workers],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stderr.readline().startswith("Listening on")
        assert fetch(str(path)) == b"home"
        assert process.stdout.readline().startswith(f"unix:{path}  serves ")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert path.exists(), "it belongs to systemd"


_CHILD = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
sys.argv[1:] = ["serve", "inside:app", "--workers", "2"]
sys.path.insert(0, "")
from asyncstatic.cli import main
main()
"""
_INSIDE = """
import os
async def app(scope, receive, send):
    content = " ".join(name for name in os.environ if name.startswith("LISTEN_")).encode()
    length = [(b"content-length", b"%d" % (len(content) + 2))]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": b"<" + content + b">"})
"""


def test_workers_do_not_inherit_the_variables_of_systemd(folder: Path) -> None:
    (folder / "inside.py").write_text(_INSIDE)
    with socket.create_server((HOST, 0)) as given:
        code = f"import os\nos.dup2({given.fileno()}, 3)" + _CHILD
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=folder,
            env=environment(LISTEN_FDS="1", LISTEN_FDNAMES="web"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=(given.fileno(),),
        )
        assert process.stdout is not None
        try:
            assert b"serves inside:app" in process.stdout.readline()
            assert fetch(given.getsockname()) == b"<>"
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)


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
        (".:80", "label empty or too long"),
        (f"{'x' * 64}:80", "label too long"),
    ],
)
def test_a_path_or_name_that_cannot_be_bound_is_one_line(
    folder: Path, bind: str, says: str
) -> None:
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


# -- a start at the same moment ----------------------------------------------------------------

# The pause before each unlink(2) makes the race certain.
_RACER = """
import os, sys, time
from asyncstatic.serve.process.bind import listening
unlink = os.unlink
os.unlink = lambda path: (time.sleep(0.1), unlink(path))
print("ready", flush=True)
sys.stdin.readline()
try:
    with listening(("unix:s",)):
        print("listens", flush=True)
        sys.stdin.readline()
except OSError as error:
    print(error, flush=True)
"""


def test_only_one_of_many_servers_that_start_at_once_replaces_a_stale_socket(
    tmp_path: Path,
) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    try:
        assert [_say(racer, read=True) for racer in racers] == ["ready\n"] * 4
        for racer in racers:
            _say(racer)
        answers = [_say(racer, read=True) for racer in racers]
        assert sorted("in use by a running server" in answer for answer in answers) == (
            [False] + [True] * 3
        )
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s"))
    finally:
        for racer in racers:
            racer.communicate("\n", timeout=20)
    assert not (tmp_path / "s").exists()


def _say(racer: subprocess.Popen[str], *, read: bool = False) -> str:
    """Send a racer the next line, or read its answer."""
    assert racer.stdin is not None
    assert racer.stdout is not None
    if read:
        return racer.stdout.readline()
    racer.stdin.write("\n")
    racer.stdin.flush()
    return ""


def test_a_directory_that_another_program_has_locked_delays_no_start_for_long(
    tmp_path: Path,
) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with listening((f"unix:{tmp_path}/s",)):
            assert (tmp_path / "s").exists()
    finally:
        os.close(handle)
