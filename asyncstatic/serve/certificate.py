"""A certificate and its key, as files: their check, and the facts that a server needs of them.

The `ssl` module loads a certificate but tells nothing of it, neither its names nor its dates. These
are read here from the DER encoding (X.690 §8.1; RFC 5280 §4.1). OpenSSL has accepted the file
before.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from asyncstatic.settings import SettingsError

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
_SUBJECT_ALT_NAME = bytes((0x55, 0x1D, 0x11))  # 2.5.29.17
_VERSION, _EXTENSIONS, _DNS_NAME, _UTC_TIME = 0xA0, 0xA3, 0x82, 0x17  # tags
#: OpenSSL's reasons for a key of another certificate; the last, of another kind (RSA, ECDSA).
_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_LATE = 0.1  # of its lifetime is left: a certificate should have been renewed by then


class CertificateError(SettingsError):
    """A certificate or its key cannot be used; the message, part of a line, tells the reason."""


class Pair(NamedTuple):
    """The files of a certificate, PEM.

    Attributes:
        chain: the server's own certificate first, then those of its issuers.
        key: the private key; may be the same file.
    """

    chain: str
    key: str

    def read(self) -> tuple[bytes, bytes]:
        """Return the content of both files.

        Raises:
            CertificateError: a file cannot be read.
        """
        return _read(self.chain, "certificate"), _read(self.key, "key")

    def digest(self) -> bytes:
        """Return a digest of both files; raises as `read`."""
        chain, key = self.read()
        return hashlib.sha256(b"%d %b%b" % (len(chain), chain, key)).digest()

    def directories(self) -> set[str]:
        """Return the directories where the files are and where their successors will be.

        A link is replaced in its own directory, its target beside the present target.
        """
        paths = (self.chain, self.key)
        return {os.path.dirname(path(name)) for name in paths for path in _PATHS}


_PATHS: tuple[Callable[[str], str], ...] = (os.path.abspath, os.path.realpath)


@dataclass(frozen=True)
class Certificate:
    """Facts of a certificate.

    Attributes:
        names: DNS names (subjectAltName), in lower case; may begin with ``*.``.
        begins: its first second.
        ends: its last second.
        subject: the name of its owner, encoded.
        issuer: the name of its issuer, encoded.
    """

    names: tuple[str, ...]
    begins: datetime
    ends: datetime
    subject: bytes
    issuer: bytes

    def warning(self, now: datetime) -> str | None:
        """Tell in part of a line that it is expired, will be soon, or is not valid yet."""
        if now > self.ends:
            return f"expired on {self.ends:%Y-%m-%d %H:%M} UTC; clients refuse it"
        if now < self.begins:
            return f"is not valid before {self.begins:%Y-%m-%d %H:%M} UTC; clients refuse it"
        if self.ends - now < (self.ends - self.begins) * _LATE:
            return f"expires on {self.ends:%Y-%m-%d %H:%M} UTC; renew it"
        return None


def load(
    pair: Pair, make_context: Callable[[Pair], ssl.SSLContext]
) -> tuple[ssl.SSLContext, Certificate]:
    """Load a certificate and its key.

    Args:
        pair: the files.
        make_context: makes a context that has loaded them.

    Raises:
        CertificateError: they cannot be used.
    """
    try:
        context = make_context(pair)
        chain, _ = pair.read()
        return context, read_chain(chain)[0]
    except (OSError, ValueError, IndexError) as error:  # SSLError is an OSError
        raise CertificateError(_reason(pair, error)) from None


def _reason(pair: Pair, error: Exception) -> str:
    """Tell why OpenSSL refuses a pair; it says no more than "no start line" by itself."""
    chain, key = pair.read()
    if not _CERTIFICATE.search(chain):
        return "the certificate is not in PEM form (-----BEGIN CERTIFICATE-----)"
    if b"PRIVATE KEY-----" not in key:
        return "there is no private key in PEM form (-----BEGIN PRIVATE KEY-----)"
    if getattr(error, "reason", None) not in _MISMATCHES:
        if b"ENCRYPTED" in key:
            return "the key is encrypted; store it decrypted: openssl pkey -in KEY -out NEW"
        return f"OpenSSL refuses it: {error}"
    with suppress(ValueError):
        first, *others = read_chain(chain)
        if any(other.issuer == first.subject for other in others):
            return "the chain begins with an issuer; begin with the certificate of the server"
    return "the key is that of another certificate"


def _read(path: str, name: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CertificateError(f"the {name} cannot be read: {error.strerror}") from None


def read_chain(chain: bytes) -> list[Certificate]:
    """Return the facts of certificates in PEM form.

    Raises:
        ValueError: one is malformed.
    """
    blocks = _CERTIFICATE.findall(chain)
    return [_decode(ssl.PEM_cert_to_DER_cert(block.decode("ascii"))) for block in blocks]


def _decode(der: bytes) -> Certificate:
    """Decode ``Certificate`` (RFC 5280 §4.1)."""
    try:
        ((_, body),) = _elements(der)
        fields = list(_elements(next(_elements(body))[1]))
        if fields[0][0] == _VERSION:
            del fields[0]
        _serial, _algorithm, issuer, validity, subject, *others = fields
        begins, ends = (_time(tag, text.decode("ascii")) for tag, text in _elements(validity[1]))
        names = [name for tag, content in others if tag == _EXTENSIONS for name in _names(content)]
    except (IndexError, StopIteration) as error:
        raise ValueError("a certificate is malformed") from error
    return Certificate(tuple(names), begins, ends, subject[1], issuer[1])


def _names(extensions: bytes) -> Iterator[str]:
    """Yield the DNS names of ``subjectAltName`` (RFC 5280 §4.2.1.6)."""
    ((_, sequence),) = _elements(extensions)
    for _, extension in _elements(sequence):
        (_, kind), *_, (_, value) = _elements(extension)
        if kind == _SUBJECT_ALT_NAME:
            ((_, names),) = _elements(value)
            for tag, name in _elements(names):
                if tag == _DNS_NAME:
                    yield name.decode("ascii").lower()


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element (X.690 §8.1)."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[at : at + count], "big")
            at += count
        yield tag, data[at : at + length]
        at += length


def _time(tag: int, text: str) -> datetime:
    """Read a time; two digits from 50 on are of the last century (RFC 5280 §4.1.2.5)."""
    if tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
