"""The promised cost of this project, relative to others in the same round."""

from __future__ import annotations

from dataclasses import dataclass

# The name of a figure, where it is not the first one.
FIGURES = {"cpu_us": "", "p99_us": ", p99"}


@dataclass(frozen=True)
class Promise:
    """One figure of a contender, divided by the reference's, is at most `bar`."""

    contender: str
    reference: str
    work: str
    bar: float
    figure: str = "cpu_us"


SERVE, APP = "asyncstatic-serve", "asyncstatic-hypercorn"
APP_UVLOOP, QUART_APP = "asyncstatic-hypercorn-uvloop", "asyncstatic-quart"
SERVE_APP = "asyncstatic-serve-app"
SITES = tuple(f"asyncstatic-{site}" for site in ("spa", "docs", "media", "wasm"))
NGINX, CACHE, QUART = "nginx", "nginx-cache", "quart"

PROMISES = (
    Promise(SERVE, NGINX, "200+new", 1.2),
    Promise(SERVE, NGINX, "200+new+query", 1.4),
    Promise(SERVE, NGINX, "tags+new", 1.3),
    Promise(SERVE, NGINX, "misses+new", 2.0),
    Promise(SERVE, NGINX, "200+browser+paced", 1.0),
    Promise(SERVE, NGINX, "first+browser", 4.0),
    Promise(SERVE, NGINX, "second+browser", 1.5),
    Promise(SERVE, NGINX, "1k+browser", 0.75),
    Promise(SERVE, CACHE, "1k+browser", 1.0),
    Promise(SERVE, NGINX, "304", 0.65),
    Promise(SERVE, CACHE, "304", 1.0),
    Promise(SERVE, NGINX, "precompressed", 0.65),
    Promise(SERVE, CACHE, "precompressed", 1.0),
    Promise(SERVE, NGINX, "304+browser", 0.65),
    Promise(SERVE, CACHE, "304+browser", 1.0),
    Promise(SERVE, NGINX, "precompressed+browser", 0.65),
    Promise(SERVE, CACHE, "precompressed+browser", 1.0),
    Promise(SERVE, NGINX, "64k+browser", 1.0),
    Promise(SERVE, NGINX, "10m", 1.0),
    Promise(SERVE, NGINX, "100m", 1.0),
    Promise(SERVE, NGINX, "files", 1.0),
    Promise(SERVE, NGINX, "1k+browser", 1.0, "p99_us"),
    *(
        Promise(contender, NGINX, work, bar)
        for contender in SITES
        for work, bar in (("200+new", 1.2), ("200+new+query", 1.4), ("tags+new", 1.3))
    ),
    *(
        Promise(contender, SERVE, work, 1.1)
        for contender in (SERVE_APP, APP, APP_UVLOOP, QUART_APP)
        for work in ("200+new", "1k+browser", "64k+browser", "10m")
    ),
    Promise(APP, QUART, "1k", 0.3),
    Promise(APP, QUART, "64k", 0.2),
    Promise(APP, QUART, "10m", 0.05),
    Promise(APP, QUART, "100m", 0.05),
)
