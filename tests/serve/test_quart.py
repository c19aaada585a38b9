"""`AsyncStatic`: a root in front of a Quart app, with Quart's own habits."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from quart import (
    Blueprint,
    Quart,
    Response,
    current_app,
    render_template_string,
    request,
    url_for,
)
from starlette.applications import Starlette

from asyncstatic import (
    AsyncStatic,
    SettingsError,
    StaticFiles,
    send_from_directory,
    static_tag,
    static_url,
)
from asyncstatic.serve.direct.mounts import find_mounts
from tests.asgi import ask
from tests.support.site import write_site

VITE = {
    "src/main.ts": {
        "file": "assets/main-BRBmoGS9.js",
        "src": "src/main.ts",
        "isEntry": True,
        "imports": ["_shared-B7PI925R.js"],
        "css": ["assets/main-5UjPuW-k.css"],
    },
    "_shared-B7PI925R.js": {
        "file": "assets/shared-B7PI925R.js",
        "css": ["assets/shared-ChJ_j-JJ.css"],
    },
    "logo.svg": {"file": "assets/logo.svg", "src": "logo.svg"},
}
FILES = {
    "app.css": b"a{}",
    "docs/index.html": b"<p>docs",
    ".env": b"SECRET=1",
    "assets/main-BRBmoGS9.js": b"main",
    "assets/shared-B7PI925R.js": b"shared",
    "assets/main-5UjPuW-k.css": b"m{}",
    "assets/shared-ChJ_j-JJ.css": b"s{}",
    "assets/logo.svg": b"<svg/>",
    ".vite/manifest.json": json.dumps(VITE).encode(),
    "big.bin": bytes(300_000),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A package with its UI built beside it, not in it."""
    write_site(tmp_path / "ui" / "dist", FILES)
    (tmp_path / "server" / "package").mkdir(parents=True)
    return tmp_path


def make_app(place: Path, static_folder: str | None = None) -> Quart:
    return Quart("app", root_path=str(place / "server" / "package"), static_folder=static_folder)


async def mounted(app: Quart, *arguments: Any, **settings: Any) -> AsyncStatic:
    """An app is made before the loop runs; here a thread stands for that."""
    return await asyncio.to_thread(AsyncStatic, app, *arguments, **settings)


@pytest.fixture
def app(place: Path) -> Quart:
    app = make_app(place)
    AsyncStatic(app, "../../ui/dist", manifest=".vite/manifest.json")

    @app.route("/static/of-the-app")
    async def view() -> str:
        return "a view"

    return app


async def test_one_line_serves_the_root_below_the_prefix(app: Quart) -> None:
    response = await app.test_client().get("/static/app.css")
    assert response.status_code == 200
    assert await response.get_data() == b"a{}"
    assert response.headers["Content-Type"] == "text/css; charset=utf-8"
    assert response.headers["ETag"]


async def test_a_factory_may_call_it_later(place: Path) -> None:
    static = AsyncStatic(root="../../ui/dist", prefix="/ui/")
    app = make_app(place)
    await asyncio.to_thread(static.init_app, app)
    assert (await app.test_client().get("/ui/app.css")).status_code == 200


async def test_the_app_gets_what_the_root_does_not_have(app: Quart) -> None:
    client = app.test_client()
    assert await (await client.get("/static/of-the-app")).get_data() == b"a view"
    assert (await client.post("/static/app.css")).status_code == 405
    assert (await client.get("/static/missing")).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/static/.env", "/static/docs", "/static/%2e%2e/app.css", "/static/docs%2Findex.html"),
        *("/static%2fapp.css", "/%2Fstatic/app.css", "//static/app.css"),
    ],
)
@pytest.mark.parametrize("folder", [None, "../../ui/dist"], ids=["no route", "Quart's route"])
async def test_no_route_behind_serves_what_the_root_refuses(
    place: Path, folder: str | None, path: str
) -> None:
    app = make_app(place, folder)
    await mounted(app, "../../ui/dist", "/static" if folder is None else None)
    path = path.replace("/static", "/static" if folder is None else "/dist")
    assert (await ask(app, path)).status in (301, 400, 404)


@pytest.mark.parametrize("folder", [None, "../../ui/dist"], ids=["no route", "Quart's route"])
async def test_no_route_behind_takes_an_invalid_host(place: Path, folder: str | None) -> None:
    app = make_app(place, folder)
    static = await mounted(app, "../../ui/dist")
    reply = await ask(app, f"{static.prefix}/app.css", {"host": "local host"})
    assert reply.status == 400


async def test_no_route_behind_drops_a_part_of_an_absolute_form(app: Quart) -> None:
    for target, status in (("/static/app.css", 200), ("/static/app.css;x", 404)):
        reply = await ask(app, f"http://localhost{target}")
        assert reply.status == status, target


async def test_the_apps_own_static_folder_is_served_in_place(place: Path) -> None:
    app = make_app(place, "../../ui/dist")
    static = await mounted(app)
    assert static.prefix == app.static_url_path == "/dist"
    reply = await ask(app, "/dist/app.css")
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-cache")
    async with app.test_request_context("/"):
        assert url_for("static", filename="app.css") == "/dist/app.css"


async def test_the_mount_point_without_its_slash_is_a_directory_like_any(place: Path) -> None:
    write_site(place / "ui" / "dist", {"index.html": b"<p>home"})
    app = make_app(place)
    await mounted(app, "../../ui/dist")
    reply = await ask(app, "/static?q=1")
    assert (reply.status, reply.headers["location"]) == (301, "./static/?q=1")
    assert (await ask(app, "/static/")).body == b"<p>home"
    assert (await ask(app, "/staticfoo")).status == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"if-match": '"other"'},
        {"if-none-match": "*"},
        {"if-unmodified-since": "Thu, 01 Jan 2015 00:00:00 GMT"},
        {"range": "bytes=999-"},
    ],
)
async def test_no_condition_and_no_range_applies_to_the_redirect_of_a_mount_point(
    place: Path, fields: dict[str, str]
) -> None:
    """RFC 9110 §13.2.1, §14.2: without them the answer is no 2xx."""
    write_site(place / "ui" / "dist", {"index.html": b"<p>home"})
    app = make_app(place)
    await mounted(app, "../../ui/dist")
    assert (await ask(app, "/static", fields)).status == 301


# -- configuration -----------------------------------------------------------------------------


async def test_the_config_is_read(place: Path) -> None:
    app = make_app(place)
    app.config.update(
        ASYNCSTATIC_ROOT="../../ui/dist",
        ASYNCSTATIC_PREFIX="/files",
        ASYNCSTATIC_CACHE_CONTROL="max-age=60",
        ASYNCSTATIC_DOTFILES="1",
    )
    await mounted(app)
    reply = await ask(app, "/files/.env")
    assert (reply.status, reply.headers["cache-control"]) == (200, "max-age=60")


async def test_keywords_override_the_config(place: Path) -> None:
    app = make_app(place)
    app.config["ASYNCSTATIC_CACHE_CONTROL"] = "max-age=60"
    await mounted(app, "../../ui/dist", cache_control="max-age=5")
    assert (await ask(app, "/static/app.css")).headers["cache-control"] == "max-age=5"


@pytest.mark.parametrize(
    ("config", "root", "help_"),
    [
        pytest.param({}, None, "no root", id="no root at all"),
        pytest.param({}, "missing", "does not exist", id="no such directory"),
        pytest.param(
            {"ASYNCSTATIC_CACHE_CONTORL": "x"},
            "../../ui/dist",
            "ASYNCSTATIC_CACHE_CONTROL",
            id="a typo in the config",
        ),
    ],
)
def test_a_developers_mistake_says_what_to_do(
    place: Path, config: dict[str, str], root: str | None, help_: str
) -> None:
    app = make_app(place)
    app.config.update(config)
    with pytest.raises(SettingsError, match=help_):
        AsyncStatic(app, root)


@pytest.mark.parametrize("app", ["static", Starlette()], ids=["a root", "another framework"])
def test_an_app_that_is_not_quarts_is_a_mistake(place: Path, app: Any) -> None:
    with pytest.raises(SettingsError, match="a Quart app is needed"):
        AsyncStatic(app, place)


def test_two_static_routes_are_a_mistake(place: Path) -> None:
    app = make_app(place, "../../ui/dist")
    with pytest.raises(SettingsError, match="static_folder=None"):
        AsyncStatic(app, "../../ui/dist", "/other")
    AsyncStatic(app, "../../ui/dist", "/other", endpoint="other")


async def test_several_roots_stand_side_by_side(place: Path) -> None:
    write_site(place / "media", {"a.txt": b"media"})
    app = make_app(place)
    await mounted(app, "../../ui/dist")
    await mounted(app, "../../media", "/media", endpoint="media")
    assert (await ask(app, "/media/a.txt")).body == b"media"
    assert (await ask(app, "/static/app.css")).body == b"a{}"
    async with app.test_request_context("/"):
        assert static_url("a.txt", "media") == url_for("media", filename="a.txt") == "/media/a.txt"
    assert {mount.prefix for mount in find_mounts(app)} == {"/static", "/media"}


# -- blueprints, and what apps call by themselves ----------------------------------------------


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
async def test_static_folders_of_blueprints_are_served(place: Path, late: bool) -> None:
    write_site(place / "admin" / "files", {"b.css": b"b{}", ".env": b"SECRET=1"})
    blueprint = Blueprint(
        "admin", "app", root_path=str(place / "admin"), static_folder="files", url_prefix="/admin"
    )
    app = make_app(place)
    if not late:
        app.register_blueprint(blueprint)
    await mounted(app, "../../ui/dist")
    if late:
        app.register_blueprint(blueprint)
    async with app.test_app() as running:
        client = running.test_client()
        response = await client.get("/admin/files/b.css")
        assert await response.get_data() == b"b{}"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert (await client.get("/admin/files/.env")).status_code == 404
    assert (await ask(app, "/admin/files%2Fb.css")).status == 404
    async with app.test_request_context("/"):
        assert url_for("admin.static", filename="b.css") == "/admin/files/b.css"


async def test_send_static_file_works_without_a_static_folder(place: Path) -> None:
    app = make_app(place)
    await mounted(app, "../../ui/dist")

    @app.route("/")
    @app.route("/about/<path:name>")
    async def index(name: str = "") -> Response:
        return await app.send_static_file("docs/index.html")

    for path in ("/", "/about/a%2Fb"):
        reply = await ask(app, path)
        assert (reply.status, reply.body) == (200, b"<p>docs")


async def test_each_app_of_one_extension_has_its_own_root(tmp_path: Path) -> None:
    write_site(tmp_path, {"a/index.html": b"of a", "b/index.html": b"of b"})
    static, apps = AsyncStatic(prefix=""), {}

    async def page() -> Response:
        return await current_app.send_static_file("index.html")

    for name in ("a", "b"):
        app = apps[name] = Quart(__name__, static_folder=None)
        app.config["ASYNCSTATIC_ROOT"] = tmp_path / name
        app.add_url_rule("/page", "page", page)
        await asyncio.to_thread(static.init_app, app)
    assert static.static.root == str(tmp_path / "b")
    for name, app in apps.items():
        for target in ("/", "/page"):
            assert (await ask(app, target)).body == f"of {name}".encode()


# -- manifests ---------------------------------------------------------------------------------


async def test_urls_are_those_of_the_manifest(app: Quart) -> None:
    async with app.test_request_context("/"):
        assert url_for("static", filename="src/main.ts") == "/static/assets/main-BRBmoGS9.js"
        assert static_url("src/main.ts") == "/static/assets/main-BRBmoGS9.js"
        assert static_url("not in it.txt") == "/static/not%20in%20it.txt"
    async with app.test_request_context("/", root_path="/app"):
        assert static_url("src/main.ts") == "/app/static/assets/main-BRBmoGS9.js"
    async with app.app_context():
        assert static_url("src/main.ts") == "/static/assets/main-BRBmoGS9.js"


MISSPELLED = "static file 'src/mian.ts' is not in the manifest: did you mean 'src/main.ts'?"


@pytest.mark.parametrize("helper", [static_tag, static_url])
@pytest.mark.parametrize("switch", ["debug", "testing"])
async def test_a_name_missing_from_the_manifest_is_an_exception_in_development(
    app: Quart, helper: Any, switch: str
) -> None:
    setattr(app, switch, True)
    async with app.test_request_context("/"):
        with pytest.raises(LookupError) as raised:
            await asyncio.to_thread(helper, "src/mian.ts")
        assert str(raised.value) == MISSPELLED
        for name in ("src/main.ts", "app.css", "assets/main-BRBmoGS9.js"):
            assert "/static/" in await asyncio.to_thread(helper, name)


@pytest.mark.parametrize(
    ("name", "is_file"),
    [("base.css", True), ("vendor.css", True), ("gone.css", False), ("a//b", False), ("\0", False)],
)
async def test_a_name_is_looked_for_in_every_root_of_an_overlay(
    tmp_path: Path, name: str, is_file: bool
) -> None:
    write_site(tmp_path, {"theme/m.json": b"{}", "base/base.css": b"", "more/vendor.css": b""})
    app = Quart(__name__, static_folder=None)
    app.testing = True
    roots = tuple(tmp_path / each for each in ("theme", "base", "more"))
    await asyncio.to_thread(AsyncStatic, app, roots, manifest="m.json")
    async with app.test_request_context("/"):
        refused = pytest.raises(LookupError, match="is not in the manifest")
        expected: AbstractContextManager[Any] = nullcontext() if is_file else refused
        with expected:
            assert await asyncio.to_thread(static_url, name) == f"/static/{name}"


@pytest.mark.parametrize("on_the_loop", [True, False])
async def test_a_name_missing_from_the_manifest_is_logged_once_in_production(
    app: Quart, on_the_loop: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with app.test_request_context("/"):
        for name in ["src/mian.ts", "app.css", "assets/main-BRBmoGS9.js"] * 3:
            if on_the_loop:
                static_tag(name)
            else:
                await asyncio.to_thread(static_tag, name)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert [record.getMessage() for record in caplog.records] == [MISSPELLED]


@pytest.mark.parametrize(
    ("name", "immutable"),
    [
        pytest.param("assets/main-BRBmoGS9.js", True, id="in the manifest, with a fingerprint"),
        pytest.param("assets/main-5UjPuW-k.css", True, id="its stylesheet"),
        pytest.param("assets/logo.svg", False, id="in the manifest, without a fingerprint"),
        pytest.param("app.css", False, id="not in the manifest"),
    ],
)
async def test_only_proven_names_are_immutable(app: Quart, name: str, immutable: bool) -> None:
    reply = await ask(app, f"/static/{name}")
    assert reply.status == 200
    assert ("immutable" in reply.headers["cache-control"]) == immutable


@pytest.mark.parametrize(
    ("name", "options", "cache_control"),
    [
        pytest.param("assets/main-BRBmoGS9.js", {}, "public, max-age=31536000, immutable", id="it"),
        pytest.param("assets/main-BRBmoGS9.js", {"max_age": 5}, "public, max-age=5", id="max_age"),
        pytest.param(
            "assets/main-BRBmoGS9.js", {"cache_control": "no-store"}, "no-store", id="the view"
        ),
        pytest.param(
            "assets/main-BRBmoGS9.js",
            {"max_age": lambda _: None},
            "public, max-age=31536000, immutable",
            id="a function that names no age",
        ),
        pytest.param("assets/logo.svg", {}, "max-age=9", id="no fingerprint"),
        pytest.param("app.css", {}, "max-age=9", id="not in the manifest"),
    ],
)
async def test_a_view_sends_what_is_proven_as_immutable(
    place: Path, name: str, options: dict[str, Any], cache_control: str
) -> None:
    app = make_app(place)
    settings = {"manifest": ".vite/manifest.json", "cache_control": "max-age=9"}
    static = await mounted(app, "../../ui/dist", **settings)

    @app.route("/view")
    async def view() -> Response:
        return await send_from_directory(static.static, name, **options)

    assert (await ask(app, "/view")).headers["cache-control"] == cache_control


async def test_the_static_route_sends_what_is_proven_as_immutable(place: Path) -> None:
    """Behind a middleware that rewrote the path it is Quart's route that answers."""
    app = make_app(place)
    await mounted(app, "../../ui/dist", manifest=".vite/manifest.json")

    @app.route("/")
    async def index() -> Response:
        return await app.send_static_file("assets/main-BRBmoGS9.js")

    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 9
    assert "immutable" in (await ask(app, "/")).headers["cache-control"]


async def test_what_is_protected_stays_private_whatever_its_age(place: Path) -> None:
    app = make_app(place)
    root = await mounted(
        app, "../../ui/dist", manifest=".vite/manifest.json", authorize=lambda *_: True
    )

    @app.route("/view/<path:name>")
    async def view(name: str) -> Response:
        age = int(name == "app.css") * 60 or None
        return await send_from_directory(root.static, name, max_age=age)

    proven = await ask(app, "/view/assets/main-BRBmoGS9.js")
    aged = await ask(app, "/view/app.css")
    assert proven.headers["cache-control"] == "private, no-cache"
    assert aged.headers["cache-control"] == "private, max-age=60"


async def test_urls_follow_a_deploy_without_a_restart(app: Quart, place: Path) -> None:
    @app.route("/")
    async def page() -> str:
        return static_url("src/main.ts")

    assert (await ask(app, "/")).body == b"/static/assets/main-BRBmoGS9.js"
    dist = place / "ui" / "dist"
    new = {**VITE, "src/main.ts": {"file": "assets/main-N3wBu1ld.js"}}
    files = {"assets/main-N3wBu1ld.js": b"new", ".vite/manifest.json": json.dumps(new).encode()}
    await asyncio.to_thread(write_site, dist, files)
    async with asyncio.timeout(10):
        while (await ask(app, "/")).body != b"/static/assets/main-N3wBu1ld.js":
            await asyncio.sleep(0.05)
    assert (
        "immutable" in (await ask(app, "/static/assets/main-N3wBu1ld.js")).headers["cache-control"]
    )


async def test_a_tag_loads_all_an_entry_needs(app: Quart) -> None:
    @app.route("/")
    async def page() -> str:
        return await render_template_string("{{ static_tag('src/main.ts', defer=True) }}")

    lines = (await ask(app, "/")).body.decode().split("\n")
    assert [line.split(" integrity=")[0] for line in lines] == [
        '<link rel="stylesheet" href="/static/assets/shared-ChJ_j-JJ.css"',
        '<link rel="stylesheet" href="/static/assets/main-5UjPuW-k.css"',
        '<link rel="modulepreload" href="/static/assets/shared-B7PI925R.js"',
        '<script src="/static/assets/main-BRBmoGS9.js"',
    ]
    assert lines[-1].endswith(' type="module" defer></script>')
    assert all(' integrity="sha384-' in line for line in lines)


async def test_a_tag_escapes_what_it_is_given(app: Quart) -> None:
    async with app.test_request_context("/"):
        tag = str(static_tag('x".js', data_x='"><script>'))
    assert tag == '<script src="/static/x%22.js" data-x="&#34;&gt;&lt;script&gt;"></script>'


async def test_without_an_extension_the_error_says_what_to_call(place: Path) -> None:
    app = make_app(place)
    async with app.test_request_context("/"):
        with pytest.raises(RuntimeError, match=r"call AsyncStatic\(app"):
            static_url("x")


# -- the whole app -----------------------------------------------------------------------------


async def test_a_mounted_root_is_not_cut_off_by_the_response_timeout(app: Quart) -> None:
    app.config["RESPONSE_TIMEOUT"] = 0.0
    reply = await ask(app, "/static/big.bin")
    assert len(reply.body) == 300_000


async def test_a_hook_protects_a_root(place: Path) -> None:
    app = make_app(place)
    await mounted(
        app, "../../ui/dist", authorize=lambda scope, path: b"ok" in dict(scope["headers"])
    )
    assert (await ask(app, "/static/app.css")).status == 403
    reply = await ask(app, "/static/app.css", {"ok": "1"})
    assert (reply.status, reply.headers["cache-control"]) == (200, "private, no-cache")


async def test_a_view_sees_the_request_it_would_see_without_us(app: Quart) -> None:
    @app.route("/echo/<path:rest>")
    async def echo(rest: str) -> str:
        return f"{rest} {request.root_path} {request.scope['root_path']}"

    assert (await ask(app, "/echo/a%20b")).body == b"a b  "


def test_the_extension_may_share_a_root(place: Path) -> None:
    static = StaticFiles(place / "ui" / "dist")
    assert not static.needs_scope
    assert StaticFiles(place / "ui" / "dist", authorize=lambda *_: True).needs_scope
    static.close()
