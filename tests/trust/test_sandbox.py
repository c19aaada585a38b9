"""The sandbox: what a restricted process can no longer do, tried from inside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asyncstatic.serve.process import sandbox
from tests.support.servers import environment, running
from tests.support.site import write_site

pytestmark = pytest.mark.skipif(not sandbox.version(), reason="this kernel has no Landlock")

# Enter, then try; report each attempt as "done" or the name of its error.
INSIDE = """
import errno, json, os, signal, socket, subprocess, sys, threading
from asyncstatic.serve.process.sandbox import restrict

root, secret, key, log, parent, attempts = json.loads(sys.argv[1])
restrict([root], reads=[key], logs=[log])

def attempt(code):
    try:
        exec(code)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

def in_a_thread(code):
    found = []
    thread = threading.Thread(target=lambda: found.append(attempt(code)))
    thread.start()
    thread.join()
    return found[0]

print(json.dumps([[attempt(code), in_a_thread(code)] for code in attempts]))
"""

ATTEMPTS = [
    pytest.param("open('/etc/passwd')", "EACCES", id="read another file"),
    pytest.param("open(secret)", "EACCES", id="read beside the root"),
    pytest.param("open(root + '/../secret')", "EACCES", id="read above the root"),
    pytest.param("open(root + '/out')", "EACCES", id="read through a link out of the root"),
    pytest.param("os.listdir('/')", "EACCES", id="list another directory"),
    pytest.param("open(root + '/page', 'r+')", "EACCES", id="write below the root"),
    pytest.param("os.truncate(root + '/page', 0)", "EACCES", id="truncate below the root"),
    pytest.param("open(root + '/new', 'x')", "EACCES", id="create below the root"),
    pytest.param("os.unlink(root + '/page')", "EACCES", id="remove below the root"),
    pytest.param("os.mkdir(root + '/new')", "EACCES", id="make a directory"),
    pytest.param("open(log)", "EACCES", id="read the log"),
    pytest.param("open(key, 'a')", "EACCES", id="write what is only read"),
    pytest.param("subprocess.run(['/bin/true'])", "EACCES", id="execute"),
    pytest.param("socket.create_connection(('127.0.0.1', 9), 1)", "EACCES", id="connect"),
    pytest.param("os.kill(parent, 0)", "EPERM", id="signal the parent"),
    pytest.param("open(root + '/page').read()", "done", id="read below the root"),
    pytest.param("os.listdir(root)", "done", id="list the root"),
    pytest.param("open(key).read()", "done", id="read what was named"),
    pytest.param("open(log, 'a').write('line')", "done", id="write the log"),
    pytest.param("import xml.dom.minidom, quart, h2.connection", "done", id="import a module"),
    pytest.param("import asyncstatic.cli.schema", "done", id="import a module of our own"),
    pytest.param("import vendored", "done", id="import from PYTHONPATH"),
    pytest.param("os.listdir('.')", "EACCES", id="list the working directory"),
]
# What only newer versions of the interface forbid (landlock(7), VERSIONS).
SINCE = {"os.truncate": 3, "socket.": 4, "os.kill": 6}


def inside(
    tmp_path: Path, attempts: list[str], root: Path | None = None, script: Path | None = None
) -> list[list[str]]:
    """Try all in one restricted process: on its main thread, and on a thread started later.

    Args:
        tmp_path: an empty directory.
        attempts: lines of Python.
        root: served; a new one if None.
        script: where the code is written, to be run from there.
    """
    if root is None:
        root = tmp_path / "root"
        root.mkdir()
        (root / "page").write_text("page")
        (root / "out").symlink_to("/etc/passwd")
    for name in ("secret", "key"):
        (tmp_path / name).write_text(name)
    program = ["-c", INSIDE]
    if script is not None:
        script.write_text(INSIDE)
        program = [str(script)]
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "vendored.py").touch()
    imports = os.pathsep.join((environment()["PYTHONPATH"], str(tmp_path / "vendor")))
    paths = (root, *(tmp_path / name for name in ("secret", "key", "log")))
    arguments = json.dumps([*map(str, paths), os.getpid(), attempts])
    child = subprocess.run(
        [sys.executable, *program, arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(PYTHONPATH=imports),
    )
    assert child.returncode == 0, child.stderr
    found: list[list[str]] = json.loads(child.stdout)
    return found


@pytest.mark.parametrize(("code", "expected"), ATTEMPTS)
def test_a_restricted_process_reads_its_roots_and_does_nothing_else(
    code: str, expected: str, tmp_path: Path
) -> None:
    if any(code.startswith(call) and sandbox.version() < since for call, since in SINCE.items()):
        pytest.skip("this kernel's Landlock does not know that right yet")
    assert inside(tmp_path, [code]) == [[expected, expected]]


def test_what_is_beside_the_script_is_not_readable(tmp_path: Path) -> None:
    """Python puts the directory of a script on its path by itself."""
    attempts = ["open(secret)", "import asyncstatic.cli.schema"]
    found = inside(tmp_path, attempts, script=tmp_path / "script.py")
    assert [on_main for on_main, _ in found] == ["EACCES", "done"]


def test_a_swapped_release_is_readable_and_what_is_beside_the_releases_is_not(
    tmp_path: Path,
) -> None:
    for name in ("releases/1", "releases/2"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "page").write_text(name)
    current = tmp_path / "current"
    current.symlink_to("releases/1")
    second = f"open({str(tmp_path / 'releases/2/page')!r}).read()"
    attempts = ["open(root + '/page').read()", second, "open(secret)"]
    assert [found for found, _ in inside(tmp_path, attempts, current)] == ["done", "done", "EACCES"]


def test_a_second_thread_that_would_stay_outside_is_an_error() -> None:
    code = (
        "import threading; from asyncstatic.serve.process.sandbox import restrict\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "restrict(['.'])"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment()
    )
    assert child.stderr.rstrip().endswith(
        "SandboxError: the sandbox must be entered before a second thread runs"
    )


def test_where_the_kernel_has_no_landlock_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "version", lambda: 0)
    with pytest.raises(sandbox.SandboxError, match=r"needs Landlock: Linux 5\.13"):
        sandbox.restrict(["."])


@pytest.mark.parametrize("abi", range(1, sandbox.version() + 1))
def test_every_version_of_the_interface_is_asked_for_what_it_knows(abi: int) -> None:
    """A newer kernel takes the shorter structures of the older ones."""
    code = (
        "import sys; from asyncstatic.serve.process import sandbox\n"
        f"sandbox.version = lambda: {abi}\n"
        "sandbox.restrict(['.'])"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, timeout=60, env=environment(), check=False).returncode == 0


SERVING = """
import asyncio, sys, uvloop
from hypercorn.config import Config
from asyncstatic import StaticFiles, serve_app
from asyncstatic.serve.process.sandbox import restrict

root, log, bind, setup = sys.argv[1:]
config = Config()
config.bind, config.accesslog = [bind], log
sockets = config.create_sockets()
app = StaticFiles(root, symlinks="follow")  # so that nothing but the sandbox keeps us inside
restrict([root], logs=[log])
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(serve_app(app, config, direct=setup == "serve", sockets=sockets))
"""


def test_a_restricted_server_serves_as_before_and_cannot_be_led_outside(
    setup: str, tmp_path: Path
) -> None:
    for number in ("1", "2"):
        write_site(
            tmp_path / "releases" / number, {"page": number.encode(), "b.bin": bytes(99_999)}
        )
        (tmp_path / "releases" / number / "out").symlink_to("/etc/passwd")
    current, log = tmp_path / "current", tmp_path / "log"
    current.symlink_to("releases/1")
    with running(("-c", SERVING, str(current), str(log), "127.0.0.1:{port}", setup), {}) as server:
        assert server.fetch("/page").content == b"1"
        assert server.fetch("/b.bin").content == bytes(99_999)
        assert server.fetch("/out").status == 403
        (tmp_path / "next").symlink_to("releases/2")
        (tmp_path / "next").replace(current)
        time.sleep(0.5)  # twice the time between two looks at where the root leads
        assert server.fetch("/page").content == b"2"
        assert server.interrupt(signal.SIGTERM) == 0
        assert "Traceback" not in server.log
    assert '"GET /page HTTP/1.1" 200' in log.read_text()
