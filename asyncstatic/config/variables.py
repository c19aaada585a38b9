"""Names of ``ASYNCSTATIC_*`` variables: options of the server, paths, and those that are not ours."""

from __future__ import annotations

import re
from typing import Any

PREFIX = "ASYNCSTATIC_"
#: Names after `PREFIX` of the variables that set options of ``asyncstatic serve``.
OTHER_VARIABLES = frozenset({
    "ACCESS_LOGFILE", "BIND", "CERTFILE", "CONFIG", "DIRECT", "DRAIN_SECONDS", "GRACEFUL_TIMEOUT",
    "HEALTH", "KEEP_ALIVE", "KEYFILE", "LIMIT_CONCURRENCY", "LOG_FORMAT", "MAX_REQUESTS", "METRICS",
    "OPEN", "PID", "PROXY_PROTOCOL", "REDIRECT_HTTPS", "RELOAD", "SANDBOX", "SOCKET_MODE",
    "TLS_BIND", "TRUSTED_PROXIES", "UVLOOP", "WORKERS",
})  # fmt: skip
#: Those of them that an app honours under every server.
OF_APPS = frozenset({"CONFIG", "DIRECT"})
#: Settings and options that are paths: relative ones in a configuration file belong to its directory.
PATHS = frozenset({
    "root", "more_roots", "users", "listing_template", "access_logfile", "certfile", "keyfile", "pid",
})  # fmt: skip

# Variables that Kubernetes sets in every pod beside a Service named asyncstatic or asyncstatic-*,
# and Docker beside a linked container of such a name.
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_VARIABLE = re.compile(
    r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_\w+)?)"
    r"|(?:\w+_)?ENV_\w+|(?:\w+_)?NAME"
)


def is_of_service(name: str, value: Any) -> bool:
    """Tell whether Kubernetes or Docker, and not a user, has set a variable.

    Args:
        name: the variable, without the prefix of the package.
        value: its value.
    """
    if _SERVICE_VARIABLE.fullmatch(name):
        return True
    # ASYNCSTATIC_PORT=tcp://10.0.0.1:8000; a user would write a number.
    return name.split("_")[-1] == "PORT" and "://" in str(value)
