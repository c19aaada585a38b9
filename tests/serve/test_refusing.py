"""``SERVER asyncstatic:app`` with a mistake: one line that names it, and a status other than 0.

Another server's command and somebody else's process are told by the lifespan protocol only.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from asyncstatic import SettingsError, StaticFiles, StaticMiddleware, create_app
from asyncstatic.application import Application
from asyncstatic.settings import Settings
from tests.asgi import ask
from tests.support.programs import require
from tests.support.servers import environment, running

pytestmark = pytest.mark.grid

HOST = "127.0.0.1"
MISSING = "root missing: does not exist; create it or name another"
NEEDS_ASYNCIO = "asyncstatic needs asyncio: start hypercorn with -k asyncio or -k uvloop"

needs_trio = pytest.mark.skipif(
    importlib.util.find_spec("trio") is None, reason="trio is not here: pip install trio"
)


def run(
    *arguments: str, cwd: Path, command: Sequence[str] = (sys.executable, "-m"), **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# -- Hypercorn and its relative --------------------------------------------------------------


@pytest.mark.parametrize("server", ["hypercorn", "anycorn"])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="one worker"),
        pytest.param(("-w", "2"), id="two workers"),
        pytest.param(("-w", "0"), id="no worker"),
        pytest.param(("-k", "uvloop"), id="uvloop"),
        pytest.param(("--reload",), id="reload"),
    ],
)
def test_a_missing_root_is_one_line_and_a_status(
    tmp_path: Path, server: str, options: tuple[str, ...]
) -> None:
    if server == "anycorn" and "uvloop" in options:
        pytest.skip("Anycorn has no such worker")
    arguments = (server, "--bind", f"{HOST}:0", *options, "asyncstatic:app")
    done = run(*arguments, cwd=tmp_path, ASYNCSTATIC_ROOT="missing")
    assert (done.stdout, done.stderr) == ("", f"Error: {MISSING}\n")
    assert done.returncode != 0


def test_the_first_process_of_a_container_ends_with_a_status_too(tmp_path: Path) -> None:
    """It ignores signals without a handler, so Hypercorn's traceback is the price."""
    unshare = require("unshare", apt="util-linux")
    first = (unshare, "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-m")
    probe = [*first[:-2], "true"]
    if subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("no new process namespace can be made here")
    arguments = ("hypercorn", "--bind", f"{HOST}:0", "asyncstatic:app")
    done = run(*arguments, cwd=tmp_path, command=first, ASYNCSTATIC_ROOT="missing")
    assert done.stderr.startswith(f"Error: {MISSING}\n")
    assert done.returncode == 1


def test_the_module_alone_names_the_same_application(tmp_path: Path) -> None:
    done = run("hypercorn", "--bind", f"{HOST}:0", "asyncstatic", cwd=tmp_path)
    assert done.stderr.startswith("Error: no directory to serve: neither ./static nor ./public")
    assert done.stderr.count("\n") == 1
    assert done.returncode != 0


def test_the_installed_command_is_known_by_its_name(tmp_path: Path) -> None:
    script = tmp_path / "hypercorn"
    script.write_text("import sys\nfrom hypercorn.__main__ import main\nif __name__ == '__main__':\n"
                      "    sys.exit(main())\n")  # fmt: skip
    arguments = (str(script), "--bind", f"{HOST}:0", "asyncstatic:app")
    done = run(*arguments, cwd=tmp_path, command=[sys.executable], ASYNCSTATIC_ROOT="missing")
    assert done.stderr == f"Error: {MISSING}\n"
    assert done.returncode != 0


@needs_trio
@pytest.mark.parametrize("server", ["hypercorn", "anycorn"])
def test_trio_is_refused_at_the_start_in_words(tmp_path: Path, server: str) -> None:
    (tmp_path / "static").mkdir()
    done = run(server, "--bind", f"{HOST}:0", "-k", "trio", "asyncstatic:app", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", f"Error: {NEEDS_ASYNCIO}\n")
    assert done.returncode != 0


@needs_trio
@pytest.mark.parametrize("app", ["StaticFiles('static')", "StaticMiddleware(None, 'static')"])
def test_an_app_of_ours_under_trio_is_refused_by_the_protocol(tmp_path: Path, app: str) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "mysite.py").write_text(f"from asyncstatic import *\napplication = {app}\n")
    done = run("hypercorn", "--bind", f"{HOST}:0", "-k", "trio", "mysite:application", cwd=tmp_path)
    assert NEEDS_ASYNCIO in done.stderr


_MOUNTED = """
import trio
from asyncstatic import StaticFiles

async def main():
    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "root_path": "",
             "query_string": b"", "headers": [], "http_version": "1.1", "scheme": "http"}
    try:
        await StaticFiles("static")(scope, None, None)
    except RuntimeError as error:
        print(error)

trio.run(main)
"""


@needs_trio
def test_a_mounted_root_under_trio_says_so_at_the_first_request(tmp_path: Path) -> None:
    """A mounted app gets no lifespan events."""
    (tmp_path / "static").mkdir()
    done = run("-c", _MOUNTED, cwd=tmp_path, command=[sys.executable])
    assert (done.stdout, done.stderr) == (NEEDS_ASYNCIO + "\n", "")


# -- other servers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("uvicorn", "--port", "0", "asyncstatic:app"), id="uvicorn"),
        pytest.param(
            ("granian", "--interface", "asgi", "--port", "0", "asyncstatic:app"), id="granian"
        ),
    ],
)
def test_servers_that_report_a_failed_startup_are_left_to_it(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run(*arguments, cwd=tmp_path, ASYNCSTATIC_ROOT="missing")
    output = done.stdout + done.stderr
    assert output.count(MISSING) == 1
    assert "Traceback" not in output
    assert done.returncode != 0


def test_a_server_without_lifespan_answers_500_and_logs_one_line(tmp_path: Path) -> None:
    arguments = ["-m", "daphne", "-b", HOST, "-p", "{port}", "-v", "0", "asyncstatic:app"]
    with running(arguments, {"ASYNCSTATIC_ROOT": "missing"}, cwd=str(tmp_path)) as server:
        for _ in range(2):
            answer = server.fetch("/")
            assert (answer.status, answer.field("cache-control")) == (500, "no-store")
        (tmp_path / "missing").mkdir()
        (tmp_path / "missing" / "index.html").write_text("home")
        assert server.fetch("/").content == b"home"
        assert server.log.count(MISSING) == 1
        assert "Traceback" not in server.log


# -- processes that are not ours -------------------------------------------------------------

_EMBEDDED = """
import asyncio, sys
from hypercorn.asyncio import serve
from hypercorn.config import Config
import asyncstatic

async def main():
    config = Config()
    config.bind = ["127.0.0.1:0"]
    try:
        await serve(asyncstatic.app, config)
    except Exception as error:
        print(type(error).__name__, error)

if __name__ == "__main__":
    asyncio.run(main())
    print("alive")
"""

_OWN_RUN = """
from hypercorn.config import Config
from hypercorn.run import run

if __name__ == "__main__":
    config = Config()
    config.bind, config.application_path = ["127.0.0.1:0"], "asyncstatic:app"
    run(config)
    print("alive")
"""

_OWN_APP = """
from asyncstatic import create_app
import quart

app = quart.Quart("mine")

@app.before_serving
async def start():
    create_app(root="missing")
"""


@pytest.mark.parametrize("code", [_EMBEDDED, _OWN_RUN], ids=["serve", "run"])
def test_a_program_that_runs_hypercorn_itself_lives_on(tmp_path: Path, code: str) -> None:
    (tmp_path / "program.py").write_text(code)
    arguments = ("program.py", "asyncstatic:app")
    done = run(*arguments, cwd=tmp_path, command=[sys.executable], ASYNCSTATIC_ROOT="missing")
    assert done.stdout.endswith("alive\n")
    assert done.returncode == 0
    assert MISSING in done.stdout + done.stderr


def test_an_app_of_somebody_else_is_never_ended_by_us(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(_OWN_APP)
    done = run("hypercorn", "--bind", f"{HOST}:0", "-w", "1", "mine:app", cwd=tmp_path)
    assert "LifespanFailureError" in done.stderr, "Hypercorn's own report"
    assert MISSING in done.stderr
    assert done.returncode >= 0, "no signal came"


async def test_under_pytest_only_the_protocol_is_used() -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    def build() -> Any:
        raise SettingsError(MISSING)

    application = Application(build)
    await application({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "lifespan.startup.failed", "message": MISSING}]


# -- keywords that would be ignored ----------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("home")
    return tmp_path


def settings_of(site: Path) -> Settings:
    return Settings(root=str(site))


IGNORED: list[Any] = [
    pytest.param(
        lambda site: StaticFiles(settings_of(site), dotfiles=True),
        "dotfiles= is ignored beside a Settings object: set it in that object",
        id="StaticFiles",
    ),
    pytest.param(
        lambda site: StaticFiles(settings_of(site), nonsense=3, html=True),  # type: ignore[call-arg]
        "nonsense=, html= is ignored beside a Settings object",
        id="StaticFiles, unknown",
    ),
    pytest.param(
        lambda site: StaticFiles(settings_of(site), directory="other"),
        "directory= is ignored beside a Settings object",
        id="StaticFiles, another root",
    ),
    pytest.param(
        lambda site: create_app(settings_of(site), nonsense=3),  # type: ignore[call-arg]
        "nonsense= is ignored beside a Settings object",
        id="create_app, unknown",
    ),
    pytest.param(
        lambda site: create_app(settings_of(site), root="other"),
        "root= is ignored beside a Settings object",
        id="create_app, another root",
    ),
    pytest.param(
        lambda site: StaticMiddleware(ask, StaticFiles(site), dotfiles=True),
        "dotfiles= is ignored beside a StaticFiles object",
        id="StaticMiddleware",
    ),
    pytest.param(
        lambda site: StaticMiddleware(ask, {"/a": StaticFiles(site)}, dotfiles=True),
        "dotfiles= is ignored beside a StaticFiles object",
        id="StaticMiddleware, a mapping",
    ),
    pytest.param(
        lambda site: StaticMiddleware(ask, {"/a": site}, "/static"),
        "prefix='/static': not beside a mapping",
        id="StaticMiddleware, two prefixes",
    ),
    pytest.param(
        lambda site: StaticFiles(site, not_found="404.html"),
        "has no such page; create it, or name another",
        id="no such page",
    ),
    pytest.param(
        lambda site: create_app(Settings(root=str(site), not_found="404.html")),
        "has no such page; create it, or name another",
        id="no such page, create_app",
    ),
]


@pytest.mark.parametrize(("build", "says"), IGNORED)
def test_a_mistake_that_would_be_ignored_is_refused(build: Any, says: str, site: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        build(site)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_keywords_hold_for_the_directories_of_a_mapping(site: Path) -> None:
    middleware = StaticMiddleware(ask, {"/a": StaticFiles(site), "/b": site}, dotfiles=True)
    assert isinstance(middleware.app, StaticMiddleware)
    assert not middleware.static.settings.dotfiles
    assert middleware.app.static.settings.dotfiles


def test_the_page_of_html_is_optional_as_in_starlette(site: Path) -> None:
    assert StaticFiles(site, html=True).settings.not_found == "404.html"


def test_a_compressed_page_is_a_page(site: Path) -> None:
    (site / "404.html.gz").write_bytes(b"")
    StaticFiles(site, not_found="404.html")


# -- programs beside the server --------------------------------------------------------------


@pytest.mark.parametrize("module", ["bench", "bench.conformance"])
@pytest.mark.parametrize("missing", ["rich", "matplotlib"])
def test_the_bench_names_the_extra_it_needs(module: str, missing: str) -> None:
    source = Path(__file__).parents[2]
    if not (source / "bench").is_dir():
        pytest.skip("tested without the source tree")
    if module == "bench.conformance" and missing == "matplotlib":
        pytest.skip("it needs no plots")
    code = (
        f"import runpy, sys; sys.modules['{missing}'] = None; sys.argv[1:] = ['--help']; "
        f"runpy.run_module('{module}', run_name='__main__', alter_sys=True)"
    )
    done = run("-c", code, cwd=source, command=[sys.executable])
    expected = f"python -m {module} needs {missing}, which is not here: pip install '.[bench]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)
