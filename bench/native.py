"""The commands of the other servers: one worker, no access log, and no option that is not needed."""

from __future__ import annotations

import os
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from bench.site import COMPRESSED_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_HANDLES = 1 << 16
FLOOR_SOURCE = Path(__file__).parent / "apps" / "floor.c"


@dataclass(frozen=True)
class Certificate:
    """A throw-away certificate for loopback, as two PEM files."""

    chain: Path
    key: Path


@dataclass(frozen=True)
class Stage:
    """The directory that a contender serves, its port, and a folder for its own files."""

    root: Path
    port: int
    folder: Path
    workers: int = 1
    certificate: Certificate | None = None


Command = list[str]

NGINX = Template("""\
daemon off;
$user
worker_processes $workers;
pid $folder/nginx.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  access_log off;
  sendfile on;
  keepalive_requests 1000000;
  client_body_temp_path $folder/body;
  proxy_temp_path $folder/proxy;
  fastcgi_temp_path $folder/fastcgi;
  uwsgi_temp_path $folder/uwsgi;
  scgi_temp_path $folder/scgi;
  $extra
  server {
    listen 127.0.0.1:$port$listen;
    root $root;
    location = /$compressed { gzip_static on; }
  }
}
""")

# Each entry holds a descriptor, of which a process seldom may have more than 20,000; that a file
# has changed is seen after up to 60 seconds, nginx's default.
OPEN_FILE_CACHE = (
    "open_file_cache max=10000 inactive=60s; open_file_cache_valid 60s; "
    "open_file_cache_min_uses 1; open_file_cache_errors on;"
)


def nginx(extra: str = "", listen: str = "") -> Callable[[Stage], Command]:
    """Return nginx as it comes, with sendfile, `extra` directives, and options of `listen`."""
    # A master that is root hands its workers to nobody, who may not read a private directory.
    user = "user root;" if os.geteuid() == 0 else ""

    def command(stage: Stage) -> Command:
        options, directives = listen, extra
        if stage.certificate:
            options += " ssl http2"
            directives += f" ssl_certificate {stage.certificate.chain};"
            directives += f" ssl_certificate_key {stage.certificate.key};"
        config = _write(stage, "nginx.conf", NGINX, user=user, listen=options, extra=directives)
        return ["nginx", "-p", str(stage.folder), "-e", "stderr", "-c", str(config)]

    return command


CADDYFILE = Template("""\
{
  admin off
  auto_https off
  $servers
}
$scheme://:$port {
  bind 127.0.0.1
  $tls
  root * $root
  $routes
}
""")
CADDY_ROUTES = f"""\
handle /{COMPRESSED_NAME} {{
    file_server {{
      precompressed gzip
    }}
  }}
  handle {{
    file_server
  }}"""


def caddy(routes: str = CADDY_ROUTES, servers: str = "") -> Callable[[Stage], Command]:
    """Return Caddy's file server, with these routes and options of `servers`."""

    def command(stage: Stage) -> Command:
        scheme, tls = "http", ""
        if stage.certificate:
            scheme, tls = "https", f"tls {stage.certificate.chain} {stage.certificate.key}"
        config = _write(
            stage, "Caddyfile", CADDYFILE, routes=routes, servers=servers, scheme=scheme, tls=tls
        )
        return ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]

    return command


LIGHTTPD = Template("""\
server.modules = ($modules)
server.document-root = "$root"
server.bind = "127.0.0.1"
server.port = $port
server.max-fds = $handles
server.pid-file = "$folder/lighttpd.pid"
server.errorlog = "$folder/error.log"
server.upload-dirs = ("$folder")
$more
""")
LIGHTTPD_TYPES = 'mimetype.assign = (".js" => "text/javascript", "" => "application/octet-stream")'


def lighttpd(modules: str = "", more: str = LIGHTTPD_TYPES) -> Callable[[Stage], Command]:
    """Return lighttpd, in the foreground, with these modules and directives."""

    def command(stage: Stage) -> Command:
        loaded, directives = modules, more
        if stage.certificate:
            loaded = '"mod_openssl"'
            directives += '\nssl.engine = "enable"'
            directives += f'\nssl.pemfile = "{stage.certificate.chain}"'
            directives += f'\nssl.privkey = "{stage.certificate.key}"'
        config = _write(
            stage, "lighttpd.conf", LIGHTTPD,
            modules=loaded, more=directives, handles=str(handle_limit()),
        )  # fmt: skip
        return ["lighttpd", "-D", "-f", str(config)]

    return command


def handle_limit() -> int:
    """Return how many descriptors a server may have here."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MOST_HANDLES if limit == resource.RLIM_INFINITY else min(limit, MOST_HANDLES)


def c_floor(stage: Stage) -> Command:
    """Compile the floor and return its command."""
    program = stage.folder / "floor"
    subprocess.run(["cc", "-O2", "-o", str(program), str(FLOOR_SOURCE)], check=True)
    return [str(program), str(stage.port), str(stage.root)]


def make_certificate(folder: Path) -> Certificate:
    """Make a self-signed P-256 certificate for 127.0.0.1 with the openssl program."""
    certificate = Certificate(folder / "chain.pem", folder / "key.pem")
    # fmt: off
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
        "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", str(certificate.key), "-out", str(certificate.chain),
    ]
    # fmt: on
    subprocess.run(command, check=True, capture_output=True)
    return certificate


def _write(stage: Stage, name: str, template: Template, **more: str) -> Path:
    path = stage.folder / name
    values = {
        "root": stage.root,
        "port": stage.port,
        "folder": stage.folder,
        "workers": stage.workers,
        "compressed": COMPRESSED_NAME,
    }
    path.write_text(template.substitute(values, **more))
    return path
