"""ASGI scope -> Request: as the client spelled it, below the mount, and decoded at most once."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncstatic.http.model import ResponsePlan
from asyncstatic.http.respond import admit
from asyncstatic.http.target import TargetPath, parse_target
from asyncstatic.serve.scope import has_content, read_request
from asyncstatic.settings import Settings


def scope(path: str, raw: bytes | None = None, root: str | None = None, **others: Any) -> Any:
    """An ``http`` scope, with only what a server must send and what is given."""
    made: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "headers": [], **others}
    if raw is not None:
        made["raw_path"] = raw
    if root is not None:
        made["root_path"] = root
    return made


TARGETS = [
    # path, raw_path, root_path -> mount, target, decoded
    pytest.param(scope("/a", b"/a"), b"", b"/a", False, id="plain"),
    pytest.param(scope("/a b", b"/a%20b"), b"", b"/a%20b", False, id="escape"),
    pytest.param(scope("/a/b", b"/a%2Fb"), b"", b"/a%2Fb", False, id="an escaped slash is seen"),
    pytest.param(scope("/\ufffd", b"/%FF"), b"", b"/%FF", False, id="no UTF-8 is seen"),
    pytest.param(scope("/é", b"/%C3%A9"), b"", b"/%C3%A9", False, id="UTF-8"),
    pytest.param(scope("/%41", b"/%2541"), b"", b"/%2541", False, id="escaped escape"),
    pytest.param(scope("/a", None), b"", b"/a", True, id="no raw_path"),
    pytest.param(scope("/a", b""), b"", b"/a", True, id="empty raw_path"),
    pytest.param(scope("/100%", None), b"", b"/100%", True, id="no raw_path, percent sign"),
    pytest.param(scope("/%41", None), b"", b"/%41", True, id="no raw_path, what looks escaped"),
    pytest.param(scope("/é", None), b"", "/é".encode(), True, id="no raw_path, UTF-8"),
    pytest.param(scope("/new", b"/old"), b"", b"/new", True, id="a middleware rewrote path"),
    pytest.param(scope("/a%20", b"/old"), b"", b"/a%20", True, id="rewritten, never decoded"),
    # absolute-form
    pytest.param(scope("/a", b"http://x/a"), b"", b"/a", False, id="absolute-form"),
    pytest.param(
        scope("http://x/a", b"http://x/a"), b"", b"/a", False, id="absolute-form in path too"
    ),
    # Litestar's mounts
    pytest.param(scope("/a/", b"/m/a"), b"/m", b"/a", False, id="Litestar"),
    pytest.param(scope("a/", b"/a"), b"", b"/a", False, id="Litestar, mounted at /"),
    pytest.param(scope("a/b/", b"/a/b/"), b"", b"/a/b/", False, id="a directory there"),
    pytest.param(scope("a b/", b"/a%20b"), b"", b"/a%20b", False, id="an escape there"),
    pytest.param(scope("a/b/", b"/a%2Fb"), b"", b"/a%2Fb", False, id="an escaped slash there"),
    pytest.param(scope("foo/", b"/mfoo"), b"", b"//", False, id="Litestar, inside a name"),
    pytest.param(scope("m/a/", b"/m/mm/a"), b"", b"//", False, id="Litestar, inside a directory"),
    # mounts
    pytest.param(scope("/m/a", b"/m/a", "/m"), b"/m", b"/a", False, id="mounted"),
    pytest.param(scope("/m/a", b"/m/a", "/m/"), b"/m", b"/a", False, id="root_path with a slash"),
    pytest.param(scope("/m/a", b"/m/a", ""), b"", b"/m/a", False, id="empty root_path"),
    pytest.param(scope("/m/a", b"/m/a", "/"), b"", b"/m/a", False, id="root_path is the root"),
    pytest.param(scope("/m/n/a", b"/m/n/a", "/m/n"), b"/m/n", b"/a", False, id="mounted deep"),
    pytest.param(scope("/m/", b"/m/", "/m"), b"/m", b"/", False, id="the mount itself"),
    pytest.param(scope("/m/m/a", b"/m/m/a", "/m"), b"/m", b"/m/a", False, id="only once"),
    pytest.param(scope("/m n/a", b"/m%20n/a", "/m n"), b"/m%20n", b"/a", False, id="escaped mount"),
    pytest.param(scope("/m/a", b"/%6D/a", "/m"), b"/%6D", b"/a", False, id="mount spelled oddly"),
    pytest.param(scope("/a", b"/a", "/m"), b"", b"/a", False, id="a proxy stripped the mount"),
    pytest.param(
        scope("/a", b"/m/a", "/m"), b"/m", b"/a", False, id="a server stripped it from path alone"
    ),
    pytest.param(scope("/m/a", None, "/m"), b"/m", b"/a", True, id="mounted, no raw_path"),
    pytest.param(
        scope("/%6D/a", None, "/m"), b"", b"/%6D/a", True, id="a decoded mount is not decoded again"
    ),
]


@pytest.mark.parametrize(("scope_", "mount", "target", "decoded"), TARGETS)
def test_the_target_is_what_follows_the_mount(
    scope_: Any, mount: bytes, target: bytes, decoded: bool
) -> None:
    request = read_request(scope_)
    assert (request.mount, request.target, request.decoded) == (mount, target, decoded)


@pytest.mark.parametrize(
    "path", ["/staticfoo", "/static.bak/a", "/staticfoo/a", "/static%2Fa", "/static%20"]
)
@pytest.mark.parametrize("with_raw", [True, False], ids=["raw_path", "path"])
def test_a_mount_is_no_prefix_of_a_name(path: str, with_raw: bool) -> None:
    """``/static`` does not answer for ``/staticfoo``: there is nothing, whatever it is."""
    raw = path.encode() if with_raw else None
    request = read_request(scope(unquote(path) if with_raw else path, raw, "/static"))
    assert not isinstance(parse_target(request.target, Settings()), TargetPath)


@pytest.mark.parametrize("raw", [b"/m/caf%C3%A9%2520x", None], ids=["raw_path", "path"])
def test_the_mount_without_its_slash_leads_to_the_mount(raw: bytes | None) -> None:
    plan = admit(read_request(scope("/m/café%20x", raw, "/m/café%20x")), Settings())
    assert isinstance(plan, ResponsePlan)
    assert (plan.status, dict(plan.fields)[b"location"]) == (301, b"./caf%C3%A9%2520x/")


@pytest.mark.parametrize("raw", [b"/caf%C3%A9%20x/./a", None], ids=["raw_path", "path"])
def test_a_mount_reaches_a_redirect_percent_encoded(raw: bytes | None) -> None:
    plan = admit(read_request(scope("/café x/./a", raw, "/café x")), Settings())
    assert isinstance(plan, ResponsePlan)
    assert dict(plan.fields)[b"location"] == b"/caf%C3%A9%20x/a"


def test_method_query_and_fields_are_handed_on() -> None:
    request = read_request(
        scope(
            "/a",
            b"/a",
            method="HEAD",
            query_string=b"x=%20",
            headers=[(b"host", b"h"), (b"range", b"bytes=0-0"), (b"accept", b"*/*")],
        )
    )
    assert request[:3] == ("HEAD", b"/a", b"x=%20")
    assert (request.fields.range, request.fields.accept) == ("bytes=0-0", "*/*")


@pytest.mark.parametrize(
    ("headers", "announced"),
    [
        pytest.param([], False, id="none"),
        pytest.param([(b"content-length", b"0")], False, id="length of nothing"),
        pytest.param([(b"content-length", b"5")], True, id="length"),
        pytest.param([(b"transfer-encoding", b"chunked")], True, id="chunked"),
        pytest.param([(b"content-type", b"text/plain")], False, id="a type alone"),
    ],
)
def test_content_is_announced_by_two_fields(
    headers: list[tuple[bytes, bytes]], announced: bool
) -> None:
    assert has_content(headers) is announced


# -- invariants ------------------------------------------------------------------------------

names = st.text(st.characters(exclude_characters="/"), min_size=1, max_size=8).filter(
    lambda name: name.isprintable() and name not in {".", ".."} and "\\" not in name
)


@given(st.lists(names, max_size=3), st.lists(names, min_size=1, max_size=3))
def test_any_mount_of_names_is_cut_off(mount: list[str], rest: list[str]) -> None:
    root = "".join("/" + name for name in mount)
    path = root + "".join("/" + name for name in rest)
    request = read_request(scope(path, quote(path).encode(), root))
    assert unquote(request.mount.decode()) == root
    assert request.mount + request.target == quote(path).encode()
    parsed = parse_target(request.target, Settings(dotfiles=True))
    assert parsed == TargetPath(tuple(rest), directory=False)


any_path = st.text(max_size=12).map(lambda text: "/" + text)


@given(any_path, st.none() | st.binary(max_size=12), st.none() | any_path)
@example("/\ud800", None, None)
@example("/\udcff", None, None)
@example("/a", b"/\xff", "/")
def test_no_scope_raises(path: str, raw: bytes | None, root: str | None) -> None:
    request = read_request(scope(path, raw, root))
    admit(request, Settings())
