"""Real proxies in front, nginx, Caddy and HAProxy, and nginx's own reading of X-Forwarded-For."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import asyncstatic
from tests.serve.inside import eventually
from tests.serve.test_proxies import Served, app_of, serving
from tests.support.http2 import Connection2
from tests.support.programs import require
from tests.support.raw import HOST, Connection
from tests.support.servers import free_port
from tests.support.tls import over_tls

DOCUMENTED = Path(asyncstatic.__file__).parents[1] / "docs" / "proxies.md"

#: The client's address; the proxies themselves connect from 127.0.0.1, which alone is trusted.
CLIENT = "127.0.0.7"

NGINX = """
daemon off; master_process off; worker_processes 1;
pid {scratch}/pid; error_log {scratch}/error.log;
events {{ worker_connections 64; }}
http {{
  client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy;
  fastcgi_temp_path {scratch}/fcgi; uwsgi_temp_path {scratch}/uwsgi; scgi_temp_path {scratch}/scgi;
  access_log off;
  upstream asyncstatic {{ server 127.0.0.1:{upstream}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port}; listen 127.0.0.1:{tls} ssl;
    ssl_certificate {chain}; ssl_certificate_key {key};
    location /app/ {{
      proxy_pass http://asyncstatic/;
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Prefix /app;
      proxy_set_header Forwarded "";
    }}
  }}
}}
"""

REAL_IP = """
daemon off; master_process off; worker_processes 1;
pid {scratch}/pid; error_log {scratch}/error.log;
events {{ worker_connections 64; }}
http {{
  client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy;
  fastcgi_temp_path {scratch}/fcgi; uwsgi_temp_path {scratch}/uwsgi; scgi_temp_path {scratch}/scgi;
  access_log off;
  set_real_ip_from 127.0.0.0/8; set_real_ip_from 10.0.0.0/8; set_real_ip_from fd00::/8;
  real_ip_recursive on; real_ip_header X-Forwarded-For;
  server {{ listen 127.0.0.1:{port}; return 200 $remote_addr; }}
}}
"""

HAPROXY = """
global
  maxconn 64
defaults
  timeout connect 5s
  timeout client 10s
  timeout server 10s
{sections}
"""
TCP = """
listen {name}
  mode tcp
  bind 127.0.0.1:{port} {options}
  server asyncstatic 127.0.0.1:{upstream} {send}
"""
HTTP = """
listen {name}
  mode http
  bind 127.0.0.1:{port}
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  server asyncstatic 127.0.0.1:{upstream}
"""


@contextmanager
def started(command: list[str], port: int, log: Path) -> Iterator[None]:
    """A proxy as a child process, once it listens."""

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, port)) == 0

    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        assert eventually(lambda: process.poll() is not None or listens())
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def nginx(scratch: Path, configuration: str, port: int) -> Iterator[None]:
    program = require("nginx", "nginx-light")
    scratch.chmod(0o755)
    file = scratch / "nginx.conf"
    file.write_text(configuration)
    command = [program, "-p", str(scratch), "-e", f"{scratch}/error.log", "-c", str(file)]
    with started(command, port, scratch / "output"):
        yield


@contextmanager
def haproxy(scratch: Path, sections: str, port: int) -> Iterator[None]:
    program = require("haproxy", "haproxy")
    file = scratch / "haproxy.cfg"
    file.write_text(HAPROXY.format(sections=sections))
    with started([program, "-db", "-f", str(file)], port, scratch / "output"):
        yield


class From(Connection):
    """A connection from `CLIENT`."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.socket.close()
        self.socket = socket.create_connection((HOST, port), 10, source_address=(CLIENT, 0))


def clients_of(served: Served, count: int) -> set[str]:
    assert eventually(lambda: len(served.log) >= count)
    return {line["client"] for line in served.log}


both_entries = pytest.mark.parametrize("direct", [True, False], ids=["direct", "handed over"])


# -- nginx ---------------------------------------------------------------------------------------


@both_entries
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_behind_nginx_log_scope_and_redirects_are_the_clients(
    site: Path, certificate: tuple[str, str], tmp_path: Path, direct: bool, scheme: str
) -> None:
    chain, key = certificate
    port, tls = free_port(), free_port()
    with serving(app_of(site), direct=direct, trusted_proxies=HOST) as served:
        configuration = NGINX.format(
            scratch=tmp_path, upstream=served.server.port, port=port, tls=tls, chain=chain, key=key
        )
        with (
            nginx(tmp_path, configuration, port),
            From(tls if scheme == "https" else port) as connection,
        ):
            if scheme == "https":
                over_tls(connection, chain)
            forged = ("X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9;host=evil")
            for _ in range(3):
                assert connection.get("/app/static/css/app.css", *forged).status == 200
            redirect = connection.get("/app/static/docs", *forged)
            told = json.loads(connection.get("/app/x", *forged, "Host: a.example").content)
        assert clients_of(served, 5) == {CLIENT}
    assert redirect.field("location") == "./docs/"
    assert (told["client"][0], told["scheme"], told["host"]) == (CLIENT, scheme, ["a.example"])
    assert (told["root_path"], told["path"]) == ("/app", "/app/x")
    assert [line["entry"] for line in served.log[:3]] == ["direct" if direct else "hypercorn"] * 3


@pytest.mark.skipif(not DOCUMENTED.exists(), reason="tested without the source tree")
def test_the_documented_configuration_of_nginx_is_the_one_above() -> None:
    (block,) = re.findall(r"```nginx\n(.*?)```", DOCUMENTED.read_text("utf-8"), re.DOTALL)
    documented = [line.strip() for line in block.splitlines() if "proxy_" in line]
    assert documented == [line.strip() for line in NGINX.splitlines() if line.startswith("      ")]


# -- Caddy ---------------------------------------------------------------------------------------


@both_entries
@pytest.mark.skipif(not DOCUMENTED.exists(), reason="tested without the source tree")
def test_behind_caddy_as_documented_log_and_scope_are_the_clients(
    site: Path, tmp_path: Path, direct: bool
) -> None:
    program, port, file = require("caddy", "caddy"), free_port(), tmp_path / "Caddyfile"
    (block,) = re.findall(r"```caddyfile\n(.*?)```", DOCUMENTED.read_text("utf-8"), re.DOTALL)
    assert block.count("127.0.0.1:8000") == block.count("example.org") == 1
    command = [
        "env",
        f"HOME={tmp_path}",
        f"XDG_DATA_HOME={tmp_path}",
        f"XDG_CONFIG_HOME={tmp_path}",
    ]
    command += [program, "run", "--adapter", "caddyfile", "--config", str(file)]
    with serving(app_of(site), direct=direct, trusted_proxies=HOST) as served:
        block = block.replace("127.0.0.1:8000", f"127.0.0.1:{served.server.port}")
        block = block.replace("example.org", f"http://127.0.0.1:{port}")
        file.write_text(f"{{\n  admin off\n}}\n{block}")
        with started(command, port, tmp_path / "output"), From(port) as connection:
            fields = (
                *(f"Host: {HOST}:{port}", "X-Forwarded-Host: evil", "X-Forwarded-Prefix: /evil"),
                *("X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9;host=evil"),
            )
            assert connection.get("/app/static/css/app.css", *fields).status == 200
            told = json.loads(connection.get("/app/x", *fields).content)
        assert clients_of(served, 2) == {CLIENT}
    assert (told["client"][0], told["scheme"]) == (CLIENT, "http")
    assert (told["host"], told["root_path"], told["path"]) == ([f"{HOST}:{port}"], "/app", "/app/x")


#: Values of X-Forwarded-For that nginx and we read alike.
CHAINS = [
    "192.0.2.7",
    "203.0.113.9, 192.0.2.7",
    "203.0.113.9,192.0.2.7,10.1.1.1",
    "192.0.2.7, fd00::1, 10.1.1.1",
    "2001:db8::7, 10.1.1.1",
    "[2001:db8::7]:80, 10.1.1.1",
    "192.0.2.7:80, 10.1.1.1",
    "10.2.2.2, 10.1.1.1",
    "nonsense",
    "192.0.2.7, nonsense, 10.1.1.1",
    "192.0.2.7, unknown, 10.1.1.1",
    "192.0.2.7, _hidden",
    "192.0.2.256",
]


def test_a_chain_is_read_as_by_nginx(site: Path, tmp_path: Path) -> None:
    port = free_port()
    trusted = "127.0.0.0/8 10.0.0.0/8 fd00::/8"
    with (
        nginx(tmp_path, REAL_IP.format(scratch=tmp_path, port=port), port),
        serving(app_of(site), trusted_proxies=trusted) as served,
        Connection(port) as theirs,
        served.server.connect() as ours,
    ):
        for chain in CHAINS:
            field = f"X-Forwarded-For: {chain}"
            told = json.loads(ours.get("/x", field).content)
            assert told["client"][0] == theirs.get("/", field).content.decode(), chain


# -- HAProxy -------------------------------------------------------------------------------------

SENDS = {
    "1": "send-proxy",
    "2": "send-proxy-v2",
    "2, with TLVs": "send-proxy-v2-ssl-cn proxy-v2-options unique-id,crc32c,authority",
}


@both_entries
@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
def test_behind_haproxy_in_mode_tcp_the_client_is_known(
    site: Path, tmp_path: Path, direct: bool, send: str
) -> None:
    port = free_port()
    with serving(app_of(site), direct=direct, trusted_proxies=HOST, proxy_protocol=True) as served:
        section = TCP.format(
            name="tcp", port=port, options="", upstream=served.server.port, send=send
        )
        with haproxy(tmp_path, section, port), From(port) as connection:
            assert connection.get("/static/css/app.css").status == 200
            told = json.loads(connection.get("/x", "X-Forwarded-For: 203.0.113.9").content)
        assert clients_of(served, 2) == {CLIENT}
    assert (told["client"][0], told["scheme"]) == (CLIENT, "http")


@both_entries
def test_tls_that_haproxy_ends_is_https(
    site: Path, certificate: tuple[str, str], tmp_path: Path, direct: bool
) -> None:
    port = free_port()
    chain, key = certificate
    pem = tmp_path / "both.pem"
    pem.write_text(Path(chain).read_text() + Path(key).read_text())
    with serving(app_of(site), direct=direct, trusted_proxies=HOST, proxy_protocol=True) as served:
        section = TCP.format(name="tls", port=port, options=f"ssl crt {pem}",
                             upstream=served.server.port, send="send-proxy-v2-ssl")  # fmt: skip
        with haproxy(tmp_path, section, port), From(port) as connection:
            over_tls(connection, chain)
            assert connection.get("/static/css/app.css").status == 200
            told = json.loads(connection.get("/x").content)
        assert clients_of(served, 2) == {CLIENT}
    assert (told["client"][0], told["scheme"]) == (CLIENT, "https")


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
def test_http_2_over_tls_through_haproxy_has_its_client(
    site: Path, certificate: tuple[str, str], tmp_path: Path, send: str
) -> None:
    port = free_port()
    chain, key = certificate
    context = ssl.create_default_context(cafile=chain)
    context.set_alpn_protocols(["h2"])
    with serving(
        app_of(site), certfile=chain, keyfile=key, trusted_proxies=HOST, proxy_protocol=True
    ) as served:
        section = TCP.format(
            name="h2", port=port, options="", upstream=served.server.port, send=send
        )
        with haproxy(tmp_path, section, port), Connection2(port, tls=context) as connection:
            assert connection.get("/static/css/app.css").status == 200
            told = json.loads(connection.get("/x").content)
    assert (told["client"][0], told["scheme"]) == (HOST, "https")
    assert told["client"][1] not in (0, served.server.port)


def test_behind_haproxy_in_mode_http_the_client_is_known(site: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(app_of(site), trusted_proxies=HOST) as served:
        section = HTTP.format(name="http", port=port, upstream=served.server.port)
        with haproxy(tmp_path, section, port), From(port) as connection:
            for _ in range(3):
                assert connection.get("/static/css/app.css").status == 200
            told = json.loads(connection.get("/x", "X-Forwarded-For: 203.0.113.9").content)
        assert clients_of(served, 4) == {CLIENT}
    assert (told["client"][0], told["scheme"]) == (CLIENT, "http")


def test_the_health_check_of_haproxy_is_answered(site: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(app_of(site), trusted_proxies=HOST, proxy_protocol=True) as served:
        check = "send-proxy-v2 check inter 100"
        section = TCP.format(name="check", port=port, options="", upstream=served.server.port,
                             send=check) + "  option httpchk GET /static/css/app.css\n"  # fmt: skip
        with haproxy(tmp_path, section, port):
            assert eventually(lambda: len(served.log) >= 2)
    assert {(line["client"], line["status"]) for line in served.log} == {(HOST, 200)}
