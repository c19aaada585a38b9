"""``asyncstatic serve TARGET``: a directory or an app; each mistake is explained in one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncstatic.serve.process.target import App, _load, hint_at_target, is_app
from asyncstatic.settings import SettingsError
from tests.support.programs import require
from tests.support.raw import HOST
from tests.support.servers import environment, running

pytestmark = pytest.mark.grid

_SERVE = ("-m", "asyncstatic", "serve")
_BIND = ("--bind", f"{HOST}:{{port}}")

SHOP = """
import os, types
from asyncstatic import StaticMiddleware

async def behind(scope, receive, send):
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    content = f"app {os.getpid()}".encode()
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", b"%d" % len(content))]})
    await send({"type": "http.response.body", "body": content})

def plain_function_that_returns_a_coroutine(scope, receive, send):
    return behind(scope, receive, send)

async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})

class Callable:
    def __init__(self): pass
    async def __call__(self, scope, receive, send): pass

app = StaticMiddleware(behind, {"/static": "site", "/media": "site"})
instance = Callable()
web = types.SimpleNamespace(app=app, make=lambda: app)
def make(): return app
def wsgi(environ, start_response): pass
def needs(config): return app
async def make_later(): return app
def fail(): raise RuntimeError("no\\ndatabase")
nothing = None
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a site and some modules."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("home")
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "__init__.py").write_text("")
    (tmp_path / "inner" / "web.py").write_text("from shop import app, web")
    (tmp_path / "needy.py").write_text("import no_such_package")
    (tmp_path / "raising.py").write_text("def helper():\n    return 1 / 0\nhelper()")
    (tmp_path / "wrong.py").write_text("def (")
    (tmp_path / "leaving.py").write_text("import sys; sys.exit('DATABASE_URL is missing')")
    (tmp_path / "dying.py").write_text("import os; os._exit(3)")
    (tmp_path / "killed.py").write_text("import os; os.kill(os.getpid(), 9)")
    return tmp_path


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same as the working directory of this process, which forgets the modules afterwards."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    _load.cache_clear()
    yield folder
    _load.cache_clear()
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def ended(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``asyncstatic serve``, which must end by itself."""
    return subprocess.run(
        [sys.executable, *_SERVE, "--bind", f"{HOST}:0", *arguments],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


# -- which target ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shop:app", True),
        ("inner.web:app", True),
        ("shop:web.app", True),
        ("shop:make()", True),
        ("missing:app", True),
        ("shop.py:app", True),
        ("caf\u00e9:app", True),
        ("site", False),
        ("both:app", False),  # a directory that exists
        ("./both:app", False),
        ("shop", False),
        ("shop:make(1)", False),
        ("shop:", False),
        (":app", False),
        ("C:\\site", False),
        ("a/b:app", False),
    ],
)
def test_a_target_is_an_app_if_it_is_written_as_one_and_is_no_directory(
    here: Path, text: str, expected: bool
) -> None:
    (here / "both:app").mkdir()
    assert is_app(text) is expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("shop", "; to serve an app say asyncstatic serve shop:app"),
        ("shop.py", "; to serve an app say asyncstatic serve shop:app"),
        ("shop.py:web.app", "; to serve an app say asyncstatic serve shop:web.app"),
        ("inner/web.py", "; to serve an app say asyncstatic serve inner.web:app"),
        ("site", ""),
        ("missing:app", ""),
    ],
)
def test_a_file_of_python_is_taken_for_an_app_that_is_written_in_another_way(
    here: Path, text: str, hint: str
) -> None:
    assert hint_at_target(text) == hint


@pytest.mark.parametrize(
    "name",
    [
        *("shop:app", "shop:web.app", "shop:make()", "shop:web.make()", "shop:instance"),
        *("inner.web:app", "inner.web:web.app", "shop:plain_function_that_returns_a_coroutine"),
    ],
)
def test_an_app_is_loaded_once(here: Path, name: str) -> None:
    assert callable(App(name).build())
    assert App(name).build() is App(name).build()


# -- mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "missing:app",
            "there is no module missing; start in the directory that has it, /.* has not",
        ),
        ("shop.x:app", "there is no module shop.x; start in"),
        ("missing.web:app", "there is no module missing; start in"),
        (
            "shop.py:app",
            "there is no module shop.py; to serve an app say asyncstatic serve shop:app$",
        ),
        ("shop:ap", r"module shop \(/.*/shop.py\) has no ap; did you mean app\?"),
        ("shop:zzz", "has no zzz; name the variable that holds the app"),
        ("shop:web.ap", r"SimpleNamespace has no ap; did you mean app\?"),
        ("shop:make", r"a function is no ASGI app; if it makes the app, say shop:make\(\)"),
        ("shop:Callable", r"a class is no ASGI app; if it makes the app, say shop:Callable\(\)"),
        ("shop:needs()", "it needs arguments; name a function without them"),
        ("shop:make_later()", "it is an async function; name a plain function that returns"),
        ("shop:nothing", "an object of type NoneType is no ASGI app; name the app itself"),
        ("shop:nothing()", r"an object of type NoneType cannot be called; leave \(\) out"),
        ("shop:os", "a module is no ASGI app; name the app itself"),
        ("shop:wsgi", r"it is a WSGI app, .* wrap it: app = hypercorn.middleware.AsyncioWSGIMidd"),
        ("shop:needs", "a function is no ASGI app: it does not take scope, receive and send"),
        ("shop:fail()", "the call failed, see above: RuntimeError: no$"),
        ("needy:app", "the import failed, see above: ModuleNotFoundError: No module named 'no_s"),
        ("raising:app", "the import failed, see above: ZeroDivisionError: division by zero"),
        ("wrong:app", r"the import failed, see above: SyntaxError: invalid syntax"),
    ],
)
def test_an_app_that_cannot_be_loaded_is_one_line(here: Path, name: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        App(name).build()
    assert re.search(says, str(raised.value)), str(raised.value)
    assert str(raised.value).startswith(f"{name}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_traceback_of_the_app_is_shown_once_and_begins_in_its_code(
    folder: Path, workers: str
) -> None:
    done = ended(folder, "raising:app", "--workers", workers)
    first, file, *rest, last = done.stderr.splitlines()
    assert first == "Traceback (most recent call last):"
    assert file == f'  File "{folder}/raising.py", line 3, in <module>'
    assert (
        last
        == "Error: raising:app: the import failed, see above: ZeroDivisionError: division by zero"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "ZeroDivisionError: division by zero" in rest


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_app_that_ends_the_process_while_it_loads_has_the_last_word(
    folder: Path, workers: str
) -> None:
    done = ended(folder, "leaving:app", "--workers", workers)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "DATABASE_URL is missing\n"


@pytest.mark.parametrize(
    ("module", "how"), [("dying", "ended with status 3"), ("killed", "was ended by SIGKILL")]
)
def test_an_app_that_kills_the_process_while_it_loads_is_named(
    folder: Path, module: str, how: str
) -> None:
    done = ended(folder, f"{module}:app", "--workers", "2")
    assert (done.returncode, done.stdout) == (2, "")
    step = f"try python -X faulthandler -c 'import {module}'"
    says = f"{module}:app: the process that loaded it {how}; {step}"
    assert done.stderr == f"Error: {says}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["shop:app", "--set", "dotfiles=1"],
         "--set dotfiles=1: settings are for a directory; set it where shop:app makes its root"),
        (["shop:app", "--reload"], "--reload is for a directory: for shop:app use the command of"),
        (["shop:app", "--sandbox"], "--sandbox "),
        (["shop"], "root shop: is not a directory; to serve an app say asyncstatic serve shop:app"),
        (["shop.py"], "root shop.py: is not a directory; to serve an app say asyncstatic serve shop:app"),
        (["./shop:app"], "root ./shop:app: does not exist; create it"),
    ],
)  # fmt: skip
def test_an_option_that_does_not_fit_the_target_is_one_line(
    folder: Path, arguments: list[str], says: str
) -> None:
    done = ended(folder, *arguments)
    assert done.stderr.startswith(f"Error: {says}")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_app_that_refuses_to_start_is_reported_without_a_traceback_of_ours(
    folder: Path, workers: str
) -> None:
    done = ended(folder, "shop:failing", "--workers", workers)
    assert done.returncode == 1
    assert re.search(r"shop:failing: worker .* Lifespan failure in startup. 'no data", done.stderr)
    assert "Traceback" not in done.stderr


# -- served ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "answers"),
    [
        (["shop:app"], "static files of /static and /media directly"),
        (["shop:make()"], "static files of /static and /media directly"),
        (["inner.web:web.app", "--workers", "2"], "static files of /static and /media directly"),
        (["shop:app", "--no-direct"], "nothing directly: --no-direct"),
        (["shop:behind"], "nothing directly: no static root is around the app"),
        (["asyncstatic:app"], "static files of / directly"),
    ],
)
def test_the_start_says_what_is_answered_directly(
    folder: Path, arguments: list[str], answers: str
) -> None:
    variables = {"ASYNCSTATIC_ROOT": "site"} if "asyncstatic:app" in arguments else {}
    with running([*_SERVE, *arguments, *_BIND], variables, cwd=str(folder)) as server:
        assert f"serves {arguments[0]}  ({answers}, " in server.log
        assert server.log.count("\n") == 1
        if "asyncstatic:app" in arguments:
            assert server.fetch("/").content == b"home"
            return
        assert server.fetch("/").content.startswith(b"app ")
        if "shop:behind" not in arguments:
            assert server.fetch("/static/").content == b"home"
            assert server.fetch("/media/index.html").content == b"home"
            assert server.fetch("/static/missing").content.startswith(b"app ")


def test_each_worker_loads_the_app_and_the_supervisor_does_not(folder: Path) -> None:
    code = "import os\nfrom shop import app\nopen('loaded', 'a').write(f'{os.getpid()} ')"
    (folder / "recording.py").write_text(code)
    arguments = [*_SERVE, "recording:app", "--workers", "2", *_BIND]
    with running(arguments, {}, cwd=str(folder)) as server:
        server.fetch("/static/")
        assert server.interrupt() == 0
    loaded = [int(pid) for pid in (folder / "loaded").read_text().split()]
    assert len(loaded) == len(set(loaded)) >= 2, "a process examined it, and a worker served it"
    assert server.pid not in loaded


def test_a_directory_counts_more_than_an_app_of_the_same_name(folder: Path) -> None:
    (folder / "site").rename(folder / "shop:app")
    with running([*_SERVE, "shop:app", *_BIND], {}, cwd=str(folder)) as server:
        assert server.fetch("/").content == b"home"


def test_a_wsgi_app_is_served_in_the_wrapper_that_the_error_names(folder: Path) -> None:
    (folder / "old.py").write_text(
        "import hypercorn.middleware\n"
        "from asyncstatic import StaticMiddleware\n"
        "def wsgi(environ, start_response):\n"
        "    start_response('200 OK', [('content-length', '4')])\n"
        "    return [b'wsgi']\n"
        "app = hypercorn.middleware.AsyncioWSGIMiddleware(wsgi)\n"
        "app = StaticMiddleware(app, {'/static': 'site'})\n"
    )
    with running([*_SERVE, "old:app", *_BIND], {}, cwd=str(folder)) as server:
        assert "static files of /static directly" in server.log
        assert server.fetch("/").content == b"wsgi"
        assert server.fetch("/static/").content == b"home"


def test_curl_gets_pages_of_the_app_and_static_files(folder: Path) -> None:
    curl = require("curl", apt="curl")
    with running([*_SERVE, "shop:app", *_BIND], {}, cwd=str(folder)) as server:
        urls = [server.url("/"), server.url("/static/")]
        done = subprocess.run([curl, "-fsS", *urls], capture_output=True, text=True, timeout=30)
        assert re.fullmatch("app [0-9]+home", done.stdout), done
        assert (done.returncode, done.stderr) == (0, "")


def test_the_working_directory_comes_before_the_search_path(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "shop.py").write_text("raise AssertionError")
    variables = environment(PYTHONPATH=os.pathsep.join(
        [str(folder / "other"), environment()["PYTHONPATH"]]
    ))  # fmt: skip
    code = "import sys; sys.path.remove(''); from asyncstatic.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "shop:nothing"],
        cwd=folder, env=variables, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert "shop:nothing: an object of type NoneType is no ASGI app" in done.stderr


def test_an_unknown_variable_is_one_warning_beside_an_app_too(folder: Path) -> None:
    variables = {"ASYNCSTATIC_WORKER": "2"}
    with running([*_SERVE, "shop:app", *_BIND], variables, cwd=str(folder)) as server:
        assert server.log.count("ASYNCSTATIC_WORKER is ignored, it is no setting") == 1
