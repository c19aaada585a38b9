"""The paths of the operator, and the directory of the metrics that all workers share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from shutil import rmtree
from tempfile import mkdtemp

from asyncstatic.serve.process.bind import checked_bind, listening
from asyncstatic.serve.server_options import Exposition
from asyncstatic.settings import SettingsError
from asyncstatic.settings.values import MissingPackageError, printable

# In these characters a path has one spelling (RFC 3986 §2.3).
_OWN_PATH = re.compile(r"/[A-Za-z0-9._~/-]+")


def check_own_paths(health: str | None, metrics: str | None) -> None:
    """Check the values of ``--health`` and ``--metrics``.

    Raises:
        SettingsError: a value has a wrong form, both are equal, or a package is missing.
    """
    if health is not None:
        _check_path("--health", health)
    if metrics is None:
        return
    if metrics.startswith("/"):
        _check_path("--metrics", metrics)
    else:
        checked_bind(metrics, "--metrics")
    if metrics == health:
        raise SettingsError(f"--health and --metrics are both {health}: name two paths")
    if find_spec("prometheus_client") is None:
        raise MissingPackageError("--metrics", "prometheus-client", "metrics")
    if find_spec("fcntl") is None:
        raise SettingsError("--metrics needs a POSIX system: leave it out")


def _check_path(option: str, path: str) -> None:
    if not _OWN_PATH.fullmatch(path):
        raise SettingsError(
            f"{option} {printable(path)}: say a path of letters, digits, - . _ ~ and slashes, such "
            f"as /{option.removeprefix('--')}"
        )


@contextmanager
def shared_metrics(where: str | None) -> Iterator[Exposition | None]:
    """Make a directory for the metrics of the workers, and remove it at the end.

    Args:
        where: a path, or an address to listen on; None for no metrics.

    Raises:
        OSError: the server cannot listen on the address.
        SettingsError: no directory can be made.
    """
    if where is None:
        yield None
        return
    with ExitStack() as stack:
        directory = _directory()
        # In a sandbox nothing can be removed.
        stack.callback(rmtree, directory, ignore_errors=True)
        if where.startswith("/"):
            yield Exposition(directory, where)
            return
        there = stack.enter_context(listening((checked_bind(where),), option="--metrics"))
        yield Exposition(directory, None, tuple(there.sockets.insecure_sockets))


def _directory() -> str:
    try:
        return mkdtemp(prefix="asyncstatic-")
    except OSError as error:
        raise SettingsError(
            f"--metrics needs a directory for temporary files ({error.strerror}); set TMPDIR to one "
            "that can be written, such as /dev/shm"
        ) from None
