"""A certificate for the loopback, and a connection over TLS that reads only when told to."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from tests.support.programs import require
from tests.support.raw import HOST, Connection


def make_certificate(
    folder: Path, *options: str, names: str = f"IP:{HOST}", algorithm: str = "ec"
) -> tuple[str, str]:
    """Make a self-signed certificate, and its key; options are those of openssl-req(1)."""
    chain, key = str(folder / "chain.pem"), str(folder / "key.pem")
    command = ["req", "-x509", "-newkey", algorithm, "-days", "2", "-subj", "/CN=localhost"]
    if algorithm == "ec":
        command += ["-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-addext", f"subjectAltName={names}", "-keyout", key, "-out", chain]
    openssl(*command, *(options or ("-nodes",)))
    return chain, key


def openssl(*arguments: str) -> None:
    """Run openssl(1)."""
    command = [require("openssl", apt="openssl"), *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)


def over_tls(connection: Connection, chain: str, alpn: str = "http/1.1") -> Connection:
    """Begin TLS on a connection. That the server ends it is not answered (RFC 8446 §6.1)."""
    context = ssl.create_default_context(cafile=chain)
    context.set_alpn_protocols([alpn])
    connection.socket = context.wrap_socket(connection.socket, server_hostname=HOST)
    return connection
