"""Configurations of the servers that are not Python: as short as they can be, and no log."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from bench.site import COMPRESSED_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

FLOOR_SOURCE = Path(__file__).parent / "apps" / "floor.c"


@dataclass(frozen=True)
class Certificate:
    """A throw-away certificate for loopback, as two PEM files."""

    chain: Path
    key: Path


@dataclass(frozen=True)
class Stage:
    """What a contender is started with: what to serve, where to listen, where to scribble."""

    root: Path
    port: int
    folder: Path
    workers: int = 1
    certificate: Certificate | None = None


Command = list[str]

NGINX = Template("""\
daemon off;
user root;
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


def nginx(extra: str = "") -> Callable[[Stage], Command]:
    """Return nginx as it comes, with sendfile, and `extra` directives."""

    def command(stage: Stage) -> Command:
        listen = ""
        directives = extra
        if stage.certificate:
            listen = " ssl http2"
            directives += f" ssl_certificate {stage.certificate.chain};"
            directives += f" ssl_certificate_key {stage.certificate.key};"
        config = _write(stage, "nginx.conf", NGINX, listen=listen, extra=directives)
        return ["nginx", "-p", str(stage.folder), "-e", "stderr", "-c", str(config)]

    return command


CADDYFILE = Template("""\
{
  admin off
  auto_https off
}
$scheme://127.0.0.1:$port {
  $tls
  root * $root
  handle /$compressed {
    file_server {
      precompressed gzip
    }
  }
  handle {
    file_server
  }
}
""")


def caddy(stage: Stage) -> Command:
    """Return Caddy's file server."""
    tls = f"tls {stage.certificate.chain} {stage.certificate.key}" if stage.certificate else ""
    scheme = "https" if stage.certificate else "http"
    config = _write(stage, "Caddyfile", CADDYFILE, tls=tls, scheme=scheme)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]


LIGHTTPD = Template("""\
server.modules = ($modules)
server.document-root = "$root"
server.bind = "127.0.0.1"
server.port = $port
server.max-fds = 16384
server.pid-file = "$folder/lighttpd.pid"
mimetype.assign = (".js" => "text/javascript", "" => "application/octet-stream")
$tls
""")


def lighttpd(stage: Stage) -> Command:
    """Return lighttpd, in the foreground."""
    modules, tls = "", ""
    if stage.certificate:
        modules = '"mod_openssl"'
        tls = (
            f'ssl.engine = "enable"\nssl.pemfile = "{stage.certificate.chain}"\n'
            f'ssl.privkey = "{stage.certificate.key}"'
        )
    config = _write(stage, "lighttpd.conf", LIGHTTPD, modules=modules, tls=tls)
    return ["lighttpd", "-D", "-f", str(config)]


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
