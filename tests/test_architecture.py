"""The rooms: who may import whom, how large things may be, and what importing costs."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import asyncstatic

PACKAGE = Path(asyncstatic.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = {
    path: ".".join(("asyncstatic", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in MODULES
}
TREES = {path: ast.parse(path.read_text("utf-8")) for path in MODULES}

#: What the decision core may use of the standard library: nothing that acts, waits or differs.
PURE = {
    *("__future__", "base64", "binascii", "bisect", "collections", "dataclasses", "datetime"),
    *("enum", "fnmatch", "functools", "hashlib", "html", "http", "itertools", "json", "re", "sys"),
    *("ipaddress", "types", "typing", "unicodedata", "urllib"),
}
#: What it must not: listed all the same, so that nobody widens `PURE` without noticing.
IMPURE = {
    *("asyncio", "io", "os", "pathlib", "random", "secrets", "select", "shutil", "signal"),
    *("socket", "subprocess", "tempfile", "threading", "time", "aiofiles", "jinja2", "quart"),
}
#: Room -> what of the package it may import. Down or to the left, never back.
MAY_IMPORT = {
    "http": ("asyncstatic.http", "asyncstatic.settings"),
    # `Settings.from_environment` alone needs the room above it.
    "settings": ("asyncstatic.settings", "asyncstatic.http", "asyncstatic.config.environment"),
    "config": ("asyncstatic.config", "asyncstatic.settings", "asyncstatic.http"),
    "files": ("asyncstatic.files", "asyncstatic.http.model", "asyncstatic.settings"),
    "serve": (
        *("asyncstatic.serve", "asyncstatic.http", "asyncstatic.files"),
        *("asyncstatic.settings", "asyncstatic.config.environment", "asyncstatic.config.variables"),
    ),
}
LONGEST_MODULE = 400
LONGEST_FUNCTION = 40  # without its docstring
DATA = {"asyncstatic.http.media_types"}  # a generated table

rooms = pytest.mark.parametrize("room", MAY_IMPORT)
modules = pytest.mark.parametrize("path", MODULES, ids=NAMES.get)


def in_room(room: str) -> list[Path]:
    found = [path for path in MODULES if path.relative_to(PACKAGE).parts[0] == room]
    assert found, f"there is no room {room}"
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module a tree imports, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def below(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def own_imports(path: Path) -> set[str]:
    """Modules of this package that a module imports; `from package import name` counts once."""
    known = {name.removesuffix(".__init__") for name in NAMES.values()}
    return {name for name in imported(TREES[path]) if name in known and name != "asyncstatic.http"}


# -- imports ---------------------------------------------------------------------------------


@rooms
def test_a_room_imports_only_what_the_table_allows(room: str) -> None:
    for path in in_room(room):
        strangers = {name for name in own_imports(path) if not below(name, MAY_IMPORT[room])}
        assert not strangers, f"{NAMES[path]} imports {strangers}"


def test_the_decision_core_is_pure() -> None:
    for path in in_room("http"):
        roots = {name.partition(".")[0] for name in imported(TREES[path])} - {"asyncstatic"}
        assert roots <= PURE, f"{NAMES[path]} imports {roots - PURE}"
    assert not PURE & IMPURE


@pytest.mark.parametrize(
    "name", ["now", "today", "utcnow", "open", "print", "input", "eval", "exec"]
)
def test_the_decision_core_reads_no_clock_and_no_file(name: str) -> None:
    """What can be reached without an import: datetime.now(), open()."""
    for path in in_room("http"):
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", None))
                assert called != name, f"{NAMES[path]}:{node.lineno} calls {name}()"


def test_the_disk_knows_no_decision() -> None:
    """files/ and http/ meet in serve/, through the values of http/model.py."""
    for path in in_room("files"):
        assert {name for name in own_imports(path) if below(name, ("asyncstatic.http",))} <= {
            "asyncstatic.http.model"
        }


def test_only_the_application_knows_quart() -> None:
    for path in (*in_room("http"), *in_room("files")):
        roots = {name.partition(".")[0] for name in imported(TREES[path])}
        assert not roots & {"quart", "hypercorn", "uvicorn", "starlette"}, NAMES[path]


def test_every_system_call_is_in_one_place() -> None:
    """A test that replaces an attribute of kernel.py must reach every caller."""
    calls = {
        "open",
        "pread",
        "preadv",
        "read",
        "fstat",
        "stat",
        "lstat",
        "sendfile",
        "scandir",
        "close",
    }
    for path in in_room("files"):
        if NAMES[path] == "asyncstatic.files.kernel":
            continue
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = node.value.id == "os" and node.attr in calls
                assert not called, f"{NAMES[path]}:{node.lineno} calls os.{node.attr}"


# -- what importing costs --------------------------------------------------------------------

LIGHT = """
import sys
import asyncstatic
assert "app" in vars(asyncstatic), "servers look for it there"
print(*sorted(sys.modules))
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Modules that are there after ``import asyncstatic`` in a new process."""
    output = subprocess.run(
        [sys.executable, "-c", LIGHT], check=True, capture_output=True, text=True, timeout=60
    )
    return set(output.stdout.split())


@pytest.mark.parametrize(
    "name",
    [
        *("quart", "hypercorn", "werkzeug", "jinja2", "click", "aiofiles", "httptools", "uvloop"),
        *("asyncio", "concurrent.futures", "ssl", "hashlib", "ctypes"),
        *("asyncstatic.serve", "asyncstatic.files", "asyncstatic.http"),
    ],
)
def test_importing_the_package_is_light(name: str, loaded: set[str]) -> None:
    assert name not in loaded


def test_importing_the_package_is_measured_at_all(loaded: set[str]) -> None:
    assert {"asyncstatic", "asyncstatic.application"} <= loaded


MOUNT = """
import sys
from asyncstatic import Settings, StaticFiles, StaticMiddleware
app = StaticMiddleware(StaticFiles(sys.argv[1]), {"/static": sys.argv[1]})
print(*sorted(sys.modules))
"""
#: What a mounted root needs besides the standard library; docs/frameworks.md says the same.
NEEDED_BY_A_MOUNT = {"aiofiles", "brotli", "zstandard"}


@pytest.fixture(scope="module")
def loaded_by_a_mount(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Top-level modules that are there once a new process has made a root and a middleware."""
    arguments = [sys.executable, "-c", MOUNT, str(tmp_path_factory.mktemp("site"))]
    output = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=60)
    return {name.partition(".")[0] for name in output.stdout.split()}


@pytest.mark.parametrize(
    "name",
    [
        *("quart", "flask", "werkzeug", "jinja2", "markupsafe", "click", "itsdangerous"),
        *("hypercorn", "h11", "h2", "uvloop", "uvicorn", "starlette", "watchfiles"),
    ],
)
def test_a_mounted_root_loads_no_framework_and_no_server(
    name: str, loaded_by_a_mount: set[str]
) -> None:
    assert name not in loaded_by_a_mount


def test_a_mounted_root_loads_what_the_documentation_says(loaded_by_a_mount: set[str]) -> None:
    assert loaded_by_a_mount >= NEEDED_BY_A_MOUNT
    if DOCUMENTED.exists():
        assert f"pip install {' '.join(sorted(NEEDED_BY_A_MOUNT))}" in DOCUMENTED.read_text()


# -- what is declared ------------------------------------------------------------------------

PROJECT = PACKAGE.parent / "pyproject.toml"
DOCUMENTED = PACKAGE.parent / "docs" / "frameworks.md"
#: Imported only where a host, who has it, calls us.
BROUGHT_BY_THE_HOST = {"starlette", "uvicorn"}


def declared(extra: str | None = None) -> set[str]:
    """Names that pyproject.toml requires, as modules are called."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    listed = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return {re.split(r"[^\w-]", line)[0].lower().replace("-", "_") for line in listed}


@pytest.mark.skipif(not PROJECT.exists(), reason="tested without the source tree")
def test_every_package_that_is_imported_is_declared_and_no_other() -> None:
    roots = {name.partition(".")[0] for tree in TREES.values() for name in imported(tree)}
    foreign = roots - sys.stdlib_module_names - {"asyncstatic", "_multiprocessing", "msvcrt"}
    optional = {"argon2", "bcrypt", "throttled"}  # the modules of the extras auth and rate
    optional |= declared("sign") | declared("reload") | declared("metrics") | BROUGHT_BY_THE_HOST
    optional |= declared("listing") | {"markdown_it"}  # of markdown-it-py
    assert foreign - optional == declared()


@pytest.mark.skipif(not PROJECT.exists(), reason="tested without the source tree")
@pytest.mark.parametrize("name", ["hypercorn", "quart"])
def test_a_package_whose_private_parts_are_used_has_an_upper_bound(name: str) -> None:
    lines = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["dependencies"]
    (line,) = (line for line in lines if line.startswith(name))
    assert ",<" in line


# -- public names ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", asyncstatic.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(asyncstatic, name) is not None
    assert name in dir(asyncstatic)


def test_the_public_names_are_sorted_and_complete() -> None:
    offered = set(asyncstatic._HOME) | {"app"}
    assert set(asyncstatic.__all__) == offered
    assert len(asyncstatic.__all__) == len(offered)


@pytest.mark.parametrize("name", asyncstatic._HOME)
def test_every_public_name_is_at_home_where_the_package_says(name: str) -> None:
    home = importlib.import_module(asyncstatic._HOME[name])
    assert getattr(home, name) is getattr(asyncstatic, name)


def test_type_checkers_see_the_same_names() -> None:
    (guarded,) = (
        node
        for node in TREES[PACKAGE / "__init__.py"].body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    )
    seen = {
        alias.asname or alias.name
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == set(asyncstatic._HOME)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="frobnicate"):
        asyncstatic.frobnicate  # noqa: B018  # the access is the test


# -- size and words --------------------------------------------------------------------------


@modules
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(TREES[path]), NAMES[path]


@pytest.mark.parametrize("room", ["cli", "config", "files", "http", "settings"])
def test_a_room_has_a_map_of_its_modules(room: str) -> None:
    chart = ast.get_docstring(TREES[PACKAGE / room / "__init__.py"]) or ""
    names = {path.stem for path in in_room(room) if path.parent.name == room} - {"__init__"}
    assert names <= set(re.findall(r"\w+", chart))


@modules
def test_no_module_is_too_long_to_read(path: Path) -> None:
    if NAMES[path] not in DATA:
        assert len(path.read_text("utf-8").splitlines()) <= LONGEST_MODULE


@modules
def test_no_function_is_too_long_to_see(path: Path) -> None:
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert _lines(node) <= LONGEST_FUNCTION, f"{NAMES[path]}.{node.name}: {_lines(node)}"


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end; the docstring is for reading and does not count."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    signature = function.body[0].lineno - function.lineno
    assert function.end_lineno is not None
    return signature + function.end_lineno - body[0].lineno + 1


@modules
def test_nothing_is_left_undone(path: Path) -> None:
    comments = [line.partition("#")[2] for line in path.read_text("utf-8").splitlines()]
    assert not [comment for comment in comments if "TODO" in comment or "FIXME" in comment]
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Raise):
            assert "NotImplementedError" not in ast.unparse(node), f"{NAMES[path]}:{node.lineno}"
