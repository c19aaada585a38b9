"""The options of ``asyncstatic serve`` that belong to no root: sockets, workers, TLS, logs, times."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from importlib.util import find_spec

from hypercorn.config import Config

from asyncstatic.files.source import logger
from asyncstatic.http.addresses import Networks
from asyncstatic.serve.certificate import Pair
from asyncstatic.serve.process.bind import BACKLOG
from asyncstatic.serve.process.shared_metrics import check_own_paths
from asyncstatic.serve.server_options import Exposition, ServerOptions
from asyncstatic.serve.tls import Certificates, certificates
from asyncstatic.settings import SettingsError
from asyncstatic.settings.values import MissingPackageError


@dataclass(frozen=True)
class Options:
    """The options of the command that do not belong to a root. Times are in seconds."""

    bind: tuple[str, ...] = ("127.0.0.1:8000",)
    tls_bind: tuple[str, ...] = ()
    redirect_https: bool = False
    socket_mode: int | None = None
    workers: int = 1
    direct: bool = True
    uvloop: bool | None = None
    limit_concurrency: int | None = None
    access_logfile: str | None = None
    log_format: str = "combined"
    certfile: tuple[str, ...] = ()
    keyfile: tuple[str, ...] = ()
    keep_alive: float = 75.0
    graceful_timeout: float = 30.0
    trusted_proxies: str = ""
    proxy_protocol: bool = False
    drain_seconds: float = 0.0
    max_requests: int | None = None
    health: str | None = None
    metrics: str | None = None
    sandbox: bool = False
    reload: bool = False
    pid: str | None = None

    @property
    def plain(self) -> tuple[str, ...]:
        """Addresses without TLS; with a certificate and without ``--tls-bind`` there is none."""
        return () if self.certfile and not self.tls_bind else self.bind

    @property
    def secure(self) -> tuple[str, ...]:
        """Addresses with TLS."""
        return self.tls_bind if self.tls_bind or not self.certfile else self.bind

    def config(self) -> Config:
        """Return the same options as a configuration of Hypercorn."""
        config = Config()
        config.bind = list(self.bind)
        config.workers = self.workers
        config.accesslog = self.access_logfile
        config.access_log_format = self.log_format
        config.errorlog = "-"
        config.loglevel = "INFO" if self.access_logfile else "WARNING"
        if pairs := self.pairs():
            config.certfile, config.keyfile = pairs[0]
        config.keyfile_password = ""  # else OpenSSL asks the terminal for it
        config.keep_alive_timeout = self.keep_alive
        config.graceful_timeout = self.graceful_timeout
        config.max_requests = self.max_requests
        config.backlog = BACKLOG
        config.include_server_header = False
        return config

    def pairs(self) -> list[Pair]:
        """Return the files of the certificates; a key may be in the file of its chain."""
        keys = self.keyfile or self.certfile
        return [Pair(chain, key) for chain, key in zip(self.certfile, keys, strict=True)]

    def certificates(self) -> Certificates | None:
        """Return the certificates as they are now; None without TLS.

        Raises:
            SettingsError: one cannot be used.
        """
        return certificates(self.config(), self.pairs())

    def server_options(self, exposition: Exposition | None) -> ServerOptions:
        """Return those that Hypercorn's configuration does not have."""
        return ServerOptions(
            direct=self.direct,
            limit_concurrency=self.limit_concurrency,
            redirect_https=self.redirect_https,
            trusted_proxies=self.trusted_proxies,
            proxy_protocol=self.proxy_protocol,
            health=self.health,
            drain_seconds=self.drain_seconds,
            metrics=exposition,
        )

    def check(self) -> None:
        """Find, before workers start, a problem that would end each of them.

        One line is logged for each certificate that clients refuse, or will soon.

        Raises:
            SettingsError: options contradict each other, a package is missing, or a file cannot be
                used.
        """
        _check_together(self)
        _check_proxies(self)
        check_own_paths(self.health, self.metrics)
        found = self.certificates()
        _check_log(self.access_logfile)
        for warning in found.warnings() if found else ():
            logger.warning(warning)


def _check_together(options: Options) -> None:
    if options.reload and options.workers > 1:
        raise SettingsError("--reload is for development: leave --workers out")
    if options.reload and find_spec("watchfiles") is None:
        raise MissingPackageError("--reload", "watchfiles", "reload")
    every = (*options.bind, *options.tls_bind)
    if twice := [bind for bind in every if bind.startswith("fd://") and every.count(bind) > 1]:
        raise SettingsError(f"{twice[0]} is named twice; leave one of them out")
    if options.socket_mode is not None and not any(map(_is_unix, every)):
        raise SettingsError("--socket-mode is for a Unix socket: say --bind unix:PATH as well")
    if options.keyfile and len(options.certfile) != len(options.keyfile):
        raise SettingsError(
            "name one --keyfile for each --certfile, in the same order; none if each key is in the "
            "file of its certificate"
        )
    if options.tls_bind and not options.certfile:
        first = options.tls_bind[0]  # systemd may have named a socket "https"
        named = f"{first}, for HTTPS," if first.startswith("fd://") else "--tls-bind"
        raise SettingsError(f"{named} needs a certificate: say --certfile and --keyfile as well")
    if options.redirect_https and not (options.plain and options.secure):
        raise SettingsError(
            "--redirect-https needs an address without TLS and one with it: "
            "say --bind :80 --tls-bind :443, and --certfile and --keyfile"
        )


def _check_proxies(options: Options) -> None:
    try:
        Networks(options.trusted_proxies)
    except ValueError as error:
        raise SettingsError(f"--trusted-proxies: {error}") from None
    if options.proxy_protocol and not options.trusted_proxies:
        raise SettingsError(
            "--proxy-protocol needs --trusted-proxies: name the networks of your balancers"
        )


def _is_unix(bind: str) -> bool:
    return bind.startswith("unix:")


def _check_log(path: str | None) -> None:
    """Try to open the access log; not a FIFO, which would wait for its reader."""
    if path in (None, "-") or (os.path.exists(path) and stat.S_ISFIFO(os.stat(path).st_mode)):
        return
    try:
        with open(path, "ab"):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"--access-logfile {path}: {reason}; name a file that can be written"
        ) from None
