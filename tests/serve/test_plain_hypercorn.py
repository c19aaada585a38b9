"""Under plain Hypercorn: which apps the direct entry answers for, what the log says, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypercorn.asyncio import run
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.middleware import DispatcherMiddleware, ProxyFixMiddleware
from quart import Quart
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from asyncstatic import AsyncStatic, StaticFiles, StaticMiddleware, create_app
from asyncstatic.application import Application
from asyncstatic.serve import hypercorn_seam
from tests.serve import inside
from tests.serve.inside import Inside, Opaque, eventually, open_handles, serving_inside
from tests.support.raw import head

ADVICE = "wraps the app; wrap `app.asgi_app` before AsyncStatic"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "plain", True)
    monkeypatch.setitem(vars(run), "TCPServer", TCPServer)  # and back to what it was
    hypercorn_seam._problem.cache_clear()


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines about the direct entry."""
    return [line for line in caplog.messages if line.startswith("asyncstatic: ")]


def serving(app: Any, **options: Any) -> Any:
    """Serve an app by plain Hypercorn, with its log in `caplog`."""
    logger = logging.getLogger("test.hypercorn")
    logger.setLevel(logging.INFO)
    return serving_inside(app, errorlog=logger, **options)


def is_direct(server: Inside, path: str) -> bool:
    """Whether the direct entry answers: h11 sends no reason phrase."""
    with server.connect() as connection:
        connection.send(head(path))
        line = connection.take(16)
    assert line.startswith(b"HTTP/1.1 200 "), line
    return line == b"HTTP/1.1 200 OK\r"


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """An app of somebody else."""
    if scope["type"] == "lifespan":
        for _ in ("startup", "shutdown"):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


# -- which apps ----------------------------------------------------------------------------------


class ProxyFix(Opaque):
    """A wrapper of the user's own."""


class Declared(ProxyFix):
    asyncstatic_transparent = True


class WithFields(StaticFiles):
    """May change every answer."""

    async def __call__(self, *arguments: Any) -> None:
        await super().__call__(*arguments)


class OwnQuart(Quart):
    """May change every answer as well."""

    async def __call__(self, *arguments: Any) -> None:
        await super().__call__(*arguments)


def quart(site: Path, kind: type[Quart] = Quart, **settings: Any) -> Any:
    app = kind("app", static_folder=None)
    AsyncStatic(app, site, "/static", **settings)
    return app


def around(app: Quart, wrapper: Callable[[Any], Any]) -> Quart:
    app.asgi_app = wrapper(app.asgi_app)  # type: ignore[method-assign] # Quart's way
    return app


def before(wrapper: Callable[[Any], Any], site: Path) -> Quart:
    app = around(Quart("app", static_folder=None), wrapper)
    AsyncStatic(app, site, "/static")
    return app


def application(site: Path) -> Application:
    app = Application(lambda: create_app(site))
    app.built()  # here, because it asks the disk
    return app


def dispatcher(app: Any) -> Any:
    return DispatcherMiddleware({"/app": app})


def function(app: Any) -> Any:
    async def wrapping(*arguments: Any) -> None:
        await app(*arguments)

    return wrapping


#: name -> the app, a path of the root, and the line in the log.
APPS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "StaticFiles": (StaticFiles, "/", "direct: /"),
    "asyncstatic:app": (application, "/", "direct: /"),
    "create_app": (create_app, "/", "direct: /"),
    "StaticMiddleware": (lambda site: StaticMiddleware(hello, site, "/s"), "/s/", "direct: /s/"),
    "two roots": (
        lambda site: StaticMiddleware(hello, {"/s": site, "/m": site}),
        "/m/",
        "direct: /s/, /m/",
    ),
    "Quart": (quart, "/static/", "direct: /static/"),
    "a wrapper before AsyncStatic": (
        lambda site: before(ProxyFix, site),
        "/static/",
        "direct: /static/",
    ),
    "Hypercorn's ProxyFix": (
        lambda site: ProxyFixMiddleware(quart(site)),
        "/static/",
        "direct: /static/",
    ),
    "Hypercorn's ProxyFix in Quart": (
        lambda site: around(quart(site), ProxyFixMiddleware),
        "/static/",
        "direct: /static/",
    ),
    "Uvicorn's ProxyHeaders": (
        lambda site: ProxyHeadersMiddleware(quart(site)),
        "/static/",
        "direct: /static/",
    ),
    "declared transparent": (lambda site: Declared(quart(site)), "/static/", "direct: /static/"),
    # -- not direct
    "a wrapper": (lambda site: ProxyFix(quart(site)), "/static/", f"not direct: ProxyFix {ADVICE}"),
    "a wrapper in Quart": (
        lambda site: around(quart(site), ProxyFix),
        "/static/",
        f"not direct: ProxyFix {ADVICE}",
    ),
    "a function": (
        lambda site: function(quart(site)),
        "/static/",
        f"not direct: wrapping {ADVICE}",
    ),
    "a dispatcher": (
        lambda site: dispatcher(StaticFiles(site)),
        "/app/",
        f"not direct: AsyncioDispatcherMiddleware {ADVICE}",
    ),
    "a subclass of Quart": (
        lambda site: quart(site, OwnQuart),
        "/static/",
        f"not direct: OwnQuart {ADVICE}",
    ),
    "direct=False": (
        lambda site: quart(site, direct=False),
        "/static/",
        "not direct: direct=False",
    ),
    "behind direct=False": (
        lambda site: StaticMiddleware(StaticFiles(site), site, "/s", direct=False),
        "/",
        "not direct: direct=False",
    ),
    "authorize": (
        lambda site: quart(site, authorize=lambda scope, path: True),
        "/static/",
        "not direct: access rules, authorize= and offload= need ASGI",
    ),
}


@pytest.mark.parametrize("name", APPS)
def test_one_line_says_which_paths_are_answered_directly_or_why_not(
    name: str, site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make, path, line = APPS[name]
    with serving(make(site)) as server:
        assert is_direct(server, path) == line.startswith("direct")
    assert logged(caplog) == [f"asyncstatic: {line}"]


def test_a_root_behind_another_wrapper_has_a_line_of_its_own(
    site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = StaticMiddleware(ProxyFix(StaticFiles(site)), site, "/s")
    with serving(app) as server:
        assert is_direct(server, "/s/")
        assert not is_direct(server, "/")
    assert logged(caplog) == [
        "asyncstatic: direct: /s/",
        f"asyncstatic: not direct: ProxyFix {ADVICE}",
    ]


@pytest.mark.parametrize("value", ["0", "1"])
def test_roots_beside_each_other_that_are_not_direct_for_one_reason_have_one_line(
    value: str, site: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCSTATIC_DIRECT", value)
    apps: dict[str, Any] = {"/a": StaticFiles(site), "/b": StaticFiles(site)}
    with serving(DispatcherMiddleware(apps)) as server:
        assert not is_direct(server, "/b/")
    reason = f"AsyncioDispatcherMiddleware {ADVICE}" if value == "1" else "ASYNCSTATIC_DIRECT=0"
    assert logged(caplog) == [f"asyncstatic: not direct: {reason}"]


def test_a_subclass_with_a_call_of_its_own_is_called(site: Path) -> None:
    with serving(WithFields(site)) as server:
        assert not is_direct(server, "/")


def test_the_advice_without_quart_is_about_the_middleware(
    site: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "quart")
    with serving(ProxyFix(StaticMiddleware(hello, site, "/s"))) as server:
        assert not is_direct(server, "/s/")
    advice = "not direct: ProxyFix wraps the app; put StaticMiddleware around ProxyFix"
    assert logged(caplog) == [f"asyncstatic: {advice}"]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("0", "not direct: ASYNCSTATIC_DIRECT=0"),
        ("off", "not direct: ASYNCSTATIC_DIRECT=off"),
        ("maybe", "not direct: ASYNCSTATIC_DIRECT='maybe': say 1 or 0"),
        ("1", "direct: /static/"),
    ],
)
def test_the_environment_switches_it_off(
    value: str,
    line: str,
    site: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASYNCSTATIC_DIRECT", value)
    with serving(quart(site)) as server:
        assert is_direct(server, "/static/") == (value == "1")
    assert logged(caplog) == [f"asyncstatic: {line}"]


def test_another_app_of_the_process_keeps_hypercorns_server(site: Path) -> None:
    with serving(StaticFiles(site)) as ours, serving(hello) as other:
        assert is_direct(ours, "/")
        assert not is_direct(other, "/")
        assert vars(run)["TCPServer"] is not TCPServer


def test_our_own_server_needs_no_seam(
    site: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside, "plain", False)
    with serving(quart(site)) as server:
        assert is_direct(server, "/static/")
    assert logged(caplog) == []
    assert vars(run)["TCPServer"] is TCPServer


# -- the check of the seam -----------------------------------------------------------------------


def _another_signature(self: Any, app: Any, loop: Any) -> None:
    """Take other arguments than we know."""


#: what changes in Hypercorn -> the end of the line.
CHANGES: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "a newer release": (
        lambda patch: patch.setattr(hypercorn_seam, "version", lambda _: "0.19.0"),
        "Hypercorn 0.19.0 is not known to this release of asyncstatic",
    ),
    "an older release": (
        lambda patch: patch.setattr(hypercorn_seam, "version", lambda _: "0.16.0"),
        "Hypercorn 0.16.0 is not known to this release of asyncstatic",
    ),
    "a signature": (
        lambda patch: patch.setattr(TCPServer, "__init__", _another_signature),
        "calls its TCPServer in another way",
    ),
    "no global": (
        lambda patch: patch.setattr(run, "worker_serve", hello),
        "calls its TCPServer in another way",
    ),
    "another replacement": (
        lambda patch: patch.setitem(vars(run), "TCPServer", type("Other", (TCPServer,), {})),
        "another package has replaced Hypercorn's TCPServer",
    ),
    "a name that we import": (
        lambda patch: patch.setitem(sys.modules, "asyncstatic.serve.hypercorn", None),
        "has changed: import of asyncstatic.serve.hypercorn halted; None in sys.modules",
    ),
    "something unforeseen": (
        lambda patch: patch.setattr(hypercorn_seam, "_problem", lambda: 1 / 0),
        "ZeroDivisionError('division by zero')",
    ),
}


@pytest.mark.parametrize("change", [name for name in CHANGES if name != "a signature"])
def test_another_hypercorn_serves_by_asgi_and_one_warning_says_so(
    change: str, site: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, end = CHANGES[change]
    changed(monkeypatch)
    with serving(StaticFiles(site)) as server:
        assert not is_direct(server, "/")
    (line,) = logged(caplog)
    assert line.startswith("asyncstatic: not direct: ")
    assert line.endswith(end)
    assert [record.levelname for record in caplog.records if record.message == line] == ["WARNING"]


def test_a_hypercorn_without_its_modules_does_not_keep_the_app_from_starting(
    site: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "asyncstatic.serve.hypercorn_seam")
    monkeypatch.setitem(sys.modules, "hypercorn.asyncio.tcp_server", None)
    with serving(StaticFiles(site)) as server:
        assert not is_direct(server, "/")
    (line,) = [line for line in caplog.messages if "not direct" in line]
    assert line.startswith(
        "not direct: Hypercorn has changed: import of hypercorn.asyncio.tcp_server"
    )


def test_another_signature_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    changed, end = CHANGES["a signature"]
    assert hypercorn_seam._problem() == ""
    hypercorn_seam._problem.cache_clear()
    changed(monkeypatch)
    assert hypercorn_seam._problem().endswith(end)


def test_the_known_releases_are_those_that_are_installed_with_us() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    if not project.exists():
        pytest.skip("tested without the source tree")
    (first, last) = hypercorn_seam.KNOWN
    said = f'"hypercorn>={first[0]}.{first[1]},<{last[0]}.{last[1]}"'
    assert said in project.read_text()


# -- Hypercorn's log, counter and end ------------------------------------------------------------


@pytest.fixture
def access(caplog: pytest.LogCaptureFixture) -> Callable[[Any], list[str]]:
    """Ask an app for files, and return the lines of Hypercorn's access log without their time."""
    logger = logging.getLogger("test.access")
    logger.setLevel(logging.INFO)
    form = '%(h)s|"%(R)s"|%(s)s|%(st)s|%(b)s|%(S)s|"%(f)s"|"%(a)s"|%({etag}o)s|%({accept}i)s'

    def lines(app: Any) -> list[str]:
        caplog.clear()
        with serving(app, accesslog=logger, access_log_format=form) as server:
            for method, target in (("GET", "/app.js?q=1"), ("HEAD", "/missing"), ("POST", "/")):
                with server.connect() as connection:
                    fields = "Referer: http://a/", "User-Agent: b", "Accept: c", "Content-Length: 0"
                    connection.get(target, *fields[: 3 + (method == "POST")], method=method)
        logged = [record.getMessage() for record in caplog.records if record.name == "test.access"]
        return [line.partition(":")[0] + line[line.index("|") :] for line in logged]

    return lines


def test_the_access_log_is_hypercorns_own_with_and_without_it(
    site: Path, access: Callable[[Any], list[str]]
) -> None:
    on, off = access(StaticFiles(site)), access(ProxyFix(StaticFiles(site)))
    assert on == off
    assert len(on) == 3
    assert on[0].startswith('127.0.0.1|"GET /app.js?q=1 1.1"|200|OK|')


def test_a_download_that_is_given_up_has_a_line(
    site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("test.access")
    logger.setLevel(logging.INFO)
    with serving(StaticFiles(site), accesslog=logger) as server:
        with server.connect(receive_buffer=4096) as connection:
            connection.send(head("/big.bin"))
            connection.take(1000)
            connection.reset()
        assert eventually(lambda: any("/big.bin" in line for line in caplog.messages))


def test_an_idle_connection_ends_after_the_read_timeout(site: Path) -> None:
    with (
        serving(StaticFiles(site), read_timeout=1, keep_alive_timeout=60) as server,
        server.connect() as connection,
    ):
        assert connection.get("/app.js").status == 200
        assert connection.ended()


def test_requests_count_towards_max_requests(site: Path) -> None:
    with serving(StaticFiles(site), max_requests=3) as server:
        for _ in range(4):
            with server.connect() as connection:
                assert connection.get("/css/app.css").status == 200
        assert eventually(lambda: not server.loop.is_running())


def test_nothing_is_left_when_the_worker_ends(site: Path) -> None:
    tasks: list[Any] = []
    with serving(StaticFiles(site)) as server:
        handles = open_handles()
        for _ in range(50):
            with server.connect() as connection:
                connection.get("/big.bin")
                connection.get("/", "Content-Length: 0", method="POST")
        assert eventually(lambda: open_handles() <= handles + 2)
        with server.connect() as idle, server.connect() as busy:
            assert idle.get("/css/app.css").status == 200
            busy.send(head("/big.bin"))
            tasks += [*hypercorn_seam._workers.values()]
            server.stop()
            assert idle.ended()
            assert busy.read().complete
    assert hypercorn_seam._workers == {}
    assert [worker.ending.done() for worker in tasks] == [True]


def test_a_client_that_reads_nothing_is_cut_off_when_the_graceful_timeout_has_passed(
    site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(StaticFiles(site), graceful_timeout=0.2) as server:
        busy = server.connect(receive_buffer=4096)
        busy.send(head("/big.bin"))
        busy.take(1)
        server.stop()
        assert eventually(lambda: not server.loop.is_running())
        busy.socket.close()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_client_that_left_before_its_turn_is_forgotten(site: Path) -> None:
    with serving(StaticFiles(site)) as server:
        assert is_direct(server, "/")
        for stream in (b"", b"GET", head("/"), head("/", method="POST")):
            with server.connect() as connection:
                connection.send(stream)
                connection.reset()
        with server.connect() as connection:
            connection.send(head("/"))
            connection.socket.shutdown(socket.SHUT_WR)
            assert connection.read().status == 200
            assert connection.ended()
        (worker,) = hypercorn_seam._workers.values()
        assert eventually(lambda: not worker.entry.registry.connections)


def test_no_other_server_loads_hypercorn(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = StaticFiles(site)
    monkeypatch.delitem(sys.modules, "hypercorn.asyncio.run")
    monkeypatch.setitem(
        sys.modules, "asyncstatic.serve.hypercorn_seam", types.ModuleType("would be imported")
    )

    async def start() -> list[str]:
        sent: list[str] = []
        wanted = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive() -> dict[str, str]:
            return {"type": next(wanted)}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await app({"type": "lifespan"}, receive, send)
        return sent

    assert asyncio.run(start()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
