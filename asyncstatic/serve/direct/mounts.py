"""Mounts: which static root answers for which path of an app."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from asyncstatic.http.model import ResponsePlan
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.middleware import PASSED_ON


@dataclass(frozen=True, slots=True)
class Mount:
    """A static root and the path it answers for.

    Attributes:
        prefix: decoded, such as "/static"; "" for all paths.
        static: the root.
        passes_on: tells whether an app behind the root gets what the root does not have.
    """

    prefix: str
    static: StaticFiles
    passes_on: Callable[[], bool]

    def answers(self, plan: ResponsePlan) -> bool:
        """Tell whether the direct entry sends a plan.

        It leaves to the app what the app may have, and to the full server a content whose length
        is not known.
        """
        return plan.length is not None and not (plan.status in PASSED_ON and self.passes_on())


def find_mounts(app: Any) -> Iterator[Mount]:
    """Find the static roots in front of an app, as far as our own wrappers are around it."""
    from asyncstatic.serve.middleware import StaticMiddleware

    if isinstance(app, StaticFiles):
        yield Mount("", app, lambda: False)
    elif callable(built := getattr(app, "built", None)):  # `asyncstatic.app`: built when needed
        yield from find_mounts(built())
    elif isinstance(app, StaticMiddleware):
        yield Mount(app.prefix, app.static, app.passes_on)
        yield from find_mounts(app.app)
    elif isinstance(getattr(app, "asgi_app", None), StaticMiddleware):
        yield from find_mounts(app.asgi_app)
