"""Networks, rates and users: checked before everything else, alike from every entry."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bcrypt
import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner
from quart import Quart

from asyncstatic import (
    AsyncStatic,
    Redirect,
    Settings,
    SettingsError,
    StaticFiles,
    StaticMiddleware,
    send_from_directory,
)
from asyncstatic.cli.commands import main
from asyncstatic.files import kernel
from asyncstatic.files.handle import identity_of
from asyncstatic.http.access import Rate
from asyncstatic.http.basic import Credentials
from asyncstatic.http.model import Identity, Lookup, Request
from asyncstatic.serve import access, users
from asyncstatic.serve.process.sandbox import version as landlock_version
from tests.asgi import Reply, ask
from tests.http.test_proxy_protocol import BLOCK4, v2
from tests.serve.inside import eventually
from tests.serve.test_proxies_command import behind_balancer
from tests.support.http2 import Connection2
from tests.support.programs import require
from tests.support.raw import Connection, head
from tests.support.servers import Server, environment, running, serving
from tests.support.site import write_site

SITE = {
    "a.txt": b"0123456789",
    "docs/index.html": b"<p>",
    ".hidden": b"h",
    "big.bin": b"x" * 200_000,
}
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
USERS = {
    "anna": QUICK.hash("pass:wört"),
    "bob": bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$"),
}


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


ANNA, BOB = basic("anna:pass:wört"), basic("bob:secret")
CHALLENGE = 'Basic realm="Restricted", charset="UTF-8"'


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("access") / "site", SITE)


@pytest.fixture(scope="module")
def htpasswd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_users(tmp_path_factory.mktemp("etc") / "htpasswd", USERS)


def write_users(path: Path, named: dict[str, str]) -> Path:
    new = path.with_suffix(".new")
    new.write_text("".join(f"{name}:{hash_}\n" for name, hash_ in named.items()))
    return new.replace(path)


async def static(root: Path, **settings: Any) -> StaticFiles:
    return await asyncio.to_thread(StaticFiles, root, **settings)


def authorized(value: str) -> dict[str, str]:
    return {"authorization": value}


# -- users -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "status"),
    [
        pytest.param(ANNA, 200, id="argon2"),
        pytest.param(BOB, 200, id="bcrypt, as htpasswd -B writes it"),
        pytest.param(basic("anna:pass"), 401, id="a wrong password"),
        pytest.param(basic("anna:"), 401, id="an empty password"),
        pytest.param(basic("ANNA:pass:wört"), 401, id="a name in capitals"),
        pytest.param(basic("anna:secret"), 401, id="the password of another"),
        pytest.param(basic("eve:secret"), 401, id="an unknown name"),
        pytest.param(basic("bob:" + "s" * 100), 401, id="more than bcrypt takes"),
        pytest.param(basic(":"), 401, id="nothing"),
        pytest.param("Bearer abc", 401, id="another scheme"),
        pytest.param("Basic %%%", 401, id="no base64"),
        pytest.param(f"{ANNA}, {ANNA}", 401, id="twice"),
        pytest.param(None, 401, id="no field"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_password_opens_the_root(
    root: Path, value: str | None, status: int, method: str
) -> None:
    app = await static(root, users=USERS)
    for _ in range(2):  # what was verified, and what was not, is remembered rightly
        reply = await ask(app, "/a.txt", authorized(value) if value else {}, method=method)
        assert reply.status == status
        assert reply.headers.get("www-authenticate") == (CHALLENGE if status == 401 else None)
        assert reply.headers["cache-control"] == (
            "no-store" if status == 401 else "private, no-cache"
        )
        assert (reply.body == SITE["a.txt"]) == (status == 200 and method == "GET")


TARGETS = [
    "/a.txt",
    "/missing",
    "/.hidden",
    "/docs",
    "/docs/",
    "/",
    "/%2e%2e/x",
    "/%zz",
    "//a",
    "/x" * 4000,
]


async def test_who_has_no_password_learns_nothing_of_the_disk(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await static(root, users=USERS)

    def looked(*_: object, **__: object) -> int:
        raise AssertionError("the disk was asked")

    for name in ("openat", "openat2", "stat"):
        monkeypatch.setattr(kernel, name, looked)
    replies = [await ask(app, target, authorized(basic("eve:x"))) for target in TARGETS]
    replies += [await ask(app, target, authorized(basic("anna:x"))) for target in TARGETS]
    assert {(reply.status, reply.body, str(reply.headers)) for reply in replies} == {
        (401, replies[0].body, str(replies[0].headers))
    }


async def test_pages_and_redirects_are_behind_the_password(root: Path) -> None:
    app = await static(
        root,
        users=USERS,
        spa="docs/index.html",
        not_found="a.txt",
        error_pages={403: "a.txt"},
        clean_urls=True,
        redirects=[Redirect("/old/*", "/new/:splat", 301)],
    )
    navigation = {"accept": "text/html", "sec-fetch-dest": "document"}
    for target, status in (("/old/x", 301), ("/deep/link", 200), ("/x.js", 404), ("/docs/", 200)):
        for _ in range(2):
            opened = await ask(app, target, navigation | authorized(ANNA))
            assert opened.status == status
            assert opened.headers["cache-control"].split(",")[0] in ("private", "no-store")
            refused = await ask(app, target, navigation)
            assert (refused.status, refused.headers.get("location")) == (401, None)
            options = await ask(app, target, navigation, method="OPTIONS")
            assert (options.status, options.headers.get("location")) == (204, None)


@pytest.mark.parametrize("target", ["/", "/?sort=size", "/?zip"])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_a_listing_is_behind_the_password(root: Path, target: str, accept: str) -> None:
    app = await static(root, users=USERS, listing=True, listing_zip="1MiB")
    for _ in range(2):
        opened = await ask(app, target, {"accept": accept} | authorized(ANNA))
        assert (opened.status, opened.headers["cache-control"]) == (200, "private, no-cache")
        refused = await ask(app, target, {"accept": accept})
        assert (refused.status, refused.headers["cache-control"]) == (401, "no-store")


@pytest.mark.parametrize("target", ["", "/"])
async def test_the_mount_point_is_protected_too(root: Path, target: str) -> None:
    app = StaticMiddleware(None, await static(root / "docs", users=USERS), "/m")  # type: ignore[arg-type] # never called
    assert (await ask(app, f"/m{target}")).status == 401
    opened = await ask(app, f"/m{target}", authorized(ANNA))
    assert opened.status == (200 if target else 301)


async def test_conditions_and_ranges_are_behind_the_password(root: Path) -> None:
    app = await static(root, users=USERS, cache_control="public, max-age=60", immutable="a.*")
    whole = await ask(app, "/a.txt", authorized(ANNA))
    assert whole.headers["cache-control"] == "private, max-age=60"
    for field, status in (("if-none-match", 304), ("if-match", 200)):
        condition = {field: whole.headers["etag"]}
        assert (await ask(app, "/a.txt", condition)).status == 401
        assert (await ask(app, "/a.txt", condition | authorized(ANNA))).status == status
    ranged = {"range": "bytes=0-1"}
    assert (await ask(app, "/a.txt", ranged)).status == 401
    assert (await ask(app, "/a.txt", ranged | authorized(ANNA))).body == b"01"


@pytest.mark.parametrize("field", ["public, max-age=60, immutable", False])
async def test_a_rule_does_not_open_shared_caches(root: Path, field: str | bool) -> None:
    rule = {"match": "*", "headers": {"Cache-Control": field}}
    for settings in ({"users": USERS}, {"allow_from": "127.0.0.1"}):
        app = await static(root, rules=[rule], preset="hashed-assets", **settings)
        reply = await ask(app, "/a.txt", authorized(ANNA))
        assert reply.headers["cache-control"].startswith("private, ")


async def test_a_preflight_needs_no_password_and_tells_nothing(root: Path) -> None:
    app = await static(root, users=USERS, cors="https://a.example")
    preflight = {
        "origin": "https://a.example",
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization",
    }
    replies = [await ask(app, target, preflight, method="OPTIONS") for target in TARGETS]
    assert {(reply.status, str(reply.headers)) for reply in replies} == {
        (204, str(replies[0].headers))
    }
    assert replies[0].headers["access-control-allow-headers"] == "authorization"
    refused = await ask(app, "/a.txt", {"origin": "https://a.example"})
    assert refused.headers["access-control-allow-origin"] == "https://a.example"


async def test_a_hook_is_asked_after_the_password(root: Path) -> None:
    asked: list[str] = []

    def hook(scope: Any, path: str) -> bool:
        asked.append(path)
        return path != "/big.bin"

    app = await static(root, users=USERS, authorize=hook)
    assert (await ask(app, "/a.txt")).status == 401
    assert not asked
    assert (await ask(app, "/a.txt", authorized(ANNA))).status == 200
    assert (await ask(app, "/big.bin", authorized(ANNA))).status == 403


async def test_no_caller_can_skip_the_checks(root: Path) -> None:
    app = await static(root, users=USERS)
    assert app.needs_scope
    lookup = Lookup(("a.txt",), directory=False, codings=(("identity",),))
    with pytest.raises(TypeError, match=r"StaticFiles\.find"):
        app.source.open_nowait(lookup)
    with pytest.raises(TypeError, match=r"StaticFiles\.find"):
        await app.source.open(lookup)
    with pytest.raises(TypeError, match="with the scope"):
        await app.find(Request("GET", b"/a.txt"))


# -- verification ------------------------------------------------------------------------------


class Counted:
    """Stands for the verification of a hash: counts, and waits until it is released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, held: bool = False) -> None:
        self.calls: list[tuple[str, bytes]] = []
        self.released = threading.Event()
        if not held:
            self.released.set()
        monkeypatch.setitem(users._MAKERS, "argon2", lambda: self)

    def __call__(self, hash_: str, password: bytes) -> bool:
        self.calls.append((hash_, password))
        assert self.released.wait(20)
        return password == b"right"


HASHES = {name: QUICK.hash(name) for name in ("anna", "carl")}


async def test_verified_credentials_are_not_verified_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = Counted(monkeypatch)
    app = await static(root, users=HASHES)
    for _ in range(3):
        assert (await ask(app, "/a.txt", authorized(basic("anna:right")))).status == 200
    assert len(verify.calls) == 1
    for value, status in (("carl:right", 200), ("anna:wrong", 401), ("anna:wrong", 401)):
        assert (await ask(app, "/a.txt", authorized(basic(value)))).status == status
    assert len(verify.calls) == 4


async def test_equal_credentials_are_verified_once_at_a_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser that opens a page sends a hundred requests over HTTP/2 at once."""
    verify = Counted(monkeypatch, held=True)
    app = await static(root, users=HASHES)
    before = [
        asyncio.create_task(ask(app, "/a.txt", authorized(basic(f"carl:{number}"))))
        for number in range(users._THREADS)
    ]
    while len(verify.calls) < users._THREADS:  # so the next one waits for a thread
        await asyncio.sleep(0.01)
    asked = [
        asyncio.create_task(ask(app, "/a.txt", authorized(basic("anna:right")))) for _ in range(100)
    ]
    await asyncio.sleep(0)
    asked[0].cancel()  # a client that leaves takes nothing from the others
    await asyncio.sleep(0)
    verify.released.set()
    replies = await asyncio.gather(*asked[1:])
    assert {reply.status for reply in replies} == {200}
    await asyncio.gather(*before)
    assert len(verify.calls) == users._THREADS + 1


async def test_a_flood_of_passwords_is_bounded_and_others_are_served(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = Counted(monkeypatch)
    app = await static(root, users=HASHES)
    assert (await ask(app, "/a.txt", authorized(basic("carl:right")))).status == 200
    verify.released.clear()
    flood = [
        asyncio.create_task(ask(app, "/a.txt", authorized(basic(f"anna:{number}"))))
        for number in range(500)
    ]
    done, waiting = await asyncio.wait(flood, timeout=0.5)
    assert len(waiting) == users._MOST_WAITING
    busy = [task.result() for task in done]
    assert {(reply.status, reply.headers["retry-after"]) for reply in busy} == {(503, "1")}
    assert (await ask(app, "/a.txt", authorized(basic("carl:right")))).status == 200
    assert len(verify.calls) <= 1 + users._THREADS
    verify.released.set()
    assert {reply.status for reply in await asyncio.gather(*waiting)} == {401}
    assert (await ask(app, "/a.txt", authorized(basic("anna:right")))).status == 200


async def test_an_unknown_name_costs_what_a_known_one_costs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = Counted(monkeypatch)
    app = await static(root, users=HASHES)
    names = [f"name{number}" for number in range(40)]
    for name in names * 2:
        reply = await ask(app, "/a.txt", authorized(basic(f"{name}:right")))
        assert reply.status == 401  # although a decoy's hash matches
    assert len(verify.calls) == 80
    assert {hash_ for hash_, _ in verify.calls} == set(HASHES.values())
    assert verify.calls[:40] == verify.calls[40:]  # a name is as slow each time


async def test_the_memory_of_verified_credentials_is_bounded(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Counted(monkeypatch)
    monkeypatch.setattr(users, "_MOST_VERIFIED", 8)
    table = users.Table({str(number): HASHES["anna"] for number in range(50)})
    for number in range(50):
        assert await table.accepts(Credentials(str(number).encode(), b"right"))
    assert len(table._verified) <= 8
    assert not table._running


async def test_no_byte_of_a_password_is_ignored(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bcrypt reads 72 bytes; releases of its package before 5 do not refuse a longer password."""
    verify = bcrypt.checkpw
    monkeypatch.setattr(bcrypt, "checkpw", lambda given, hash_: verify(given[:72], hash_))
    hash_ = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    app = await static(root, users={"bob": hash_})
    for length, status in ((72, 200), (73, 401), (71, 401)):
        credentials = authorized(basic("bob:" + "x" * length))
        assert (await ask(app, "/a.txt", credentials)).status == status


async def test_a_hash_that_cannot_be_computed_is_busy_and_logged(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    too_large = USERS["anna"].replace("m=8,", "m=4294967295,")
    app = await static(root, users={"anna": too_large})
    for _ in range(2):
        reply = await ask(app, "/a.txt", authorized(ANNA))
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert "a password cannot be verified: " in caplog.text


async def test_without_a_thread_a_password_is_busy(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await static(root, users={"anna": USERS["anna"]})

    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    users._threads.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        assert (await ask(app, "/a.txt", authorized(ANNA))).status == 503
    assert (await ask(app, "/a.txt", authorized(ANNA))).status == 200


# -- the file ----------------------------------------------------------------------------------


async def test_a_file_of_users_is_read_again_when_it_is_replaced(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(users, "_RECHECK", 0.0)
    path = write_users(tmp_path / "htpasswd", USERS)
    app = await static(root, users=path)

    async def statuses() -> list[int]:
        return [(await ask(app, "/a.txt", authorized(value))).status for value in (ANNA, BOB)]

    assert await statuses() == [200, 200]
    write_users(path, {"anna": USERS["anna"]})
    assert await statuses() == [200, 401]  # also what was verified before
    write_users(path, {"anna": QUICK.hash("another"), "bob": USERS["bob"]})
    assert await statuses() == [401, 200]
    write_users(path, {"anna": "pass:wört"})
    for _ in range(3):
        assert await statuses() == [401, 200]
    path.unlink()
    assert await statuses() == [401, 200]
    complaints = [record.getMessage() for record in caplog.records]
    assert len(complaints) == 2
    assert complaints[0].startswith(f"the users stay as they were: users {path}: line 1: anna has")
    assert "wört" not in complaints[0]
    write_users(path, {})
    assert await statuses() == [401, 401]


async def test_a_file_is_not_checked_more_than_once_a_second(
    root: Path, htpasswd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[str] = []
    times = iter([0.0, 0.5, 0.9, 1.0, 1.0, 1.5, 2.5, 2.5])
    known = await asyncio.to_thread(
        users.Users, str(htpasswd), [str(root)], monotonic=lambda: next(times)
    )

    def counted(path: str) -> Identity:
        checks.append(path)
        return identity_of(os.stat(path))

    monkeypatch.setattr(users, "_identity", counted)
    for checked in (0, 0, 1, 1, 2):
        await known.renewed()
        assert len(checks) == checked


# -- networks ----------------------------------------------------------------------------------

PEER4, PEER6, MAPPED = ("10.1.2.3", 5), ("2001:db8::7", 5), ("::ffff:10.1.2.3", 5)
NETWORKS = [
    # allow_from, deny_from, client -> status
    pytest.param((), ("192.0.2.0/24",), PEER4, 200, id="another is denied"),
    pytest.param((), ("10.0.0.0/8",), PEER4, 403, id="denied"),
    pytest.param((), ("10.0.0.0/8",), MAPPED, 403, id="denied, mapped into IPv6"),
    pytest.param((), ("10.1.2.3",), PEER4, 403, id="an address"),
    pytest.param((), ("*",), PEER4, 403, id="everybody is denied"),
    pytest.param((), ("unix",), None, 403, id="unix is denied"),
    pytest.param((), ("unix",), PEER4, 200, id="only unix is denied"),
    pytest.param((), ("10.0.0.0/8",), ("testclient", 5), 403, id="no address"),
    pytest.param(("10.0.0.0/8",), (), PEER4, 200, id="allowed"),
    pytest.param(("10.0.0.0/8",), (), PEER6, 403, id="not allowed"),
    pytest.param(("2001:db8::/32",), (), PEER6, 200, id="allowed, IPv6"),
    pytest.param(("fe80::/10",), (), ("fe80::1%eth0", 5), 200, id="with an interface"),
    pytest.param(("10.0.0.0/8",), (), None, 403, id="unix is not named"),
    pytest.param(("unix",), (), None, 200, id="unix is named"),
    pytest.param(("10.0.0.0/8",), (), ("", 0), 403, id="an empty address"),
    pytest.param(("10.0.0.0/8",), ("10.1.0.0/16",), PEER4, 403, id="deny counts more"),
    pytest.param(("10.0.0.0/8",), ("10.2.0.0/16",), PEER4, 200, id="allowed and not denied"),
]


@pytest.mark.parametrize(("allow", "deny", "client", "status"), NETWORKS)
async def test_a_network_is_let_in_or_not(
    root: Path, allow: Any, deny: Any, client: Any, status: int
) -> None:
    app = await static(root, allow_from=allow, deny_from=deny)
    reply = await ask(app, "/a.txt", client=client)
    assert reply.status == status
    assert reply.headers["cache-control"] == ("private, no-cache" if status == 200 else "no-store")
    for method in ("HEAD", "OPTIONS", "POST"):
        assert ((await ask(app, "/a.txt", method=method, client=client)).status == 403) == (
            status == 403
        )


async def test_a_refused_network_learns_nothing_of_the_disk(root: Path) -> None:
    for hide, status in ((False, 403), (True, 404)):
        app = await static(root, deny_from="*", hide_forbidden=hide)
        replies = [await ask(app, target) for target in TARGETS]
        assert {(reply.status, reply.body) for reply in replies} == {(status, replies[0].body)}


async def test_a_network_is_asked_before_the_password(root: Path) -> None:
    app = await static(root, deny_from="10.0.0.0/8", users=USERS)
    assert (await ask(app, "/a.txt", authorized(ANNA), client=PEER4)).status == 403
    assert (await ask(app, "/a.txt", authorized(ANNA), client=PEER6)).status == 200


# -- rates -------------------------------------------------------------------------------------


class Clock:
    """The clock of the rate limit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("throttled.utils.now_mono_f", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def asked(app: Any, times: int, client: Any = PEER4, **others: Any) -> list[int]:
    return [(await ask(app, "/a.txt", client=client, **others)).status for _ in range(times)]


@pytest.mark.parametrize(
    ("rate", "at_once", "wait"),
    [
        pytest.param("8/s", 8, 1, id="a second"),
        pytest.param("8/s burst 3", 3, 1, id="fewer at once"),
        pytest.param("6/m burst 2", 2, 10, id="a minute"),
        pytest.param("  6/m   burst 2 ", 2, 10, id="with spaces"),
        pytest.param("2/h", 2, 1800, id="an hour"),
    ],
)
async def test_a_client_that_asks_too_often_must_wait(
    root: Path, clock: Clock, rate: str, at_once: int, wait: int
) -> None:
    app = await static(root, rate_limit=rate)
    assert await asked(app, at_once) == [200] * at_once
    refused = await ask(app, "/a.txt", client=PEER4)
    assert (refused.status, refused.headers["retry-after"]) == (429, str(wait))
    assert refused.headers["cache-control"] == "no-store"
    assert await asked(app, 2, method="OPTIONS") == [204, 204]
    assert await asked(app, 1, client=("10.9.9.9", 1)) == [200]
    clock.now += wait
    assert (await asked(app, 1)) == [200]
    clock.now += 10_000
    assert await asked(app, at_once + 1) == [200] * at_once + [429]


async def test_a_rate_leaves_answers_to_shared_caches(root: Path) -> None:
    app = await static(root, rate_limit="10/s", cache_control="public, max-age=60")
    assert (await ask(app, "/a.txt")).headers["cache-control"] == "public, max-age=60"


async def test_a_missing_name_counts_as_any_other(root: Path, clock: Clock) -> None:
    app = await static(root, rate_limit="2/m")
    replies = [await ask(app, target, client=PEER4) for target in ("/x", "/%zz", "/a.txt", "/x")]
    assert [reply.status for reply in replies] == [404, 400, 429, 429]


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        (None, None, True),
        (None, "10.0.0.1", False),
        ("testclient", "unknown", True),
        ("testclient", "10.0.0.1", False),
        ("testclient", None, False),
    ],
)
async def test_a_client_is_an_address_or_an_ipv6_network(
    root: Path, clock: Clock, first: str | None, second: str | None, is_one: bool
) -> None:
    app = await static(root, rate_limit="1/h")
    clients = [name and (name, port) for port, name in enumerate((first, second))]
    statuses = [(await asked(app, 1, client=client))[0] for client in clients]
    assert statuses == [200, 429 if is_one else 200]


async def test_guesses_are_counted_before_they_are_verified(
    root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = Counted(monkeypatch)
    app = await static(root, users=HASHES, rate_limit="3/m")
    replies = [
        await ask(app, "/a.txt", authorized(basic(f"anna:{n}")), client=PEER4) for n in range(6)
    ]
    assert [reply.status for reply in replies] == [401] * 3 + [429] * 3
    assert len(verify.calls) == 3


def test_the_memory_of_rates_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_CLIENTS", 100)
    limit = access.RateLimit(Rate(1, 3600, 1))
    assert not any(limit.wait((f"10.0.{n // 250}.{n % 250}", 1)) for n in range(1000))
    assert limit.wait(("10.0.3.249", 1))
    assert len(limit._limiter._store._backend.get_client()) <= 100


# -- entries -----------------------------------------------------------------------------------

SERVERS = ["serve", "serve-no-direct", "hypercorn", "hypercorn-uvloop", "uvicorn"]
DIRECT_UVICORN = [
    *("-m", "uvicorn", "--http", "asyncstatic.serve.uvicorn:DirectHttpProtocol"),
    *("--port", "{port}", "asyncstatic:app"),
]


@pytest.fixture(scope="module", params=[*SERVERS, "uvicorn, direct"])
def server(request: pytest.FixtureRequest, root: Path, htpasswd: Path) -> Iterator[Server]:
    settings = {"users": str(htpasswd), "realm": "The files"}
    if request.param in SERVERS:
        with serving(request.param, root, **settings) as started:
            yield started
        return
    variables = {f"ASYNCSTATIC_{name.upper()}": value for name, value in settings.items()}
    with running(DIRECT_UVICORN, {"ASYNCSTATIC_ROOT": str(root), **variables}) as started:
        yield started


AUTHORIZED = f"Authorization: {ANNA}"


@pytest.mark.parametrize(
    "target", ["/a.txt", "/big.bin", "/docs/", "/docs", "/missing", "/.hidden"]
)
def test_what_one_client_filled_opens_nothing_to_another(server: Server, target: str) -> None:
    """Every cache is filled with credentials first: content, open files, prepared answers."""
    for _ in range(3):
        opened = server.fetch(target, AUTHORIZED)
        assert opened.status in (200, 301, 404)
        tag = opened.field("etag")
        for method in ("GET", "HEAD"):
            for lines in ([], [f"If-None-Match: {tag}"], ["Range: bytes=0-0"]):
                refused = server.fetch(target, *lines, method=method)
                assert refused.status == 401
                assert refused.field("www-authenticate") == (
                    'Basic realm="The files", charset="UTF-8"'
                )
                assert refused.field("cache-control") == "no-store"
    wrong = "Authorization: " + basic("anna:wrong")
    assert server.fetch(target, wrong).content == server.fetch(target).content


def test_a_password_holds_for_one_request_of_a_connection(server: Server) -> None:
    with server.connect() as connection:
        for _ in range(3):
            assert connection.get("/a.txt", AUTHORIZED).content == SITE["a.txt"]
            assert connection.get("/a.txt").status == 401
    with server.connect() as connection:  # in one piece
        connection.send(head("/a.txt", AUTHORIZED) + head("/a.txt") + head("/big.bin", AUTHORIZED))
        assert [connection.read().status for _ in range(3)] == [200, 401, 200]


def test_a_password_holds_for_one_stream_of_http2(server: Server) -> None:
    if "uvicorn" in server.log.lower():
        pytest.skip("Uvicorn has no HTTP/2")
    with Connection2(server.port) as connection:
        for target in ("/a.txt", "/big.bin"):
            for _ in range(2):
                assert connection.get(target, ("authorization", ANNA)).content == SITE[target[1:]]
                assert connection.get(target).status == 401
                assert connection.get(target, ("authorization", basic("anna:x"))).status == 401


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_logs_in(server: Server) -> None:
    def curl(*options: str) -> str:
        command = ["curl", "-s", "-o", "-", "-w", " %{http_code}", *options, server.url("/a.txt")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert curl("-u", "anna:pass:wört") == "0123456789 200"
    assert curl("-u", "bob:secret", "--anyauth") == "0123456789 200"
    assert curl("-u", "bob:wrong").endswith(" 401")
    assert curl().endswith(" 401")


@pytest.mark.slow
def test_chromium_logs_in(htpasswd: Path, tmp_path: Path) -> None:
    page = b"<!doctype html><link rel=stylesheet href=a.css><script src=a.js></script>"
    site = write_site(tmp_path / "site", {"index.html": page, "a.css": b"p{}", "a.js": b"1"})
    log = tmp_path / "log"
    command = ["-m", "asyncstatic", "serve", str(site), "--bind", "127.0.0.1:{port}"]
    command += ["--access-logfile", str(log), "--set", f"users={htpasswd}"]
    chromium = [require("chromium", apt="chromium"), "--headless", "--no-sandbox", "--disable-gpu"]
    chromium += [f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
    with running(command, {}) as server:
        url = server.url().replace("//", "//anna:pass%3Aw%C3%B6rt@")
        subprocess.run(
            [*chromium, url],
            check=True,
            capture_output=True,
            timeout=60,
            env={**environment(), "HOME": str(tmp_path)},
        )
        lines = [line.split() for line in log.read_text().splitlines()]
    opened = {line[6] for line in lines if (line[2], line[8]) == ("anna", "200")}
    assert opened >= {"/", "/a.css", "/a.js"}


APP = """
from asyncstatic import Settings, StaticMiddleware

async def behind(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body"})

closed = Settings(ROOT, users=USERS)
app = StaticMiddleware(behind, {"/open": ROOT, "/closed": closed, "/again": ROOT})
"""


def test_an_open_mount_beside_it_opens_nothing(root: Path, htpasswd: Path, tmp_path: Path) -> None:
    names = f"ROOT, USERS = {str(root)!r}, {str(htpasswd)!r}\n"
    (tmp_path / "site_app.py").write_text(names + APP)
    command = ["-m", "asyncstatic", "serve", "site_app:app", "--bind", "127.0.0.1:{port}"]
    with running(command, {}, cwd=str(tmp_path)) as server, server.connect() as connection:
        for _ in range(3):
            assert connection.get("/open/a.txt").status == 200
            assert connection.get("/again/a.txt").status == 200
            for name, there in (("a.txt", 200), ("missing", 299), ("", 299)):
                assert connection.get(f"/closed/{name}", AUTHORIZED).status == there
                for path in (f"/closed/{name}", f"/%63losed/{name}"):
                    with server.connect() as other:
                        assert other.get(path).status == 401
        assert connection.get("/closed/a.txt", method="POST").status == 299
        assert server.fetch("/other").status == 299


async def behind(scope: Any, receive: Any, send: Any) -> None:
    """Stands for an app behind the root: answers everything."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body"})


CONTENT = [{}, {"content-length": "1"}, {"transfer-encoding": "chunked"}]


@pytest.mark.parametrize("content", CONTENT, ids=["none", "a length", "chunked"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "get", "Head"])
@pytest.mark.parametrize("name", ["a.txt", "missing", "%zz"])
async def test_no_request_reaches_the_app_past_the_checks(
    root: Path, content: dict[str, str], method: str, name: str
) -> None:
    app = StaticMiddleware(behind, await static(root, users=USERS), "/m")
    refused = await ask(app, f"/m/{name}", content, method=method)
    assert (refused.status, refused.headers["www-authenticate"]) == (401, CHALLENGE)
    opened = await ask(app, f"/m/{name}", content | authorized(ANNA), method=method)
    is_file = (name, method.upper()) == ("a.txt", method)
    assert opened.status == (200 if is_file else 299)
    assert (await ask(app, "/other", content, method=method)).status == 299


@pytest.mark.parametrize("content", CONTENT, ids=["none", "a length", "chunked"])
@pytest.mark.parametrize(("hide", "status"), [(False, 403), (True, 404)])
async def test_a_network_that_is_refused_gets_no_answer_of_the_app(
    root: Path, content: dict[str, str], hide: bool, status: int
) -> None:
    closed = await static(root, deny_from="10.0.0.0/8", hide_forbidden=hide, cors="*")
    app = StaticMiddleware(behind, closed, "/m")
    preflight = {"origin": "https://a.example", "access-control-request-method": "GET"}
    for name in ("a.txt", "missing"):
        assert (await ask(app, f"/m/{name}", content, client=PEER4)).status == status
        asked = await ask(app, f"/m/{name}", preflight, method="OPTIONS", client=PEER4)
        assert asked.status == status
    assert (await ask(app, "/m/missing", content, client=PEER6)).status == 299


async def test_a_preflight_takes_nothing_from_the_rate(root: Path, clock: Clock) -> None:
    app = StaticMiddleware(behind, await static(root, rate_limit="1/h", cors="*"))
    preflight = {"origin": "https://a.example", "access-control-request-method": "GET"}
    assert await asked(app, 3, method="OPTIONS", headers=preflight) == [204] * 3
    assert await asked(app, 2) == [200, 429]


@pytest.mark.parametrize(
    ("target", "is_below"),
    [
        ("/a/m/view", True),
        ("/a/m%2Fview", True),
        ("/a%2fm/view", True),
        ("/%2Fa/m/view", True),
        ("//a/m/view", True),
        ("/a//m/view", True),
        ("/a/m//view", True),
        ("/a/%6d/view", True),
        ("http://localhost/a/m%2Fview", True),
        ("/a/m", True),
        ("/a%2Fm", True),
        ("/a/mview", False),
        ("/x/a/m/view", False),
        ("/a/m%252Fview", False),
    ],
)
async def test_no_spelling_of_a_view_below_the_prefix_is_without_the_password(
    root: Path, target: str, is_below: bool
) -> None:
    """Quart decodes slashes and merges them."""

    def build() -> Quart:
        app = Quart("here", static_folder=None)
        app.add_url_rule("/a/m/view", view_func=view)
        app.add_url_rule("/<path:path>", view_func=view)
        AsyncStatic(app, root, "/a/m", users=USERS)
        return app

    async def view(path: str = "") -> str:
        return "view"

    app = await asyncio.to_thread(build)
    refused = await ask(app, target)
    assert refused.status == (401 if is_below else 200)
    assert b"view" in (await ask(app, target, authorized(ANNA))).body
    for root_path in ("/p", "/p/"):
        spelled = target.replace("localhost", "localhost/p") if target[0] == "h" else f"/p{target}"
        assert (await ask(app, spelled, root_path=root_path)).status == refused.status
        if is_below and target[0] == "/":
            assert (await ask(app, f"/p%2F{target[1:]}", root_path=root_path)).status == 401


async def quart(root: Path, **options: Any) -> Quart:
    def build() -> Quart:
        if not options:
            app = Quart("here", static_folder=None)
            AsyncStatic(app, root, "/static", users=USERS)
            return app
        app = Quart("here", static_folder=str(root), static_url_path="/static", **options)
        AsyncStatic(app, users=USERS)
        return app

    return await asyncio.to_thread(build)


@pytest.mark.parametrize(
    "options",
    [{}, {"host_matching": True, "static_host": "files.example"}],
    ids=["in front", "by the route"],
)
async def test_quart_asks_for_the_password(root: Path, options: dict[str, Any]) -> None:
    app = await quart(root, **options)
    host = {"host": "files.example"}
    for _ in range(2):
        opened = await ask(app, "/static/a.txt", host | authorized(ANNA))
        assert (opened.status, opened.body) == (200, SITE["a.txt"])
        assert opened.headers["cache-control"] == "private, no-cache"
        refused = [
            await ask(app, f"/static/{name}", host) for name in ("a.txt", "missing", ".hidden")
        ]
        assert {reply.status for reply in refused} == {401}
        challenges = {reply.headers["www-authenticate"].replace('"', "") for reply in refused}
        assert challenges == {CHALLENGE.replace('"', "")}  # Werkzeug quotes where it must
    assert (await ask(app, "/static/missing", host | authorized(ANNA))).status == 404


async def test_a_view_asks_for_the_password_and_the_rate(root: Path, clock: Clock) -> None:
    closed = await static(root, users=USERS, rate_limit="3/m")
    app = Quart("here", static_folder=None)

    @app.get("/view/<path:name>")
    async def view(name: str) -> Any:
        return await send_from_directory(closed, name)

    assert (await ask(app, "/view/a.txt", authorized(ANNA))).body == SITE["a.txt"]
    assert (await ask(app, "/view/a.txt")).status == 401
    assert (await ask(app, "/view/missing")).status == 401
    late = await ask(app, "/view/a.txt", authorized(ANNA))
    assert (late.status, late.headers["retry-after"]) == (429, "20")


async def test_starlette_mounts_it_and_its_handlers_see_the_challenge(root: Path) -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request as Asked
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount

    async def handler(request: Asked, error: Any) -> PlainTextResponse:
        return PlainTextResponse("ours", error.status_code, error.headers)

    routes = [Mount("/static", await static(root, users=USERS))]
    for handlers in ({}, {401: handler}):
        app = Starlette(routes=routes, exception_handlers=handlers)
        refused = await ask(app, "/static/a.txt")
        assert (refused.status, refused.headers["www-authenticate"]) == (401, CHALLENGE)
        assert (refused.body == b"ours") == bool(handlers)
        assert (await ask(app, "/static/a.txt", authorized(ANNA))).status == 200


@pytest.mark.parametrize("direct", ["--direct", "--no-direct"])
def test_networks_and_rates_are_about_the_client_that_the_proxy_names(
    root: Path, tmp_path: Path, direct: str
) -> None:
    path = tmp_path / "socket"
    command = ["-m", "asyncstatic", "serve", str(root), "--bind", "127.0.0.1:{port}", direct]
    command += ["--bind", f"unix:{path}", "--trusted-proxies", "127.0.0.1"]
    command += ["--set", "allow_from=192.0.2.0/24, unix, 127.0.0.1", "--set", "rate_limit=3/h"]
    with running(command, {}) as server:
        outside = "X-Forwarded-For: 198.51.100.1"
        assert server.fetch("/a.txt", outside).status == 403
        # The proxy, which has access itself, passes on a field that the client wrote.
        for forwarded in ("for=192.0.2.1", "for=127.0.0.1", "for=unknown", "nonsense", ""):
            assert server.fetch("/a.txt", outside, f"Forwarded: {forwarded}").status == 403
        for status in (200, 200, 200, 429):
            assert server.fetch("/a.txt", "X-Forwarded-For: 192.0.2.1").status == status
        assert server.fetch("/a.txt", "X-Forwarded-For: 192.0.2.2").status == 200
        with server.connect() as connection:
            connection.socket.close()
            connection.socket = socket.socket(socket.AF_UNIX)
            connection.socket.connect(str(path))
            assert connection.get("/a.txt", "X-Forwarded-For: 198.51.100.1").status == 200


TOML = """
allow_from = ["127.0.0.0/8"]

[mounts]
"/" = "site"
"/closed" = { root = "site", users = "htpasswd", realm = "The closed part", rate_limit = "100/s" }
"/inline" = { root = "site", users = { bob = "%s" } }
"""


def test_a_configuration_file_closes_one_mount(tmp_path: Path) -> None:
    write_site(tmp_path / "site", SITE)
    write_users(tmp_path / "htpasswd", USERS)
    file = tmp_path / "asyncstatic.toml"
    file.write_text(TOML % USERS["bob"])
    command = ["-m", "asyncstatic", "serve", "--config", str(file), "--bind", "127.0.0.1:{port}"]
    with running(command, {}) as server:
        for _ in range(2):
            assert server.fetch("/a.txt").status == 200
            assert server.fetch("/closed/a.txt", AUTHORIZED).status == 200
            assert server.fetch("/closed/a.txt").status == 401
            assert server.fetch("/inline/a.txt", AUTHORIZED).status == 401
            assert server.fetch("/inline/a.txt", f"Authorization: {BOB}").status == 200


def test_a_file_of_users_below_another_mount_is_refused(tmp_path: Path) -> None:
    write_site(tmp_path, {"site/a.txt": b"a", "closed/b.txt": b"b"})
    write_users(tmp_path / "site" / "htpasswd", USERS)
    file = tmp_path / "asyncstatic.toml"
    closed = '{ root = "closed", users = "site/htpasswd" }'
    file.write_text(f'[mounts]\n"/" = "site"\n"/closed" = {closed}\n')
    ended = command("serve", "--config", str(file))
    assert ended.returncode == 2
    assert f"it is below the root {tmp_path}/site, where clients may read it" in ended.stderr


def test_a_wrong_hash_in_a_configuration_file_is_one_line_without_it(tmp_path: Path) -> None:
    write_site(tmp_path / "site", SITE)
    file = tmp_path / "asyncstatic.toml"
    file.write_text(TOML % "hunter2")
    ended = command("serve", "--config", str(file))
    assert ended.returncode == 2
    assert "asyncstatic.toml:7: " in ended.stderr
    assert "bob has no hash of argon2 or bcrypt" in ended.stderr
    assert "hunter2" not in ended.stderr


@pytest.mark.parametrize("direct", ["--direct", "--no-direct"])
def test_networks_are_about_the_client_in_a_proxy_header(
    root: Path, tmp_path: Path, direct: str
) -> None:
    trust = ("--trusted-proxies", "127.0.0.1", "--proxy-protocol", direct)
    with behind_balancer(
        root / "docs", tmp_path / "log", *trust, "--set", "deny_from=192.0.2.7"
    ) as port:
        for header, status in ((v2(0x11, BLOCK4), 403), (v2(0x00, b"", command=0x20), 200)):
            with Connection(port) as connection:
                connection.send(header + head("/"))
                assert connection.read().status == status


@pytest.mark.parametrize("direct", ["--direct", "--no-direct"])
def test_the_log_names_the_user(root: Path, htpasswd: Path, tmp_path: Path, direct: str) -> None:
    log = tmp_path / "log"
    command = ["-m", "asyncstatic", "serve", str(root), "--bind", "127.0.0.1:{port}", direct]
    with running(
        [*command, "--access-logfile", str(log)], {"ASYNCSTATIC_USERS": str(htpasswd)}
    ) as server:
        assert server.fetch("/a.txt?user", AUTHORIZED).status == 200
        assert server.fetch("/a.txt?nobody").status == 401
        assert eventually(lambda: log.read_text().count("/a.txt?") == 2)
    lines = [line.split() for line in log.read_text().splitlines() if "/a.txt?" in line]
    assert {(line[2], line[8]) for line in lines} == {("anna", "200"), ("-", "401")}


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_a_sandbox_lets_the_users_be_read_again(root: Path, tmp_path: Path) -> None:
    path = write_users(tmp_path / "htpasswd", {"anna": USERS["anna"]})
    command = ["-m", "asyncstatic", "serve", str(root), "--sandbox", "--bind", "127.0.0.1:{port}"]
    with running(command, {"ASYNCSTATIC_USERS": str(path)}) as server:
        assert server.fetch("/a.txt", AUTHORIZED).status == 200
        assert server.fetch("/a.txt", f"Authorization: {BOB}").status == 401
        write_users(path, USERS)
        assert eventually(lambda: server.fetch("/a.txt", f"Authorization: {BOB}").status == 200)


# -- refused at the start ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"users": {"anna": "hunter2"}},
            "users: anna has no hash of argon2 or bcrypt; make one with:",
        ),
        ({"users": {"a:b": USERS["anna"]}}, "users: a name is printable and has no colon"),
        ({"users": {}}, "users: the name of an htpasswd file is needed"),
        ({"users": ""}, "users: the name of an htpasswd file is needed"),
        ({"users": ["anna:hunter2"]}, "users: the name of an htpasswd file is needed"),
        ({"realm": "é"}, "realm='é': printable ASCII is needed"),
        ({"realm": ""}, "realm='': printable ASCII is needed"),
        ({"allow_from": "10.0.0.1/8"}, "names an address in a network: say 10.0.0.0/8"),
        ({"deny_from": "intranet"}, "'intranet' is no network: say one such as 10.0.0.0/8"),
        ({"rate_limit": "fast"}, "rate_limit='fast': a rate is needed: 10/s, 600/m, 3600/h"),
        ({"rate_limit": "0/s"}, "a rate is needed"),
        ({"rate_limit": "10/s burst 0"}, "a rate is needed"),
        ({"rate_limit": 10}, "str is needed"),
    ],
)
def test_a_wrong_setting_is_one_line_without_a_password(
    settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings("site", **settings)
    message = str(raised.value)
    assert says in message
    assert "\n" not in message
    assert "hunter2" not in message


def test_settings_do_not_show_their_hashes() -> None:
    assert "argon2" not in repr(Settings("site", users=USERS))


@pytest.mark.parametrize("name", ["users", "allow_from", "deny_from", "rate_limit"])
def test_an_empty_variable_does_not_open_the_root(name: str) -> None:
    """As from ASYNCSTATIC_USERS=$FILE where FILE is not set."""
    variables = {"ASYNCSTATIC_ROOT": "site", f"ASYNCSTATIC_{name.upper()}": ""}
    with pytest.raises(SettingsError, match="it is empty; name a value, or leave it out"):
        Settings.from_environment(variables)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory; name an htpasswd file, or a mapping"),
        ("", "it names no user"),
        ("anna:hunter2\n", "line 1: anna has no hash of argon2 or bcrypt; make one with:"),
        ("hunter2", "line 1: say NAME:HASH"),
    ],
)
def test_a_wrong_file_is_one_line(
    root: Path, tmp_path: Path, content: str | None, says: str
) -> None:
    path = tmp_path / "htpasswd"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError) as raised:
        StaticFiles(root, users=path)
    assert says in str(raised.value)
    assert str(path) in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_file_that_clients_could_read_is_refused(root: Path, tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", {"a.txt": b"a"})
    write_users(site / ".htpasswd", USERS)
    (tmp_path / "link").symlink_to(site / ".htpasswd")
    for path in (site / ".htpasswd", tmp_path / "link", site / "x" / ".." / ".htpasswd"):
        with pytest.raises(SettingsError, match=r"it is below the root .*, where clients may"):
            StaticFiles(site, users=path)


def test_a_password_in_place_of_a_file_is_not_shown(root: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        StaticFiles(root, users="anna:hunter2")
    assert "hunter2" not in str(raised.value)
    assert "name an htpasswd file" in str(raised.value)


@pytest.mark.parametrize(
    ("package", "settings", "extra"),
    [
        ("argon2", {"users": {"anna": USERS["anna"]}}, "auth"),
        ("bcrypt", {"users": {"bob": USERS["bob"]}}, "auth"),
        ("throttled", {"rate_limit": "1/s"}, "rate"),
    ],
)
def test_a_missing_package_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, package: str, settings: Any, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=rf"pip install 'asyncstatic\[{extra}\]'"):
        StaticFiles(root, **settings)


def command(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "asyncstatic", *arguments],
        input=given,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
    )


def test_the_command_refuses_to_start_in_one_line(root: Path, tmp_path: Path) -> None:
    write_users(tmp_path / "htpasswd", {"anna": "hunter2"})
    ended = command("serve", str(root), "--set", f"users={tmp_path / 'htpasswd'}")
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        f"Error: users {tmp_path / 'htpasswd'}: line 1: anna has no hash"
    )
    assert ended.stderr.count("\n") == 1
    assert "hunter2" not in ended.stderr


def test_the_command_makes_a_hash_that_opens_the_root(root: Path, tmp_path: Path) -> None:
    made = command("hash", "anna", given="wört\n")
    assert made.returncode == 0
    (tmp_path / "htpasswd").write_text(made.stdout)
    app = StaticFiles(root, users=tmp_path / "htpasswd")
    reply: Reply = asyncio.run(ask(app, "/a.txt", authorized(basic("anna:wört"))))
    assert reply.status == 200
    bare = command("hash", given="wört\n")
    assert bare.stdout.startswith("$argon2id$")


def test_the_prompt_for_a_password_is_no_part_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is the htpasswd file: ``asyncstatic hash anna >> htpasswd``."""
    prompts: list[dict[str, Any]] = []

    def prompt(_text: str, **options: Any) -> str:
        prompts.append(options)
        return "secret"

    monkeypatch.setattr("click.prompt", prompt)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(SystemExit):
        main(["hash", "anna"])
    assert [options["err"] for options in prompts] == [True]


@pytest.mark.parametrize("given", ["\n", "", "a\tb\n"])
def test_the_command_makes_no_hash_of_what_no_client_can_send(given: str) -> None:
    made = command("hash", given=given)
    assert (made.returncode, made.stdout) == (2, "")
    assert "the password is empty, or has a control character" in made.stderr


def test_the_command_makes_no_hash_of_bytes_that_are_no_text() -> None:
    made = CliRunner().invoke(main, ["hash"], input=b"w\xf6rt\n")
    assert (made.exit_code, made.output) == (2, "Error: the password is not UTF-8\n")


@pytest.mark.skipif(shutil.which("htpasswd") is None, reason="Apache's htpasswd is not installed")
async def test_a_file_of_apaches_htpasswd_is_read(root: Path, tmp_path: Path) -> None:
    path = os.fspath(tmp_path / "htpasswd")
    command = ["htpasswd", "-bcB", path, "anna", "wört"]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    app = await static(root, users=path)
    assert (await ask(app, "/a.txt", authorized(basic("anna:wört")))).status == 200
