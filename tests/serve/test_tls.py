"""TLS: which certificate a client gets, when a renewed one is used, and what is negotiated."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypercorn.config import Config

from asyncstatic import StaticFiles, serve_app
from asyncstatic.serve import certificate, tls
from asyncstatic.serve.certificate import Certificate, CertificateError, Pair, read_chain
from asyncstatic.serve.process.sandbox import version as landlock_version
from asyncstatic.serve.tls import Certificates, certificates
from asyncstatic.settings import SettingsError
from tests.serve.inside import LOOPS, Inside, eventually, serving_inside
from tests.support.programs import require
from tests.support.raw import HOST, head
from tests.support.servers import environment, running
from tests.support.tls import make_certificate, openssl, over_tls

on_both_loops = pytest.mark.parametrize("loop", LOOPS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """Certificates by name: chain and key."""
    folder = tmp_path_factory.mktemp("certificates")
    names = {
        "first": f"DNS:first.example,IP:{HOST}",
        "second": "DNS:second.example,DNS:Second.Example.NET",
        "wild": "DNS:*.example",
        "again": f"DNS:first.example,IP:{HOST}",
    }
    found = {}
    for name, subject in names.items():
        (folder / name).mkdir()
        found[name] = make_certificate(folder / name, names=subject)
    (folder / "rsa").mkdir()
    found["rsa"] = make_certificate(folder / "rsa", names=names["first"], algorithm="rsa:2048")
    return found


def shown(port: int, name: str | None = None, **attributes: Any) -> bytes:
    """Return the certificate that a client gets that asks for a name."""
    with handshake(port, name, **attributes) as client:
        return client.getpeercert(binary_form=True) or b""


@contextmanager
def handshake(
    port: int, name: str | None = None, alpn: tuple[str, ...] = (), **attributes: Any
) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for attribute, value in attributes.items():
        setattr(context, attribute, value)
    if alpn:
        context.set_alpn_protocols(alpn)
    with (
        socket.create_connection((HOST, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as client,
    ):
        yield client


def der(pair: tuple[str, str]) -> bytes:
    return ssl.PEM_cert_to_DER_cert(Path(pair[0]).read_text())


@contextmanager
def serving_pairs(
    site: Path, *pairs: tuple[str, str], loop: str = "uvloop", **options: Any
) -> Iterator[Inside]:
    """Serve with certificates, as the command does."""
    found = certificates(Config(), [Pair(*pair) for pair in pairs])
    assert found is not None
    with serving_inside(
        StaticFiles(site), loop=loop, ssl_context=found.context, **options
    ) as server:
        yield server


# -- which certificate -------------------------------------------------------------------------

NAMES = {
    None: "first",
    "first.example": "first",
    "FIRST.example": "first",
    "second.example": "second",
    "second.example.net": "second",
    "other.example": "wild",
    "deep.other.example": "first",
    "example": "first",
    "unknown.test": "first",
}


@on_both_loops
def test_the_server_name_chooses_the_certificate(
    site: Path, made: dict[str, tuple[str, str]], loop: str
) -> None:
    """The exact name first, then a wildcard for one label, then the first certificate."""
    pairs = [made[name] for name in ("first", "second", "wild", "again")]
    with serving_pairs(site, *pairs, loop=loop) as server:
        got = {name: shown(server.port, name) for name in NAMES}
        old = shown(server.port, "second.example", maximum_version=ssl.TLSVersion.TLSv1_2)
    wanted = {name: der(made[pair]) for name, pair in NAMES.items()}
    assert got == wanted
    assert old == der(made["second"])


def test_http2_is_negotiated_with_every_certificate(
    site: Path, made: dict[str, tuple[str, str]]
) -> None:
    with serving_pairs(site, made["first"], made["second"]) as server:
        for name in ("first.example", "second.example"):
            with handshake(server.port, name, alpn=("h2", "http/1.1")) as client:
                assert client.selected_alpn_protocol() == "h2"


def hello(name: bytes) -> bytes:
    """Return the ClientHello of a client that asks for a name."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sent, placeholder = ssl.MemoryBIO(), b"x" * len(name)
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=placeholder.decode())
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read().replace(placeholder, name)


_PROGRAM = """
import asyncio, ssl, sys
from hypercorn.config import Config
from asyncstatic import StaticFiles, serve_app

_, folder, bind, _, chain, _, key, *own = sys.argv
config, context = Config(), None
config.bind, config.certfile, config.keyfile = [bind], chain, key
if own:
    context = config.create_ssl_context()
    context.sni_callback = lambda *_: None
asyncio.run(serve_app(StaticFiles(folder), config, ssl_context=context))
"""
_SERVE = ("-m", "asyncstatic", "serve", "{site}", "--bind", f"{HOST}:{{port}}")
_SERVE_APP = ("-c", _PROGRAM, "{site}", f"{HOST}:{{port}}")


@pytest.mark.parametrize(
    ("command", "options"),
    [
        pytest.param(_SERVE, (), id="serve"),
        pytest.param(_SERVE, ("--workers", "2"), id="serve, workers"),
        pytest.param(_SERVE_APP, (), id="serve_app"),
        pytest.param(_SERVE_APP, ("own",), id="serve_app, a context with a callback"),
    ],
)
def test_no_server_name_writes_to_the_error_log(
    site: Path, made: dict[str, tuple[str, str]], command: tuple[str, ...], options: tuple[str, ...]
) -> None:
    chain, key = made["first"]
    arguments = [part.replace("{site}", str(site)) for part in command]
    with running([*arguments, "--certfile", chain, "--keyfile", key, *options], {}) as server:
        before = server.log
        for name in (b"first\nexample", b"xn--\xff", b"\xc3\xa9" * 30, b"a\0b" * 20):
            with server.connect() as client:
                client.send(hello(name))
                client.socket.recv(1)
        assert shown(server.port) == der(made["first"])
        assert server.log == before


# -- renewal -----------------------------------------------------------------------------------


def copied(pair: tuple[str, str], folder: Path) -> tuple[str, str]:
    """Copy the files of a certificate over those of another, by rename as certbot does."""
    folder.mkdir(exist_ok=True)
    for number, path in enumerate(pair):
        new = folder / f"{number}.new"
        shutil.copy(path, new)
        new.rename(folder / f"{number}.pem")
    return str(folder / "0.pem"), str(folder / "1.pem")


@pytest.fixture
def _polled_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "POLL_SECONDS", 0.05)


@pytest.mark.usefixtures("_polled_often")
@on_both_loops
def test_a_renewed_certificate_is_used_without_a_signal(
    site: Path, tmp_path: Path, made: dict[str, tuple[str, str]], loop: str
) -> None:
    """Old connections go on, and a renewal may change the kind of key."""
    chain, key = copied(made["first"], tmp_path / "live")
    with (
        serving_inside(StaticFiles(site), loop=loop, certfile=chain, keyfile=key) as server,
        over_tls(server.connect(), chain) as before,
    ):
        assert before.get("/css/app.css").status == 200
        for name in ("again", "rsa", "first"):
            copied(made[name], tmp_path / "live")
            assert eventually(partial(shows, server.port, der(made[name])))
        assert before.get("/css/app.css").status == 200


def shows(port: int, wanted: bytes) -> bool:
    return shown(port) == wanted


@pytest.mark.usefixtures("_polled_often")
def test_a_half_written_pair_keeps_the_old_certificate_and_is_logged_once(
    site: Path,
    tmp_path: Path,
    made: dict[str, tuple[str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    chain, key = copied(made["first"], tmp_path / "live")
    with serving_inside(StaticFiles(site), certfile=chain, keyfile=key) as server:
        assert shown(server.port) == der(made["first"])
        shutil.copy(made["again"][0], chain)  # and the key a moment later
        assert eventually(lambda: "the key is that of another certificate" in caplog.text)
        assert shown(server.port) == der(made["first"])
        Path(chain).write_bytes(Path(made["again"][0]).read_bytes()[:200])
        assert eventually(lambda: "not in PEM form" in caplog.text)
        assert shown(server.port) == der(made["first"])
        Path(chain).unlink()
        assert eventually(lambda: "cannot be read: No such file" in caplog.text)
        copied(made["again"], tmp_path / "live")
        assert eventually(lambda: shown(server.port) == der(made["again"]))
    lines = [line for line in caplog.text.splitlines() if "the old certificate stays" in line]
    assert len(lines) == 3
    assert all(chain in line for line in lines)


def renewing(pair: tuple[str, str]) -> Certificates:
    found = certificates(Config(), [Pair(*pair)])
    assert found is not None
    return found


def test_the_link_of_a_directory_or_file_may_be_swapped(
    tmp_path: Path, made: dict[str, tuple[str, str]]
) -> None:
    """live/ of Let's Encrypt links files, a Kubernetes secret links its directory."""
    for number, name in enumerate(("first", "second")):
        copied(made[name], tmp_path / f"archive{number}")
    (tmp_path / "data").symlink_to("archive0")
    for name in ("0.pem", "1.pem"):
        (tmp_path / name).symlink_to(f"data/{name}")
    found = renewing((str(tmp_path / "0.pem"), str(tmp_path / "1.pem")))
    assert "second.example" not in found._contexts
    (tmp_path / "new").symlink_to("archive1")
    (tmp_path / "new").rename(tmp_path / "data")
    found.refresh()
    assert "second.example" in found._contexts


def test_a_file_that_changes_within_one_tick_of_the_clock_is_loaded_again(
    tmp_path: Path, made: dict[str, tuple[str, str]]
) -> None:
    """Content counts, not times."""
    chain, key = copied(made["second"], tmp_path / "live")
    found = renewing((chain, key))
    for source, path in zip(made["wild"], (chain, key), strict=True):
        facts = os.stat(path)
        shutil.copy(source, path)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    found.refresh()
    assert "*.example" in found._contexts


def test_unchanged_files_are_not_loaded_again(
    monkeypatch: pytest.MonkeyPatch, made: dict[str, tuple[str, str]]
) -> None:
    found = renewing(made["first"])
    monkeypatch.setattr(tls, "load", None)
    found.refresh()


SANDBOXED = """
import os, sys
from hypercorn.config import Config
from asyncstatic.serve.certificate import Pair
from asyncstatic.serve.process.sandbox import restrict
from asyncstatic.serve.tls import certificates
pair, root = Pair(*sys.argv[1:3]), sys.argv[3]
found = certificates(Config(), [pair])
restrict([root], reads=pair.directories())
print("ready", flush=True)
input()
found.refresh()
print(*found._contexts)
"""


@pytest.mark.skipif(not landlock_version(), reason="the kernel has no Landlock")
def test_a_certificate_is_renewed_by_rename_in_the_sandbox(
    site: Path, tmp_path: Path, made: dict[str, tuple[str, str]]
) -> None:
    pair = copied(made["first"], tmp_path / "live")
    with subprocess.Popen(
        [sys.executable, "-c", SANDBOXED, *pair, str(site)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        copied(made["second"], tmp_path / "live")
        output, _ = process.communicate("\n", timeout=30)
    assert "second.example" in output


# -- what is negotiated ------------------------------------------------------------------------

V1_1, V1_2, V1_3 = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    ("version", "ciphers", "agreed"),
    [
        (V1_3, "DEFAULT", "TLSv1.3"),
        (V1_2, "ECDHE+AESGCM", "TLSv1.2"),
        (V1_2, "ECDHE+CHACHA20", "TLSv1.2"),
        (V1_2, "ECDHE+AES128:!AESGCM:!AESCCM", None),  # CBC
        (V1_2, "AES128-GCM-SHA256", None),  # no forward secrecy
        (V1_1, "DEFAULT:@SECLEVEL=0", None),
    ],
)
def test_only_modern_versions_and_ciphers_are_negotiated(
    site: Path,
    made: dict[str, tuple[str, str]],
    version: ssl.TLSVersion,
    ciphers: str,
    agreed: str | None,
) -> None:
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_ciphers(ciphers)
    with pytest.warns(DeprecationWarning, match="TLSv1_1") if version is V1_1 else ExitStack():
        client.minimum_version, client.maximum_version = version, version
    with (
        serving_pairs(site, made["rsa"]) as server,
        socket.create_connection((HOST, server.port), timeout=10) as plain,
    ):
        if agreed is None:
            with pytest.raises(ssl.SSLError):
                client.wrap_socket(plain)
            return
        with client.wrap_socket(plain) as connection:
            assert connection.version() == agreed


def test_the_tls_options_of_a_config_hold(site: Path, made: dict[str, tuple[str, str]]) -> None:
    chain, key = made["first"]
    options: dict[str, Any] = {
        "ciphers": "ECDHE+CHACHA20",
        "ca_certs": chain,
        "alpn_protocols": ["http/1.1"],
    }
    with serving_inside(
        StaticFiles(site), certfile=chain, keyfile=key, verify_mode=ssl.CERT_REQUIRED, **options
    ) as server:
        with pytest.raises(ssl.SSLError), handshake(server.port, maximum_version=V1_2):
            pass
        context = ssl.create_default_context(cafile=chain)
        context.load_cert_chain(chain, key)
        context.maximum_version = V1_2
        context.set_alpn_protocols(["h2", "http/1.1"])
        with context.wrap_socket(server.connect().socket, server_hostname=HOST) as client:
            assert "CHACHA20" in (client.cipher() or ("",))[0]
            assert client.selected_alpn_protocol() == "http/1.1"


def test_curl_gets_a_file_and_trusts_the_certificate(
    site: Path, made: dict[str, tuple[str, str]]
) -> None:
    with serving_pairs(site, made["second"], made["first"]) as server:
        done = subprocess.run(
            [require("curl", apt="curl"), "-sS", "--cacert", made["first"][0],
             "--resolve", f"first.example:{server.port}:{HOST}",
             f"https://first.example:{server.port}/css/app.css"],
            capture_output=True, timeout=30,
        )  # fmt: skip
        plain = subprocess.run(
            [require("curl", apt="curl"), "-sS", f"http://{HOST}:{server.port}/css/app.css"],
            capture_output=True, timeout=30,
        )  # fmt: skip
    assert done.stdout == (site / "css/app.css").read_bytes(), done.stderr
    assert b"say https://" in plain.stdout


# -- a context of the user's own ---------------------------------------------------------------


@on_both_loops
def test_a_context_of_the_users_own_is_used_as_it_is(
    site: Path, made: dict[str, tuple[str, str]], loop: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*made["first"])
    context.minimum_version = V1_3
    with serving_inside(StaticFiles(site), loop=loop, ssl_context=context) as server:
        assert context.sni_callback is None
        assert context.num_tickets == 2
        with over_tls(server.connect(), made["first"][0]) as client:
            assert client.get("/css/app.css").status == 200


def test_the_addresses_of_a_config_are_for_https_with_a_context(
    site: Path, made: dict[str, tuple[str, str]]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*made["first"])
    config = Config()
    config.bind = [f"{HOST}:0"]
    sockets = tls_sockets(config)
    assert (len(sockets.secure_sockets), len(sockets.insecure_sockets)) == (1, 0)
    for sock in sockets.secure_sockets:
        sock.close()


def tls_sockets(config: Config) -> Any:
    from asyncstatic.serve.server import bind

    return bind(config, secure=True)


def test_a_context_for_clients_is_refused_at_the_start(site: Path) -> None:
    config = Config()
    config.bind = [f"{HOST}:0"]
    with pytest.raises(ssl.SSLError, match="CLIENT"):
        asyncio.run(serve_app(StaticFiles(site), config, ssl_context=ssl.create_default_context()))


def test_a_context_cannot_be_given_to_workers() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    config = Config()
    config.bind, config.workers = [f"{HOST}:0"], 2
    with pytest.raises(SettingsError, match="ssl_context"):
        asyncio.run(serve_app("asyncstatic:app", config, ssl_context=context))


# -- files that cannot be used -----------------------------------------------------------------


@pytest.fixture(scope="module")
def broken(
    made: dict[str, tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Files by name."""
    folder = tmp_path_factory.mktemp("broken")
    chain, key = made["first"]
    files = {"chain": chain, "key": key, "other": made["second"][1], "missing": str(folder / "no")}
    (folder / "secret").mkdir()
    secret, files["secret"] = make_certificate(folder / "secret", "-passout", "pass:secret")
    files["of secret"] = secret
    files["empty"] = str(folder / "empty")
    Path(files["empty"]).touch()
    files["binary"] = str(folder / "binary")
    Path(files["binary"]).write_bytes(der(made["first"]))
    files["both"] = str(folder / "both")
    Path(files["both"]).write_text(Path(chain).read_text() + Path(key).read_text())
    files.update(signed(folder))
    return files


def signed(folder: Path) -> dict[str, str]:
    """Make a certificate of an issuer; a chain in the right order, and one in the wrong order."""
    (folder / "issuer").mkdir()
    issuer, of_issuer = make_certificate(folder / "issuer", "-nodes", "-subj", "/CN=issuer")
    leaf, request, key = (str(folder / name) for name in ("leaf", "request", "leaf.key"))
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=leaf",
            "-keyout", key, "-out", request)  # fmt: skip
    openssl("x509", "-req", "-in", request, "-CA", issuer, "-CAkey", of_issuer,
            "-CAcreateserial", "-days", "2", "-out", leaf)  # fmt: skip
    texts = [Path(leaf).read_text(), Path(issuer).read_text()]
    for name, order in (("right", texts), ("wrong", texts[::-1])):
        (folder / name).write_text("".join(order))
    return {"leaf key": key, "right": str(folder / "right"), "wrong": str(folder / "wrong")}


@pytest.mark.parametrize(
    ("chain", "key", "says"),
    [
        ("missing", "key", "the certificate cannot be read: No such file or directory"),
        ("chain", "missing", "the key cannot be read: No such file or directory"),
        ("empty", "key", "the certificate is not in PEM form"),
        ("binary", "key", "the certificate is not in PEM form"),
        ("key", "key", "the certificate is not in PEM form"),
        ("chain", "chain", "there is no private key in PEM form"),
        ("chain", "empty", "there is no private key in PEM form"),
        ("chain", "other", "the key is that of another certificate"),
        ("of secret", "secret", "the key is encrypted; store it decrypted: openssl pkey"),
        ("wrong", "leaf key", "the chain begins with an issuer"),
    ],
)
def test_a_pair_that_cannot_be_used_is_refused_in_one_line(
    broken: dict[str, str], chain: str, key: str, says: str
) -> None:
    config = Config()
    config.keyfile_password = ""
    with pytest.raises(CertificateError) as caught:
        certificates(config, [Pair(broken[chain], broken[key])])
    message = str(caught.value)
    assert says in message
    assert f"--certfile {broken[chain]}" in message
    assert "\n" not in message


def test_a_key_of_another_certificate_is_named_also_if_the_chain_cannot_be_read(
    broken: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while its file is replaced: another error would end the renewal for good."""

    def changed(chain: bytes) -> list[Certificate]:
        raise ValueError(chain)

    monkeypatch.setattr(certificate, "read_chain", changed)
    with pytest.raises(CertificateError, match="the key is that of another certificate"):
        certificates(Config(), [Pair(broken["chain"], broken["other"])])


@pytest.mark.parametrize(("chain", "key"), [("both", "both"), ("right", "leaf key")])
def test_a_pair_that_can_be_used_is(broken: dict[str, str], chain: str, key: str) -> None:
    assert certificates(Config(), [Pair(broken[chain], broken[key])]) is not None


def test_a_key_with_a_password_of_the_config_is_used(broken: dict[str, str]) -> None:
    config = Config()
    config.keyfile_password = "secret"
    assert certificates(config, [Pair(broken["of secret"], broken["secret"])]) is not None


# -- facts of certificates ---------------------------------------------------------------------


def test_names_and_dates_are_read_as_openssl_reads_them(
    made: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    chain, _ = make_certificate(tmp_path, "-nodes", "-days", "40000", names="DNS:late.example")
    for path in (chain, *(pair[0] for pair in made.values())):
        (found,) = read_chain(Path(path).read_bytes())
        wanted: dict[str, Any] = ssl._ssl._test_decode_cert(path)  # type: ignore[attr-defined]
        names = [name.lower() for kind, name in wanted["subjectAltName"] if kind == "DNS"]
        assert list(found.names) == names
        assert found.begins.timestamp() == ssl.cert_time_to_seconds(wanted["notBefore"])
        assert found.ends.timestamp() == ssl.cert_time_to_seconds(wanted["notAfter"])
        assert found.subject == found.issuer


def test_a_certificate_without_names_is_for_clients_that_get_no_other(
    broken: dict[str, str],
) -> None:
    assert [found.names for found in read_chain(Path(broken["right"]).read_bytes())] == [(), ()]


@pytest.mark.parametrize(
    ("begins", "ends", "says"),
    [
        (-80, 10, None),
        (-82, 8, "expires on .* renew it"),
        (-90, -1, "expired on .* clients refuse it"),
        (1, 90, "not valid before .* clients refuse it"),
    ],
)
def test_a_certificate_that_should_have_been_renewed_is_named(
    begins: int, ends: int, says: str | None
) -> None:
    now = datetime(2026, 11, 29, tzinfo=UTC)
    day = timedelta(days=1)
    warning = Certificate((), now + begins * day, now + ends * day, b"", b"").warning(now)
    assert (warning is None) == (says is None)
    if says is not None:
        assert re.search(says, warning or "")


def test_a_certificate_that_nobody_renews_is_named_once(
    made: dict[str, tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = renewing(made["first"])
    found.refresh()
    assert not caplog.text

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=1.9)

    monkeypatch.setattr(tls, "datetime", Later)
    found.refresh()
    found.refresh()
    assert caplog.text.count("renew it") == 1
    assert made["first"][0] in caplog.text


# -- the command -------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_reload_names_a_certificate_that_is_expired_or_broken(
    site: Path, tmp_path: Path, workers: str
) -> None:
    chain, key = make_certificate(tmp_path)
    command = ["-m", "asyncstatic", "serve", str(site), "--bind", f"{HOST}:{{port}}"]
    options = ["--certfile", chain, "--keyfile", key, "--workers", workers]
    with running([*command, *options], {}) as server:
        openssl("x509", "-in", chain, "-signkey", key, "-days", "-1", "-out", f"{chain}.new")
        os.replace(f"{chain}.new", chain)
        os.kill(server.pid, signal.SIGHUP)
        assert eventually(lambda: "] reloaded" in server.log, 30)
        assert re.search(
            f"^certificate {chain} expired on .*; clients refuse it$", server.log, re.M
        )
        Path(key).write_text("no key")
        os.kill(server.pid, signal.SIGHUP)
        says = (
            f"] not reloaded, the old settings stay: --certfile {chain}, --keyfile {key}: there is"
        )
        assert eventually(lambda: says in server.log, 30), server.log


def test_the_command_serves_several_certificates(
    site: Path, made: dict[str, tuple[str, str]], broken: dict[str, str]
) -> None:
    options = ["--certfile", made["second"][0], "--keyfile", made["second"][1],
               "--certfile", broken["both"], "--keyfile", broken["both"]]  # fmt: skip
    command = ["-m", "asyncstatic", "serve", str(site), "--bind", f"{HOST}:{{port}}", *options]
    with running(command, {}) as server:
        assert "https://" in server.log
        assert shown(server.port) == der(made["second"])
        assert shown(server.port, "first.example") == der(made["first"])
        assert server.fetch("/").status == 400


def test_the_key_may_be_in_the_file_of_the_certificate(
    site: Path, made: dict[str, tuple[str, str]], broken: dict[str, str]
) -> None:
    command = ["-m", "asyncstatic", "serve", str(site), "--bind", f"{HOST}:{{port}}"]
    with running(command, {"ASYNCSTATIC_CERTFILE": broken["both"]}) as server:
        assert shown(server.port) == der(made["first"])
        with over_tls(server.connect(), made["first"][0]) as client:
            client.send(head("/css/app.css"))
            assert client.read().status == 200


def test_an_expired_certificate_is_one_warning(site: Path, tmp_path: Path) -> None:
    valid, key = make_certificate(tmp_path)
    chain = str(tmp_path / "expired.pem")
    openssl("x509", "-in", valid, "-signkey", key, "-days", "-1", "-out", chain)
    command = ["-m", "asyncstatic", "serve", str(site), "--bind", f"{HOST}:{{port}}"]
    with running([*command, "--certfile", chain, "--keyfile", key], {}) as server:
        assert server.log.count("clients refuse it") == 1
