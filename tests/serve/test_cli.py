"""``asyncstatic serve``: what it says, how it ends, and what it says to a mistake."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from asyncstatic.cli.commands import main, serve
from asyncstatic.cli.options import SWITCHES
from asyncstatic.config.variables import OTHER_VARIABLES, PREFIX
from tests.support.programs import require
from tests.support.raw import HOST
from tests.support.servers import SETUPS, environment, running, serving
from tests.support.site import SMALL_SITE

pytestmark = pytest.mark.grid

_SERVE = ("-m", "asyncstatic", "serve")
_BIND = ("--bind", f"{HOST}:{{port}}")


def run(
    *arguments: str,
    cwd: Path,
    before: Sequence[str] = (),
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Run Python with arguments, until it ends by itself."""
    return subprocess.run(
        [*before, sys.executable, *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a site, a file, and neither ./static nor ./public."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("home")
    (tmp_path / "file").write_text("no directory")
    return tmp_path


# -- mistakes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        pytest.param(["missing"], {}, "missing: does not exist; create it", id="missing root"),
        pytest.param(["8000"], {}, "to choose a port say --bind 8000$", id="a port as root"),
        pytest.param(["sit/"], {}, "root sit/: does not exist; did you mean site", id="near root"),
        pytest.param(
            ["file"],
            {},
            "file: is a file, not a directory or a zip archive; name the",
            id="file as root",
        ),
        pytest.param([], {}, "./public is here; say asyncstatic serve DIR, ", id="no root"),
        pytest.param(["/"], {}, "root / .*name the directory of the site", id="system root"),
        pytest.param(["/proc/self"], {}, "/proc/self .*name the directory", id="procfs"),
        pytest.param(
            ["site"],
            {"ASYNCSTATIC_POOL_THREADS": "many"},
            "ASYNCSTATIC_POOL_THREADS='many': a number",
            id="no number",
        ),
        pytest.param(["site", "--set", "x"], {}, "--set x: say NAME=VALUE", id="set, no value"),
        pytest.param(["site", "--set", "indx=a"], {}, "did you mean index", id="set, unknown"),
        pytest.param(
            ["site", "--set", "dotfiles=maybe"],
            {},
            "^Error: --set dotfiles=maybe: say 1 or 0$",
            id="set, no value of it",
        ),
        pytest.param(
            ["--set", "root=site"],
            {},
            "--set root=site: name the directory as the argument",
            id="set, root",
        ),
        pytest.param([""], {}, "the name of the directory is empty", id="empty name"),
        pytest.param(["mis\nsing"], {}, r"root mis\\nsing: does not exist", id="a line end"),
        pytest.param(["\udcff"], {}, r"root \\udcff: does not exist", id="no UTF-8"),
        pytest.param(["/dev"], {}, "/dev .*name the directory", id="devices"),
        pytest.param(["/dev/shm/../fd"], {}, "name the directory", id="devices, roundabout"),
        pytest.param(
            ["site", "--set", "not_found=404.html"],
            {},
            "not_found='404.html': .*/site has no such page; create it",
            id="no such page",
        ),
        pytest.param(
            ["site", "--access-logfile", "missing/log"],
            {},
            "--access-logfile missing/log: No such file or directory; name a file",
            id="log below nothing",
        ),
        pytest.param(
            ["site", "--access-logfile", "site"],
            {},
            "--access-logfile site: Is a directory; name a file",
            id="log is a directory",
        ),
        pytest.param(
            ["site", "--certfile", "file", "--keyfile", "file"],
            {},
            "--certfile file: the certificate is not in PEM form",
            id="no certificate",
        ),
        pytest.param(
            ["site", "--certfile", "file", "--keyfile", "file", "--keyfile", "file"],
            {},
            "name one --keyfile for each --certfile, in the same order",
            id="two keys",
        ),
        pytest.param(
            ["site", "--keyfile", "file"], {}, "name one --keyfile for each", id="no --certfile"
        ),
        pytest.param(
            ["site", "--reload", "--workers", "2"], {}, "leave --workers out", id="reload, workers"
        ),
        pytest.param(
            ["site", "--socket-mode", "660"], {}, "say --bind unix:PATH", id="mode without socket"
        ),
        pytest.param(
            ["site", "--socket-mode", "rw"], {}, "say an octal mode, such as 660", id="no mode"
        ),
        pytest.param(
            ["site", "--socket-mode", "1777"], {}, "say an octal mode", id="mode too high"
        ),
        *(
            pytest.param(["site", *options], {}, f": say --bind {bind}$", id=" ".join(options))
            for options, bind in (
                (("--host", "0.0.0.0"), "0.0.0.0:8000"),
                (("--host=::1",), r"\[::1\]:8000"),
                (("--port=80",), "127.0.0.1:80"),
                (("-p", "80"), "127.0.0.1:80"),
                (("--host", "localhost", "--port", "80"), "localhost:80"),
            )
        ),
        pytest.param(
            ["site", "--open", "--bind", "unix:s"], {}, "--bind HOST:PORT", id="--open, unix:"
        ),
        pytest.param(
            ["site", "--bind", "fd://3", "--bind", "fd://3"],
            {},
            "^Error: fd://3 is named twice; leave one of them out$",
            id="one socket twice",
        ),
        pytest.param(
            ["site", "--tls-bind", "8443"],
            {},
            "^Error: --tls-bind needs a certificate: say --certfile and --keyfile as well$",
            id="TLS without a certificate",
        ),
        pytest.param(
            ["site", "--tls-bind", "fd://3"],
            {},
            "^Error: fd://3, for HTTPS, needs a certificate: say --certfile and --keyfile as well$",
            id="a socket for TLS without a certificate",
        ),
        pytest.param(
            ["site", "--tls-bind", "x:y"],
            {},
            "^Error: --tls-bind x:y: say HOST:PORT",
            id="TLS bind",
        ),
        pytest.param(
            ["site", "--bind", "80", "--redirect-https"],
            {},
            "^Error: --redirect-https needs an address without TLS and one with it",
            id="redirect without TLS",
        ),
        pytest.param(["site"], {"PORT": "x"}, "^Error: PORT=x: the number of a port", id="PORT"),
        pytest.param(
            ["site"],
            {"ASYNCSTATIC_SOCKET_MODE": "rw"},
            "^Error: ASYNCSTATIC_SOCKET_MODE rw: say an octal mode",
            id="mode in a variable",
        ),
        pytest.param(
            ["site"],
            {"ASYNCSTATIC_ACCESS_LOGFILE": "site"},
            "^Error: ASYNCSTATIC_ACCESS_LOGFILE site: Is a directory",
            id="log in a variable",
        ),
        pytest.param(
            ["site", "--tls-bind", "8443"],
            {"ASYNCSTATIC_REDIRECT_HTTPS": "1", "ASYNCSTATIC_TLS_BIND": "8444"},
            "^Error: --tls-bind needs a certificate",
            id="a flag counts more than its variable",
        ),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    folder: Path,
    arguments: list[str],
    variables: dict[str, str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    only = dict.fromkeys(os.environ) | environment(**variables)
    done = CliRunner().invoke(main, ["serve", *arguments], env=only, prog_name="asyncstatic")
    assert re.search(says, done.output)
    assert done.exit_code == 2
    assert done.output.count("\n") == 1


def test_an_unknown_variable_is_one_warning(folder: Path) -> None:
    variables = {"ASYNCSTATIC_INDEXX": "a", "ASYNCSTATIC_PORT": "tcp://10.0.0.1:8000"}
    with running([*_SERVE, "site", *_BIND], variables, cwd=str(folder)) as server:
        warning, announced = server.log.splitlines()
        assert warning.endswith("ASYNCSTATIC_INDEXX is ignored, it is no setting: "
                                "did you mean ASYNCSTATIC_INDEX?")  # fmt: skip
        assert "serves" in announced
        assert server.fetch("/").content == b"home"


def key_pair(folder: Path, name: str, *options: str) -> list[str]:
    """Make a certificate; return the options that name it."""
    openssl = require("openssl", apt="openssl")
    certificate, key = f"{name}.crt", f"{name}.key"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-subj", "/CN=localhost", "-days", "1", "-keyout", key, "-out", certificate, *options],
        cwd=folder, check=True, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return ["--certfile", certificate, "--keyfile", key]


def test_a_key_of_another_certificate_is_one_line(folder: Path) -> None:
    one, other = key_pair(folder, "one", "-nodes"), key_pair(folder, "other", "-nodes")
    done = run(*_SERVE, "site", *one[:2], *other[2:], cwd=folder)
    assert "--keyfile other.key: the key is that of another certificate" in done.stderr
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_an_encrypted_key_is_one_line_and_nobody_is_asked(folder: Path) -> None:
    pair = key_pair(folder, "secret", "-passout", "pass:secret")
    done = run(*_SERVE, "site", *pair, cwd=folder)
    assert "--keyfile secret.key: the key is encrypted; store it decrypted" in done.stderr
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


_WITHOUT = """
import sys
sys.modules["{module}"] = None
sys.argv[1:] = {arguments}
import runpy
runpy.run_module("{run}", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("run_", "module", "arguments", "says"),
    [
        pytest.param(
            "asyncstatic",
            "watchfiles",
            ["serve", "site", "--reload"],
            "--reload needs watchfiles: pip install 'asyncstatic[reload]'",
            id="reload",
        ),
        pytest.param(
            "asyncstatic",
            "argon2",
            ["hash"],
            "a hash needs argon2-cffi: pip install 'asyncstatic[auth]'",
            id="auth",
        ),
        pytest.param(
            "asyncstatic",
            "throttled",
            ["serve", "site", "--set", "rate_limit=1/s"],
            "rate_limit needs throttled-py: pip install 'asyncstatic[rate]'",
            id="rate",
        ),
        pytest.param(
            "asyncstatic",
            "uvloop",
            ["serve", "site", "--uvloop"],
            "uvloop is not installed: pip install uvloop",
            id="uvloop",
        ),
    ],
)
def test_a_missing_extra_is_one_line_before_anything_is_announced(
    folder: Path, run_: str, module: str, arguments: list[str], says: str
) -> None:
    code = _WITHOUT.format(module=module, arguments=arguments, run=run_)
    done = run("-c", code, cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"Error: {says}\n")


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no /dev/shm here")
def test_a_root_in_shared_memory_is_served() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as root:
        Path(root, "live.m3u8").write_text("#EXTM3U")
        with running([*_SERVE, root, *_BIND], {}) as server:
            assert server.fetch("/live.m3u8").content == b"#EXTM3U"


def test_a_root_whose_name_is_no_utf_8_is_served(folder: Path) -> None:
    os.rename(folder / "site", os.path.join(folder, "\udcff"))
    with running([*_SERVE, "\udcff", *_BIND], {}, cwd=str(folder)) as server:
        assert r"\udcff" in server.log
        assert server.fetch("/").content == b"home"


@pytest.mark.parametrize(
    "option",
    [
        "--nope",
        "--workers=0",
        "--keep-alive=-1",
        "--graceful-timeout=nan",
        "--certfile=nope",
        "--set",
    ],
)
def test_a_wrong_option_is_one_line_that_names_the_help(folder: Path, option: str) -> None:
    done = run(*_SERVE, "site", option, cwd=folder)
    assert done.returncode == 2
    assert re.fullmatch("Error: .* Try .* serve --help\n", done.stderr)


def test_a_working_directory_that_was_removed_is_one_line(folder: Path) -> None:
    code = "import os, runpy, sys; os.rmdir(os.getcwd()); sys.argv[1:] = ['serve', '{}']; {}"
    (folder / "gone").mkdir()
    started = "runpy.run_module('asyncstatic', run_name='__main__', alter_sys=True)"
    done = run("-c", code.format(folder / "site", started), cwd=folder / "gone")
    assert done.returncode == 2
    assert done.stderr == "Error: the working directory was removed: change to another one\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["serv"], "Error: No such command 'serv'.* Try asyncstatic --help\n"),
        (["explain"], "Error: Missing argument 'URL'. Try asyncstatic explain --help\n"),
    ],
)
def test_a_wrong_command_is_one_line_that_names_the_help(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments, prog_name="asyncstatic")
    assert ended.value.code == 2
    assert re.fullmatch(says, capsys.readouterr().err)


def test_an_interrupt_before_the_start_line_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asyncstatic.cli.commands.warn_of_unknown", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["serve", "site"], prog_name="asyncstatic")
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_while_the_command_is_imported_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    done = subprocess.run(
        [sys.executable, "-m", "asyncstatic", "serve", "site"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout + done.stderr) == (130, b"")


def test_an_unreadable_root_is_one_line(folder: Path) -> None:
    before = []
    if os.geteuid() == 0:  # then modes only count without these capabilities
        setpriv = require("setpriv", apt="util-linux")
        dropped = "-dac_override,-dac_read_search"
        before = [setpriv, f"--bounding-set={dropped}", f"--inh-caps={dropped}"]
    (folder / "site").chmod(0)
    done = run(*_SERVE, "site", cwd=folder, before=before)
    (folder / "site").chmod(0o755)
    assert "site: may not be read" in done.stderr
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("setup", ["--direct", "--no-direct"])
def test_a_port_in_use_is_one_line_and_exit_code_1(
    folder: Path, taken_port: int, workers: str, setup: str
) -> None:
    arguments = ("--bind", f"{HOST}:{taken_port}", "--workers", workers, setup)
    done = run(*_SERVE, "site", *arguments, cwd=folder)
    assert done.returncode == 1
    assert f"{HOST}:{taken_port}: Address already in use; choose another" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("address", ["no-such-host.invalid:80", "203.0.113.1:18080"])
def test_an_address_that_is_not_ours_is_one_line_and_exit_code_1(
    folder: Path, address: str
) -> None:
    done = run(*_SERVE, "site", "--bind", address, cwd=folder)
    assert done.returncode == 1
    assert f"cannot listen on {address}" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("setup", ["uvicorn"])
def test_servers_are_told_of_a_mistake_in_one_line(folder: Path, setup: str) -> None:
    command = [part.replace("{port}", "0") for part in SETUPS[setup]]
    done = run(*command, cwd=folder, ASYNCSTATIC_ROOT="missing")
    assert "root missing: does not exist; create it or name another" in done.stderr
    assert "SettingsError" not in done.stderr  # told by the protocol, not as a traceback of ours


# -- as it should be -----------------------------------------------------------------------


@pytest.mark.parametrize("resolver", ["auto", "walk"])
def test_the_start_names_address_root_and_resolver(folder: Path, resolver: str) -> None:
    variables = {"ASYNCSTATIC_RESOLVER": resolver}
    with running([*_SERVE, "site", *_BIND], variables, cwd=str(folder)) as server:
        (line,) = server.log.splitlines()
        assert server.url("/") in line
        assert str(folder / "site") in line
        assert re.search(r"resolver (walk|openat2)", line)
        assert resolver == "auto" or "resolver walk" in line
        assert server.fetch("/").content == b"home"


@pytest.mark.parametrize("name", ["static", "public"])
def test_the_default_root_is_static_or_else_public(folder: Path, name: str) -> None:
    (folder / "site").rename(folder / name)
    with running([*_SERVE, *_BIND], {}, cwd=str(folder)) as server:
        assert server.fetch("/").content == b"home"


def test_the_argument_counts_more_than_the_environment(folder: Path) -> None:
    variables = {"ASYNCSTATIC_ROOT": "missing"}
    with running([*_SERVE, "site", *_BIND], variables, cwd=str(folder)) as server:
        assert server.fetch("/").content == b"home"


def test_settings_can_be_given_on_the_command_line(folder: Path) -> None:
    arguments = [*_SERVE, "site", *_BIND, "--set", "cache_control=max-age=60"]
    with running(arguments, {}, cwd=str(folder)) as server:
        assert server.fetch("/").field("cache-control") == "max-age=60"


def test_the_home_directory_is_served_with_a_warning(folder: Path) -> None:
    variables = {"HOME": str(folder / "site")}
    with running([*_SERVE, "site", *_BIND], variables, cwd=str(folder)) as server:
        assert "warning: site is your home directory" in server.log
        assert server.fetch("/").content == b"home"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("options", [(), ("--no-direct",), ("--no-uvloop",), ("--workers", "2")])
def test_a_signal_ends_it_cleanly(
    site: Path, options: tuple[str, ...], number: signal.Signals
) -> None:
    with running([*_SERVE, str(site), *_BIND, *options], {}) as server:
        assert server.fetch("/big.bin").content == SMALL_SITE["big.bin"]
        with server.connect() as idle:
            idle.get("/css/app.css")
            assert server.interrupt(number) == 0
            assert idle.ended()
        assert "Traceback" not in server.log


def test_two_workers_share_the_port(site: Path) -> None:
    with running([*_SERVE, str(site), *_BIND, "--workers", "2"], {}) as server:
        assert all(
            server.fetch("/pixels.png").content == SMALL_SITE["pixels.png"] for _ in range(20)
        )


def test_the_access_log_has_one_line_for_each_request(site: Path) -> None:
    with running([*_SERVE, str(site), *_BIND, "--access-logfile", "-"], {}) as server:
        for target in ("/css/app.css", "/missing"):
            server.fetch(target)
        server.interrupt()
        logged = [
            line for line in server.log.splitlines() if "/missing" in line or "app.css" in line
        ]
        assert len(logged) == 2
        assert '"GET /css/app.css HTTP/1.1" 200 21' in logged[0]
        assert '"GET /missing HTTP/1.1" 404' in logged[1]


def test_help_and_version(tmp_path: Path) -> None:
    assert "--bind" in run(*_SERVE, "--help", cwd=tmp_path).stdout
    assert re.search(r"\d+\.\d+", run("-m", "asyncstatic", "--version", cwd=tmp_path).stdout)


def test_help_tells_each_form_of_a_target_on_a_line_of_its_own() -> None:
    lines = CliRunner().invoke(main, ["serve", "--help"]).output.splitlines()
    table = lines[lines.index("  site                    a directory") :]
    assert table[5] == "  MODULE:FACTORY()        the app that a function returns"
    assert table[7] == ""


def test_help_tells_each_command_in_a_whole_sentence() -> None:
    commands = CliRunner().invoke(main, ["--help"]).output.partition("Commands:\n")[2].splitlines()
    assert len(commands) == len(main.commands)
    assert [line for line in commands if not line.endswith(".") or line.endswith("...")] == []


# -- environment variables -------------------------------------------------------------------


#: Options that set a setting, which has its own variable.
OF_SETTINGS = {"assignments", *SWITCHES}


def test_every_option_has_a_variable_that_the_settings_know() -> None:
    variables = {
        str(option.envvar).removeprefix(PREFIX)
        for option in serve.params
        if isinstance(option, click.Option) and not option.hidden and option.name not in OF_SETTINGS
    }
    assert variables == OTHER_VARIABLES


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        pytest.param(
            {"BIND": "8000,[::1]:x"}, r"^Error: ASYNCSTATIC_BIND \[::1\]:x: say", id="several"
        ),
        pytest.param({"WORKERS": "none"}, "ASYNCSTATIC_WORKERS", id="a number"),
        pytest.param({"CERTFILE": "missing"}, "ASYNCSTATIC_CERTFILE", id="a file"),
    ],
)
def test_a_wrong_variable_is_reported(folder: Path, variables: dict[str, str], says: str) -> None:
    named = {f"ASYNCSTATIC_{name}": value for name, value in variables.items()}
    ended = run(*_SERVE, "site", cwd=folder, **named)
    assert ended.returncode == 2
    assert re.search(says, ended.stderr), ended.stderr


def test_a_port_in_use_names_the_variable_that_chose_it(folder: Path, taken_port: int) -> None:
    done = run(*_SERVE, "site", cwd=folder, ASYNCSTATIC_BIND=f"{HOST}:{taken_port}")
    assert done.stderr.endswith("in use; choose another address with ASYNCSTATIC_BIND\n")


def test_a_port_for_tls_in_use_names_the_option_that_chose_it(
    folder: Path, taken_port: int
) -> None:
    pair = key_pair(folder, "any", "-nodes")
    address = f"{HOST}:{taken_port}"
    for options, named in (
        (["--bind", "unix:s", "--tls-bind", address], "--tls-bind"),
        (["--bind", address, "--tls-bind", f"{HOST}:0"], "--bind"),
        (["--bind", address], "--bind"),
    ):
        done = run(*_SERVE, "site", *pair, *options, cwd=folder)
        assert done.stderr.endswith(f"{address}: Address already in use; choose another address "
                                    f"with {named}\n")  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")


def test_an_error_names_a_file_whatever_its_name_is(folder: Path) -> None:
    (folder / r"a\d.toml").write_text('socket_mode = "rw"\n')
    done = run(*_SERVE, "site", "--config", r"a\d.toml", cwd=folder)
    assert done.stderr == ("Error: a\\d.toml:1: socket_mode rw: say an octal mode, such as 660\n")
    assert done.returncode == 2


def test_another_server_warns_once_of_options_that_it_does_not_read(site: Path) -> None:
    variables = {"ASYNCSTATIC_BIND": "80", "ASYNCSTATIC_WORKERS": "2", "ASYNCSTATIC_DIRECT": "1"}
    with serving("hypercorn", site, bind="80", workers="2", direct="1") as server:
        assert server.fetch("/css/app.css").status == 200
        (line,) = [line for line in server.log.splitlines() if "ASYNCSTATIC" in line]
    for name in variables:
        assert (name in line) is (name != "ASYNCSTATIC_DIRECT"), line
    assert "only asyncstatic serve reads" in line
