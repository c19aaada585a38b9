"""A certificate for the loopback, and a connection over TLS that reads only when told to."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from tests.support.programs import require
from tests.support.raw import HOST, Connection


def make_certificate(folder: Path) -> tuple[str, str]:
    """Make a self-signed certificate, and its key."""
    chain, key = str(folder / "chain.pem"), str(folder / "key.pem")
    command = [require("openssl", apt="openssl"), "req", "-x509", "-newkey", "ec"]
    command += ["-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST}"]
    command += ["-keyout", key, "-out", chain]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return chain, key


def over_tls(connection: Connection, chain: str) -> Connection:
    """Begin TLS on a connection. That the server ends it is not answered (RFC 8446 §6.1)."""
    context = ssl.create_default_context(cafile=chain)
    connection.socket = context.wrap_socket(connection.socket, server_hostname=HOST)
    return connection
