"""The listing in Chromium: order, filter, previews, keys alone, no script, and what axe-core says of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.test_browser import png
from tests.support.browser import Browser, browser
from tests.support.programs import require
from tests.support.servers import Server, serving

EVIL = "'\"><img src=x onerror=alert(1)><script>alert(1)</script>.txt".replace("/", "\u2215")
AGES = ["notes 10.txt", "notes 9.txt", EVIL, "picture.png", "large.bin", "sound.wav"]
README = "# Trip\n\n[the notes](./notes%209.txt) ![a picture](picture.png) ![far](https://example.com/x.png)\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("listed")
    (root / "deep er" / "deepest").mkdir(parents=True)
    (root / "deep er" / "deepest" / "end.txt").write_text("the end")
    for place, name in enumerate(AGES):
        content = png(30, 20) if name.endswith(".png") else f"text of {name}\n".encode()
        (root / name).write_bytes(content * (50 if name == "large.bin" else 1))
        os.utime(root / name, (1_700_000_000 - place,) * 2)
    (root / "README.md").write_text(README)
    os.utime(root / "README.md", (1_600_000_000,) * 2)
    with serving("serve", root, listing="1", listing_zip="1MiB") as server:
        yield server


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as window:
        window.emulate()
        yield window


@pytest.fixture
def page(window: Browser, server: Server) -> Iterator[Browser]:
    """The listing of the root, whose console stays empty."""
    window.console.clear()
    window.visit(server.url("/"))
    yield window
    assert window.console == []


def shown(page: Browser) -> list[str]:
    names: list[str] = page.evaluate(
        "[...document.querySelectorAll('#entries tbody tr:not([hidden]) td.name bdi')]"
        ".map(e => e.textContent)"
    )
    return names


def type_in(page: Browser, text: str) -> None:
    for character in text:
        page.press(character)


def path(page: Browser) -> str:
    here: str = page.evaluate("decodeURI(location.pathname) + location.search")
    return here


def focused(page: Browser) -> str:
    text: str = page.evaluate(
        "(document.activeElement.textContent || document.activeElement.id).trim()"
    )
    return text


def test_names_are_in_natural_order_and_none_is_markup(page: Browser) -> None:
    assert shown(page) == ["deep er", EVIL, "large.bin", "notes 9.txt", "notes 10.txt", "picture.png",
                           "README.md", "sound.wav"]  # fmt: skip
    assert page.evaluate("document.querySelectorAll('#entries img, #entries script').length") == 0


@pytest.mark.parametrize(
    ("column", "first"),
    [("size", "large.bin"), ("modified", "notes 10.txt")],
)
def test_a_click_on_a_column_head_sorts_and_a_second_one_turns_the_order(
    page: Browser, column: str, first: str
) -> None:
    for expected in ("descending", "ascending"):
        page._events.clear()
        page.click(f"th.{column} a")
        page.wait_for_load()
        state = page.evaluate(f"document.querySelector('th.{column}').getAttribute('aria-sort')")
        assert state == expected
        files = shown(page)[1:]
        assert files[0 if expected == "descending" else -1] == first


def test_the_filter_narrows_the_rows_while_one_types(page: Browser) -> None:
    page.press("/")
    type_in(page, "notes")
    assert shown(page) == ["notes 9.txt", "notes 10.txt"]
    assert page.evaluate("document.getElementById('count').textContent") == "2 of 8 shown"
    type_in(page, "x")
    assert shown(page) == []
    assert page.evaluate("getComputedStyle(document.getElementById('empty')).display") == "block"
    page.press("Escape")
    assert len(shown(page)) == 8


def test_enter_in_the_filter_asks_the_server(page: Browser) -> None:
    page.press("/")
    type_in(page, "9")
    page.follow("Enter")
    assert path(page) == "/?q=9"
    assert shown(page) == ["notes 9.txt"]


def test_a_click_shows_an_image_and_the_arrows_the_next_file(page: Browser) -> None:
    page.click("a[href='./picture.png']")
    page.until("document.querySelector('#stage img')?.naturalWidth === 30")
    page.press("ArrowLeft")
    page.until("document.querySelector('#stage pre')?.textContent === 'text of notes 10.txt\\n'")
    assert page.evaluate("document.getElementById('shown').textContent") == "notes 10.txt"
    page.press("Escape")
    page.until("document.activeElement.textContent.trim() === 'notes 10.txt'")
    assert not page.evaluate("document.getElementById('preview').open")


def test_a_file_that_cannot_be_shown_is_offered_for_download(page: Browser) -> None:
    page.click("a[href='./sound.wav']")
    page.until("document.querySelector('#stage p')?.textContent.startsWith('This file cannot')")
    assert page.evaluate("document.getElementById('save').pathname") == "/sound.wav"
    page.console.clear()  # Chromium may tell that it is no sound


def test_a_file_that_fails_late_does_not_take_the_place_of_the_next(page: Browser) -> None:
    page.evaluate(
        "void (window.fetch = () => new Promise((_, reject) => { window.fail = reject; }))"
    )
    page.click("a[href='./notes%2010.txt']")
    page.press("ArrowRight")
    page.until("document.querySelector('#stage img')?.naturalWidth === 30")
    page.evaluate("window.fail(new Error('late'))")
    assert page.evaluate("document.querySelector('#stage').firstChild.localName") == "img"


def test_a_name_full_of_markup_is_previewed_as_text(page: Browser) -> None:
    page.evaluate(
        "[...document.querySelectorAll('td.name a')].find(a => a.textContent.includes('<img')).click()"
    )
    page.until("document.querySelector('#stage pre')?.textContent.startsWith('text of')")
    assert page.evaluate("document.getElementById('shown').textContent") == EVIL


def test_a_keyboard_is_enough(page: Browser) -> None:
    """Into the deepest folder, a preview there, and back by the breadcrumbs."""
    page.press("ArrowDown")
    assert focused(page) == "deep er"
    page.follow("Enter")
    assert path(page) == "/deep er/"
    page.press("ArrowDown")
    page.press("ArrowDown")
    page.follow("Enter")
    assert path(page) == "/deep er/deepest/"
    page.press("ArrowDown")
    page.press("ArrowDown")
    page.press("Enter")
    page.until("document.querySelector('#stage pre')?.textContent === 'the end'")
    page.press("Escape")
    page.until("!document.getElementById('preview').open")
    page.press("ArrowUp")
    assert focused(page) == "Folder above"
    page.press("ArrowUp")
    assert focused(page) == "filter"
    page.visit(page.evaluate("location.href"))
    page.press("Tab")
    page.press("Tab")
    assert focused(page) == "deep er"  # of the breadcrumbs
    page.follow("Enter")
    assert path(page) == "/deep er/"


def test_the_arrows_scroll_the_page_where_there_is_no_name_to_move_to(page: Browser) -> None:
    page.evaluate(
        "addEventListener('keydown', e => { document.title = String(e.defaultPrevented); })"
    )
    last = "document.querySelector('#entries tbody tr:last-child a')"
    for element, prevented in ((last, "false"), ("document.querySelector('.prose a')", "false")):
        page.evaluate(f"{element}.focus()")
        page.press("ArrowDown")
        assert page.evaluate("document.title") == prevented
        assert page.evaluate(f"document.activeElement === {element}")
    page.press("ArrowUp")
    assert focused(page) == "the notes"
    page.evaluate(f"{last}.focus()")
    page.press("ArrowUp")
    assert page.evaluate("document.title") == "true"


def test_sorting_works_by_the_keyboard(page: Browser) -> None:
    page.evaluate("document.querySelector('th.size a').focus()")
    page.follow("Enter")
    assert path(page) == "/?sort=size&order=desc"


def test_the_readme_is_shown_and_loads_nothing_from_elsewhere(page: Browser) -> None:
    page.until(
        "[...document.querySelectorAll('.prose img')].every(i => i.complete && i.naturalWidth)"
    )
    assert page.evaluate("document.querySelector('.prose').innerText") == "Trip\n\nthe notes  far"


def test_the_page_works_without_script(tmp_path: Path, server: Server) -> None:
    with browser(tmp_path) as window:
        window._call("Emulation.setScriptExecutionDisabled", value=True)
        window.visit(server.url("/"))
        assert len(shown(window)) == 8
        window._events.clear()
        window.click("th.size a")
        window.wait_for_load()
        assert shown(window)[1] == "large.bin"
        window.click("#filter")
        type_in(window, "notes")
        window.follow("Enter")
        assert path(window) == "/?q=notes&sort=size&order=desc"
        assert shown(window) == ["notes 10.txt", "notes 9.txt"]
        window._events.clear()
        window.click("a[href='./notes%209.txt']")
        window.wait_for_load()
        assert path(window) == "/notes 9.txt"


def test_nothing_overflows_on_a_phone(page: Browser) -> None:
    page.emulate(width=360, height=740)
    try:
        page.visit(page.evaluate("location.href"))
        assert page.evaluate("document.documentElement.scrollWidth") == 360
    finally:
        page.emulate()


# -- accessibility ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, from npm."""
    npm, place = require("npm", apt="npm"), tmp_path_factory.mktemp("npm")
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(place), "axe-core@4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode:
        pytest.skip(f"axe-core cannot be installed: npm install axe-core: {done.stderr[-200:]}")
    return (place / "node_modules/axe-core/axe.min.js").read_text("utf-8")


@pytest.mark.parametrize("width", [1100, 360], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("target", ["/", "/deep%20er/", "/?q=nothing", "preview"])
def test_axe_finds_nothing_serious(
    window: Browser, server: Server, axe: str, target: str, dark: bool, width: int
) -> None:
    window.emulate(width=width, dark=dark)
    window.visit(server.url("/" if target == "preview" else target))
    if target == "preview":
        window.click("a[href='./notes%209.txt']")
        window.until("document.querySelector('#stage pre')?.textContent.length > 5")
    window.evaluate(f"{axe}; 0")
    found = window.evaluate("axe.run().then(r => JSON.stringify(r.violations))")
    window.emulate()
    assert [
        (v["id"], v["impact"], [n["html"] for n in v["nodes"]]) for v in json.loads(found)
    ] == []
