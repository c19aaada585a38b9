"""TLS: several certificates, chosen by the name that the client asks for, and their renewal.

All connections begin with one `ssl.SSLContext`. Its callback for the server name (SNI, RFC 6066 §3)
replaces it by the context of the chosen certificate, in its newest version. A renewed certificate
gets a new context: loading it into the old one would leave an RSA certificate beside a new ECDSA
one, and a failure half way would leave no usable one.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from copy import copy
from datetime import UTC, datetime
from functools import partial
from typing import Any

from hypercorn.config import Config

from asyncstatic.files.source import logger
from asyncstatic.serve.certificate import CertificateError, Pair, load

POLL_SECONDS = 20.0  # from one check of the files of the certificates to the next

#: TLS 1.2 with forward secrecy and authenticated encryption only, as Mozilla's intermediate
#: configuration; Hypercorn's default has no ChaCha20. OpenSSL adds the three of TLS 1.3.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class Certificates:
    """The certificates of a server.

    Args:
        pairs: their files; the first is for clients that ask for no name, or for an unknown one.
        make_context: makes a context that has loaded a pair.

    Raises:
        CertificateError: one cannot be used; the message is one line.

    Attributes:
        context: for the listeners.
    """

    def __init__(
        self, pairs: Sequence[Pair], make_context: Callable[[Pair], ssl.SSLContext]
    ) -> None:
        self._loaded = [_Loaded(pair, make_context) for pair in pairs]
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._index()
        self.context = self._loaded[0].context
        self.context.sni_callback = self._choose
        self._warned = set(self.warnings())

    def refresh(self) -> None:
        """Load each certificate whose files have changed; keep the old one where that fails.

        A certificate that has come near its end meanwhile is logged once.
        """
        for loaded in self._loaded:
            loaded.refresh()
        self._index()
        warnings = set(self.warnings())
        for warning in sorted(warnings - self._warned):
            logger.warning(warning)
        self._warned = warnings

    def warnings(self) -> list[str]:
        """Return one line for each certificate that clients refuse, or will soon."""
        now = datetime.now(UTC)
        found = [(loaded.pair.chain, loaded.certificate.warning(now)) for loaded in self._loaded]
        return [f"certificate {chain} {warning}" for chain, warning in found if warning]

    def _index(self) -> None:
        contexts = {"": self._loaded[0].context}
        for loaded in self._loaded:
            for name in loaded.certificate.names:
                contexts.setdefault(name, loaded.context)
        self._contexts = contexts

    def _choose(
        self, tls: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext
    ) -> None:
        """Choose by the exact name, then by ``*`` instead of its first label (RFC 9525 §6.3)."""
        contexts, name = self._contexts, (name or "").lower()
        wildcard = "*." + name.partition(".")[2]
        chosen = contexts.get(name) or contexts.get(wildcard) or contexts[""]
        if chosen is not self.context:
            tls.context = chosen


class _Loaded:
    """A certificate that was loaded from its files."""

    def __init__(self, pair: Pair, make_context: Callable[[Pair], ssl.SSLContext]) -> None:
        self.pair = pair
        self._make_context = make_context
        try:
            self._digest = pair.digest()
            self.context, self.certificate = load(pair, make_context)
        except CertificateError as error:
            raise CertificateError(f"{label(pair)}: {error}") from None
        self._problem = ""

    def refresh(self) -> None:
        """Load the files if they have changed.

        The content counts, not the times: a file that is read while it is written is loaded again.
        """
        try:
            digest = self.pair.digest()
            if digest == self._digest:
                self._problem = ""
                return
            self.context, self.certificate = load(self.pair, self._make_context)
        except CertificateError as error:
            self._report(str(error))
            return
        self._digest, self._problem = digest, ""
        logger.info("%s: renewed, until %s", label(self.pair), self.certificate.ends)

    def _report(self, problem: str) -> None:
        """Log a problem once."""
        if problem != self._problem:
            self._problem = problem
            logger.warning(
                "%s: not renewed, the old certificate stays: %s", label(self.pair), problem
            )


def label(pair: Pair) -> str:
    """Name the files of a pair, as options."""
    chain = f"--certfile {pair.chain}"
    return chain if pair.key == pair.chain else f"{chain}, --keyfile {pair.key}"


def certificates(config: Config, pairs: Sequence[Pair] = ()) -> Certificates | None:
    """Return the certificates of a server; None where it has no TLS.

    Args:
        config: Hypercorn's, for everything but the files.
        pairs: the files; those of the config if empty.

    Raises:
        CertificateError: one cannot be used; the message is one line.
    """
    if config.certfile is not None and config.keyfile is not None:
        pairs = pairs or (Pair(config.certfile, config.keyfile),)
    return Certificates(pairs, lambda pair: _context(config, pair)) if pairs else None


def _context(config: Config, pair: Pair) -> ssl.SSLContext:
    """Let Hypercorn make a context: ca_certs, verify_mode, ALPN and a password are as configured."""
    config = copy(config)
    config.certfile, config.keyfile = pair
    context = config.create_ssl_context()
    assert context is not None  # noqa: S101 - for it has a certificate
    if config.ciphers == Config.ciphers:
        context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 1  # the default, 2, costs 26 us more for each connection
    return context


def _ignore_unreadable_names() -> None:
    """Let no client write to the error log by a server name (SNI) that is not ASCII.

    The ssl module refuses the connection, and reports an exception that nobody can catch: five lines, with
    the name, of up to 64 KiB. This holds until the process ends: it may serve several sites at a time.
    """
    report = sys.unraisablehook
    if not (isinstance(report, partial) and report.func is _report_others):
        sys.unraisablehook = partial(_report_others, report)


def _report_others(report: Callable[[Any], Any], found: Any) -> None:
    """Report what nobody can catch, except a server name."""
    if found.exc_type is not UnicodeDecodeError or not isinstance(found.object, bytes):
        report(found)


@asynccontextmanager
async def context_of(
    config: Config, given: ssl.SSLContext | None
) -> AsyncIterator[ssl.SSLContext | None]:
    """Yield the context of a server: that which is given, or one for the certificate of its config.

    Raises:
        CertificateError: the certificate cannot be used; the message is one line.
        ssl.SSLError: the given context is for clients.
    """
    if given is not None or config.ssl_enabled:
        _ignore_unreadable_names()
    if given is not None:
        given.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
        yield given
        return
    found = await asyncio.to_thread(certificates, config)
    for warning in found.warnings() if found else ():
        logger.warning(warning)
    async with renewed(found) as context:
        yield context


@asynccontextmanager
async def renewed(certificates: Certificates | None) -> AsyncIterator[ssl.SSLContext | None]:
    """Take up renewed certificates, as long as their context is in use."""
    if certificates is None:
        yield None
        return
    task = asyncio.create_task(_renew(certificates))
    try:
        yield certificates.context
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _renew(certificates: Certificates) -> None:
    while True:
        await asyncio.sleep(POLL_SECONDS)
        await asyncio.to_thread(certificates.refresh)  # the disk may be slow
