"""The operator's view of one server: its health and its metrics, in front of its app."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from asyncstatic.serve.direct.entry import DirectEntry
from asyncstatic.serve.direct.mounts import Mount
from asyncstatic.serve.health import Health
from asyncstatic.serve.own_paths import OwnPaths, View
from asyncstatic.serve.server_options import Exposition

if TYPE_CHECKING:
    from asyncstatic.serve.metrics import Metrics

_METRICS_PATH = b"/metrics"  # on an address of its own


class Operations:
    """Health and metrics of a server, as `ServerOptions` names them.

    Args:
        health: the path that tells the health; None for none.
        exposition: the place of the metrics; None for no metrics.

    Attributes:
        own_paths: raw paths that are answered in front of the app.
        metrics: count the requests; None for none.
        metrics_app: shows the metrics and nothing else, at `metrics_sockets`.
        metrics_sockets: bound sockets.
    """

    def __init__(self, health: str | None, exposition: Exposition | None) -> None:
        self._health = Health()
        self._views: dict[bytes, View] = {}
        self._entry: DirectEntry | None = None
        self.metrics: Metrics | None = None
        self.metrics_app: OwnPaths | None = None
        self.metrics_sockets: Sequence[socket.socket] = ()
        if health is not None:
            self._views[health.encode()] = self._health.page
        if exposition is not None:
            self.metrics = open_metrics(exposition)
            if exposition.path is not None:
                self._views[exposition.path.encode()] = self.metrics.page
            self.metrics_app = OwnPaths(None, {_METRICS_PATH: self.metrics.page})
            self.metrics_sockets = exposition.sockets
        self.own_paths = frozenset(self._views)

    def in_front_of(self, app: Any) -> Any:
        """Return an app that answers the operator's paths, and all others by the app behind it."""
        if self.metrics is not None:
            return OwnPaths(app, self._views, self.metrics.count_saved)
        return OwnPaths(app, self._views) if self._views else app

    def watch(self, mounts: list[Mount], entry: DirectEntry) -> None:
        """Watch the roots and connections of the server, which has started."""
        self._entry = entry
        self._health.roots = tuple(dict.fromkeys(mount.static for mount in mounts))
        if self.metrics is not None:
            self.metrics.watch(self._health.roots, entry.registry)

    def drain(self) -> None:
        """Answer 503 from now on, because the server is about to end."""
        self._health.draining = True

    def stop(self) -> None:
        """Watch the server no more, because it has ended."""
        if self.metrics is not None and self._entry is not None:
            self.metrics.leave(self._entry.registry)


def open_metrics(exposition: Exposition) -> Metrics:
    """Open the files of this process's metrics, which all its servers share."""
    from asyncstatic.serve.metrics import metrics_of

    return metrics_of(exposition.directory)
