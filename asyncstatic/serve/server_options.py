"""The options of a server that Hypercorn's configuration does not have."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypedDict

from asyncstatic.http.addresses import Networks


class ServeOptions(TypedDict, total=False):
    """Keyword arguments of `serve_app`, which become `ServerOptions`."""

    direct: bool
    limit_concurrency: int | None
    redirect_https: bool
    trusted_proxies: str | Iterable[str]
    proxy_protocol: bool
    ssl_context: ssl.SSLContext | None
    health: str | None
    drain_seconds: float
    metrics: Exposition | None


@dataclass(frozen=True)
class Exposition:
    """The place of the metrics of a service, for all its workers; they need prometheus-client.

    Attributes:
        directory: belongs to the service alone; its workers share it.
        path: the path that shows the metrics, in front of the app; None for none.
        sockets: bound sockets of an address that shows them at ``/metrics`` and nothing else.
    """

    directory: str
    path: str | None = None
    sockets: tuple[socket.socket, ...] = ()


@dataclass(frozen=True)
class ServerOptions:
    """How an app is served, beside Hypercorn's `Config`.

    Raises:
        ValueError: an entry of `trusted_proxies` is no network, or `proxy_protocol` has none.

    Attributes:
        direct: False hands every connection to Hypercorn at once.
        limit_concurrency: the most connections at the same time; one more is answered 503. None:
            no limit.
        redirect_https: answer requests without TLS by a redirect to the first TLS socket.
        trusted_proxies: networks of proxies that are believed about a client: ``10.0.0.0/8``, an
            address, ``unix`` for all peers on Unix sockets. ``*`` believes everybody: only where no
            client can reach the server itself.
        proxy_protocol: every connection begins with a header of the PROXY protocol, and comes from
            a trusted proxy; others are closed.
        ssl_context: for TLS, instead of the certificate of the config; then `config.bind` is for
            HTTPS. It is used as it is: HTTP/2 needs ``set_alpn_protocols(["h2", "http/1.1"])``.
            Without it the certificate of the config is read again when its files change.
        health: a path, such as "/healthz", that is answered 200 while every root can be opened, and
            503 otherwise and while the server drains. It comes before a file of the same name.
        drain_seconds: seconds between the begin of a shutdown and the end of listening. Requests
            are still answered, each as the last one of its connection.
        metrics: where requests are counted, and the place that shows the counts; None for none.
    """

    direct: bool = True
    limit_concurrency: int | None = None
    redirect_https: bool = False
    trusted_proxies: str | Iterable[str] = ()
    proxy_protocol: bool = False
    ssl_context: ssl.SSLContext | None = None
    health: str | None = None
    drain_seconds: float = 0.0
    metrics: Exposition | None = None

    def __post_init__(self) -> None:
        if self.trusted is None and self.proxy_protocol:
            raise ValueError(
                "proxy_protocol needs trusted_proxies: name the networks of the balancers"
            )

    @cached_property
    def trusted(self) -> Networks | None:
        """The networks of `trusted_proxies`; None without any."""
        return Networks(self.trusted_proxies) if self.trusted_proxies else None
