"""Names of ``ASYNCSTATIC_*`` variables that set no field of `Settings`, and of paths."""

from __future__ import annotations

PREFIX = "ASYNCSTATIC_"
#: Names after `PREFIX` of the variables that set options of ``asyncstatic serve``.
OTHER_VARIABLES = frozenset(
    [
        "ACCESS_LOGFILE",
        "BIND",
        "CERTFILE",
        "CONFIG",
        "DIRECT",
        "DRAIN_SECONDS",
        "GRACEFUL_TIMEOUT",
        "HEALTH",
        "KEEP_ALIVE",
        "KEYFILE",
        "LIMIT_CONCURRENCY",
        "LOG_FORMAT",
        "MAX_REQUESTS",
        "METRICS",
        "OPEN",
        "REDIRECT_HTTPS",
        "PROXY_PROTOCOL",
        "PID",
        "RELOAD",
        "SANDBOX",
        "SOCKET_MODE",
        "TLS_BIND",
        "TRUSTED_PROXIES",
        "UVLOOP",
        "WORKERS",
    ]
)
#: Those of them that an app honours under every server.
OF_APPS = frozenset(["CONFIG", "DIRECT"])
#: Settings and options that are paths: relative ones in a configuration file belong to its directory.
PATHS = frozenset(
    ["root", "more_roots", "access_logfile", "certfile", "keyfile", "listing_template", "pid", "users"]
)
