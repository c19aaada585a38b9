"""Which tests a plain ``pytest`` runs: one row and one column of each grid, and none that is slow.

``pytest --all``, or ``ASYNCSTATIC_TEST_ALL=1`` in the environment, runs every test. So does naming
a test by its id (``pytest tests/test_x.py::test_y``), and ``-m`` selects as it always does.

A run of the whole suite uses three processes (pytest-xdist); a file's tests stay in one of them, in
their order. ``-n 0`` uses one process.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest

_PROCESSES = 3  # on two cores: tests wait for clocks and servers as long as they compute
_SLOW_TESTS = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--all``."""
    parser.addoption("--all", action="store_true", help="run the slow tests too")


def pytest_configure(config: pytest.Config) -> None:
    """Describe the markers."""
    config.addinivalue_line("markers", "slow: a plain pytest leaves it out")
    config.addinivalue_line("markers", "example(name): the folder of examples/ that is served")
    config.addinivalue_line(
        "markers",
        "grid(**homes): slow, if two or more parameters differ from their homes. "
        "The home of a parameter is its first value, or the one that is named here.",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is slow in grids; leave out what is slow, unless all tests are wanted."""
    homes: dict[tuple[object, str], dict[str, Any]] = {}
    for item in items:
        grid, call = item.get_closest_marker("grid"), getattr(item, "callspec", None)
        if grid is not None and call is not None:
            name = getattr(item, "originalname", item.name)
            first = homes.setdefault((item.parent, name), call.params | grid.kwargs)
            if _differing(item, call.params, first) > 1:
                item.add_marker("slow")
    if _all_are_wanted(config):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.stash[_SLOW_TESTS] = len(slow)
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Take the tests themselves out of garbage collection: some tests collect hundreds of times."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Use several processes for the whole suite, if nothing else is said; xdist is asked after this."""
    options = config.option
    is_first = "PYTEST_XDIST_WORKER" not in os.environ
    is_free = getattr(options, "numprocesses", 0) is None and not options.usepdb
    if is_first and is_free and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        options.numprocesses, options.dist = _PROCESSES, "loadfile"


@pytest.hookimpl
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the first process how many tests were left out."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["slow"] = session.config.stash.get(_SLOW_TESTS, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take that number from a process that ends (pytest-xdist); each leaves out the same tests."""
    node.config.stash[_SLOW_TESTS] = getattr(node, "workeroutput", {}).get("slow", 0)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how to run the rest."""
    if slow := config.stash.get(_SLOW_TESTS, 0):
        terminalreporter.write_line(f"{slow} slow tests were left out; run them too: pytest --all")


def _all_are_wanted(config: pytest.Config) -> bool:
    return (
        config.getoption("--all")
        or os.environ.get("ASYNCSTATIC_TEST_ALL") == "1"
        or bool(config.option.markexpr)
        or any("::" in argument for argument in config.args)
    )


def _differing(item: pytest.Item, params: dict[str, Any], homes: dict[str, Any]) -> int:
    """Count the parameters that differ from their homes; those of one row are one."""
    away = {name for name, value in params.items() if value != homes[name]}
    rows = list(_names_of_rows(item))
    single = away.difference(*rows)
    return len(single) + sum(not names.isdisjoint(away) for names in rows)


def _names_of_rows(item: pytest.Item) -> Iterator[set[str]]:
    """Yield the parameters that one `parametrize` gives together: they are one parameter."""
    for marker in item.iter_markers("parametrize"):
        names = marker.args[0] if marker.args else marker.kwargs["argnames"]
        words = names.split(",") if isinstance(names, str) else names
        yield {word.strip() for word in words}
