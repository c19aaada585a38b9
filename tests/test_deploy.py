"""deploy/: each file is checked by the program that reads it, or is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncstatic.config.environment import options_of
from asyncstatic.config.variables import OTHER_VARIABLES, PREFIX
from tests.support.programs import require
from tests.support.raw import HOST, fetch
from tests.support.servers import Server, free_port, running, wait_until_it_answers
from tests.support.site import write_site

DEPLOY = Path(__file__).parents[1] / "deploy"
UNIT = DEPLOY / "asyncstatic.service"
COMMAND = Path(sys.executable).with_name("asyncstatic")
# The checkout and its environment may be readable for us alone.
READS_ALL = "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
FILES = {"index.html": b"home", "big.bin": bytes(range(256)) * 8_000}

if not DEPLOY.is_dir():
    pytest.skip("deploy/ belongs to the source tree", allow_module_level=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("deployed") / "site", FILES)


def run(*command: str | Path) -> str:
    """Run a program that must succeed; return its output."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


# -- every file ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_every_variable_is_an_option_or_a_setting(path: Path) -> None:
    names = set(re.findall(rf"\b{PREFIX}([A-Z_]+)\b", path.read_text("utf-8")))
    options_of({f"{PREFIX}{name}": "" for name in names & OTHER_VARIABLES}, [*OTHER_VARIABLES])
    for name in names - OTHER_VARIABLES:
        options_of({f"{PREFIX}{name}": os.curdir})


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_every_flag_is_an_option(path: Path) -> None:
    commands = re.findall(r"asyncstatic serve ((?:.*\\\n)*.*)", path.read_text("utf-8"))
    known = run(COMMAND, "serve", "--help")
    for flag in re.findall(r"(--[a-z-]+)", " ".join(commands)):
        assert flag in known


# -- systemd ---------------------------------------------------------------------------------


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with the command of this environment."""
    text = UNIT.read_text("utf-8").replace("/opt/asyncstatic/bin/asyncstatic", str(COMMAND))
    path = tmp_path / UNIT.name
    path.write_text(text)
    return path


def test_systemd_accepts_the_service(unit: Path) -> None:
    assert run(require("systemd-analyze", apt="systemd"), "verify", unit) == ""


def test_systemd_accepts_the_sockets(unit: Path) -> None:
    sockets = unit.with_suffix(".socket")
    sockets.write_text((DEPLOY / sockets.name).read_text("utf-8"))
    assert run(require("systemd-analyze", apt="systemd"), "verify", sockets) == ""


def test_the_service_is_hardened(unit: Path) -> None:
    """The exposure of a service without any hardening is 9.6."""
    analyze = require("systemd-analyze", apt="systemd")
    run(analyze, "security", "--offline=yes", "--no-pager", "--threshold=15", unit)


def allowed_calls() -> set[str]:
    """Evaluate SystemCallFilter= (systemd.exec(5))."""
    allowed: set[str] = set()
    for value in re.findall(r"^SystemCallFilter=(.+)", UNIT.read_text("utf-8"), re.MULTILINE):
        names = calls_of(value.removeprefix("~").split())
        allowed = allowed - names if value.startswith("~") else allowed | names
    return allowed


def calls_of(names: list[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        if name.startswith("@"):
            listed = run(
                require("systemd-analyze", apt="systemd"), "syscall-filter", "--no-pager", name
            )
            lines = [line.strip() for line in listed.splitlines()[1:]]
            found |= calls_of([line for line in lines if line and not line.startswith("#")])
        else:
            found.add(name)
    return found


def test_the_filter_of_system_calls_allows_what_a_server_does(site: Path, tmp_path: Path) -> None:
    strace = require("strace", apt="strace")
    log = tmp_path / "calls"
    traced = f"import os, sys; os.execv({strace!r}, {strace!r}.split() + sys.argv[1:])"
    arguments = [
        "-c",
        traced,
        "-D",
        "-qq",
        "-f",
        "-o",
        str(log),
        sys.executable,
        "-m",
        "asyncstatic",
    ]
    arguments += ["serve", str(site), "--bind", f"{HOST}:{{port}}", "--workers", "2", "--sandbox"]
    with running(arguments, {}) as server:
        assert server.fetch("/big.bin").content == FILES["big.bin"]
        assert server.fetch("/missing").status == 404
        assert server.interrupt() == 0
    calls = set(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE))
    assert {"openat2", "landlock_restrict_self", "sendfile"} <= calls
    assert calls - allowed_calls() == set()


# -- containers ------------------------------------------------------------------------------


def test_hadolint_finds_nothing_in_the_containerfile() -> None:
    assert run(COMMAND.with_name("hadolint"), DEPLOY / "Containerfile") == ""


def environment_of_the_image() -> dict[str, str]:
    text = (DEPLOY / "Containerfile").read_text("utf-8").replace("\\\n", "")
    last_stage = text.rpartition("FROM ")[2]
    (line,) = re.findall(r"^ENV (.+)$", last_stage, re.MULTILINE)
    return dict(pair.split("=", 1) for pair in line.split())


def test_the_command_of_the_image_runs_without_root_and_without_a_place_to_write(
    site: Path,
) -> None:
    """As in the image: its variables, its user, and a root file system that is read-only."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a read-only root: run the tests as root")
    variables = environment_of_the_image()
    del variables["PATH"]
    port = free_port()
    variables |= {"ASYNCSTATIC_ROOT": str(site), "ASYNCSTATIC_BIND": f"{HOST}:{port}"}
    inside = (
        "mount --make-rprivate / && mount -o remount,bind,ro / && exec setpriv --reuid 65532 "
        f"--regid 65532 --clear-groups --no-new-privs {READS_ALL} {sys.executable} -m asyncstatic serve"
    )
    arguments = (
        "-c",
        "import os, sys; os.execvp('unshare', ['unshare', '--mount', *sys.argv[1:]])",
    )
    with running([*arguments, "sh", "-c", inside], variables, port=port) as server:
        assert server.fetch("/").content == b"home"
        assert server.fetch("/.health").status == 200
        assert '"status":200' in server.log.replace(" ", "")
        assert server.interrupt() == 0


def test_kubernetes_accepts_the_manifest() -> None:
    run(COMMAND.with_name("kubernetes-validate"), "--strict", "--quiet", DEPLOY / "kubernetes.yaml")


# -- proxies ---------------------------------------------------------------------------------

NGINX = """
daemon off; master_process off; worker_processes 1;
pid {scratch}/pid; error_log {scratch}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy;
  fastcgi_temp_path {scratch}/fcgi; uwsgi_temp_path {scratch}/uwsgi; scgi_temp_path {scratch}/scgi;
  include {scratch}/site.conf;
}}
"""


def options_in(name: str) -> list[str]:
    """Return the options of the command in a file's first comment."""
    text = re.sub(r"^# ?", "", (DEPLOY / name).read_text("utf-8"), flags=re.MULTILINE)
    found = re.search(r"asyncstatic serve /srv/site ((?:.*\\\n)*.*)", text)
    assert found is not None
    return found[1].replace("\\\n", "").split()


@contextmanager
def in_front(port: int, scratch: Path, *command: str | Path) -> Iterator[None]:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            wait_until_it_answers(Server(process, port, scratch / "error.log"))
            yield
        finally:
            process.terminate()


def test_nginx_serves_through_its_file(site: Path, tmp_path: Path) -> None:
    nginx = require("nginx", apt="nginx-light")
    port, socket, log = free_port(), tmp_path / "site.sock", tmp_path / "access.log"
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    text = text.replace("/run/asyncstatic/site.sock", str(socket)).replace("8080", f"{HOST}:{port}")
    (tmp_path / "site.conf").write_text(text)
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(NGINX.format(scratch=tmp_path))
    arguments = ["-m", "asyncstatic", "serve", str(site), *options_in("nginx.conf")]
    arguments = [part.replace("/run/asyncstatic/site.sock", str(socket)) for part in arguments]
    arguments += ["--bind", f"{HOST}:{{port}}", "--access-logfile", str(log)]
    arguments += ["--set", "redirects=/old /new"]
    with (
        running(arguments, {}) as server,
        in_front(port, tmp_path, nginx, "-p", tmp_path, "-e", tmp_path / "e", "-c", configuration),
    ):
        assert fetch(port, "/big.bin", "X-Forwarded-For: 6.6.6.6").content == FILES["big.bin"]
        moved = fetch(port, "/old", "X-Forwarded-Prefix: /chosen-by-the-client")
        assert moved.field("location") == "/new"
        server.interrupt()
    assert [line.split()[0] for line in log.read_text().splitlines() if "big.bin" in line] == [HOST]


def test_haproxy_serves_through_its_file(site: Path, tmp_path: Path) -> None:
    haproxy = require("haproxy", apt="haproxy")
    port, log = free_port(), tmp_path / "access.log"
    arguments = ["-m", "asyncstatic", "serve", str(site), *options_in("haproxy.cfg")]
    arguments = [part.replace(f"{HOST}:8001", f"{HOST}:{{port}}") for part in arguments]
    arguments += ["--access-logfile", str(log), "--bind", f"unix:{tmp_path}/unused.sock"]
    with running(arguments, {}, answers=False) as server:
        text = (DEPLOY / "haproxy.cfg").read_text("utf-8")
        text = text.replace("8080", str(port)).replace(":8001", f":{server.port}")
        configuration = tmp_path / "haproxy.cfg"
        configuration.write_text(text)
        run(haproxy, "-c", "-q", "-f", configuration)
        with in_front(port, tmp_path, haproxy, "-db", "-q", "-f", configuration):
            wait_until_it_is_healthy(port)
            assert fetch(port, "/big.bin").content == FILES["big.bin"]
        server.interrupt()
    assert [line.split()[0] for line in log.read_text().splitlines() if "big.bin" in line] == [HOST]


def wait_until_it_is_healthy(port: int) -> None:
    """Wait for the first health check; until then HAProxy itself answers 503."""
    deadline = time.monotonic() + 20
    while fetch(port, "/").status == 503 and time.monotonic() < deadline:
        time.sleep(0.05)
