"""Who takes part in the bench: nobody is left out in silence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
if not PAGE.exists():
    pytest.skip("tested without the source tree", allow_module_level=True)

from bench import contenders, promises  # noqa: E402 - there only with the source tree

BASELINES = {"flask", "quart", "starlette", "aiohttp", "whitenoise", "servestatic", "http.server"}
SERVERS = {"nginx", "nginx-cache", "caddy", "lighttpd", "granian-mount"}
FLOORS = {"hello-hypercorn", "hello-uvicorn", "hello-granian", "protocol", "c-floor"}
OURS = {
    f"asyncstatic-{setup}"
    for setup in (
        *("serve", "serve-asyncio", "hypercorn", "hypercorn-uvloop", "quart"),
        *("uvicorn", "granian", "offload"),
    )
}


def test_those_it_is_fair_to_be_compared_with_take_part() -> None:
    assert contenders.BY_NAME.keys() >= BASELINES | SERVERS | FLOORS | OURS
    assert len(contenders.BY_NAME) == len(contenders.ALL)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        pytest.param("nginx", "apt install nginx-light", id="nginx"),
        pytest.param("caddy", "apt install caddy", id="Caddy"),
        pytest.param("lighttpd", "apt install lighttpd", id="lighttpd"),
        pytest.param("c-floor", "apt install gcc", id="a compiler"),
    ],
)
def test_a_missing_program_is_named_with_the_line_that_installs_it(
    name: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert contenders.BY_NAME[name].missing() == [line]


def test_a_missing_package_is_named_with_the_line_that_installs_it() -> None:
    nobody = contenders.package("a_package_nobody_has")
    contender = contenders.Contender(
        "name", "title", contenders.Family.PYTHON, lambda _: [], needs=(nobody, nobody)
    )
    assert contender.missing() == ["pip install '.[bench]'"]


def test_what_tls_needs_is_missed_only_where_tls_is_wanted() -> None:
    absent = contenders.file("/there/is/no/such/module.so", "some-package")
    contender = contenders.Contender(
        "name", "title", contenders.Family.SERVER, lambda _: [], tls_needs=(absent,)
    )
    assert contender.missing() == []
    assert contender.missing(tls=True) == ["apt install some-package"]


def test_the_page_says_how_to_install_them_all() -> None:
    told = re.findall(r"^\$ apt install (.*)$", PAGE.read_text(), re.MULTILINE)
    needs = [
        need for contender in contenders.ALL for need in (*contender.needs, *contender.tls_needs)
    ]
    packages = {
        need.install.removeprefix("apt install ") for need in needs if "apt" in need.install
    }
    assert packages <= set(told[0].split())


def test_every_promise_is_about_those_who_take_part() -> None:
    named = {name for it in promises.PROMISES for name in (it.contender, it.reference)}
    assert named <= contenders.BY_NAME.keys()
    assert {it.figure for it in promises.PROMISES} <= promises.FIGURES.keys()
