"""Signed URLs: everyone who has the link may read one file, until the link expires.

The signature covers the root's name (`salt`), the path below the root and the time of expiry. So no
part can be changed, and a signature is not valid for another file or another root. Signing uses
itsdangerous (HMAC, constant-time comparison): ``pip install 'asyncstatic[sign]'``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl, quote

from asyncstatic.serve.scope import Scope
from asyncstatic.settings import SettingsError
from asyncstatic.settings.values import MissingPackageError

if TYPE_CHECKING:
    from itsdangerous import Signer

Keys: TypeAlias = str | bytes | Sequence[str] | Sequence[bytes]

_FORBIDDEN, _GONE = 403, 410
_LONGEST_TIME = 11  # digits of POSIX seconds: until the year 5138
_MOST_FIELDS = 64  # of a query; trackers add a few to ours
_LEAST_KEY = 16  # bytes; a shorter key can be guessed


class SignedURLs:
    """Signs URLs of one root, and verifies them: the root's ``authorize=`` hook.

    ::

        links = SignedURLs(app.secret_key, prefix="/media")
        media = StaticFiles("media", authorize=links)
        links.sign("reports/2026.pdf", expires_in=3600)

    Args:
        key: the secret; for rotation a list: the last signs, all verify.
        prefix: the path that the root is mounted at, as clients see it.
        salt: a name for this root's links. Roots that share a key and differ in salt do not accept
            each other's links.

    Raises:
        SettingsError: the key is missing or too short, or itsdangerous is not installed.
    """

    def __init__(self, key: Keys, *, prefix: str = "", salt: str = "asyncstatic") -> None:
        self._signer = _signer(key, salt)
        self._prefix = prefix.rstrip("/")

    def sign(self, path: str, *, expires_in: float | timedelta) -> str:
        """Return a URL for `path`, as a path with a query.

        Args:
            path: the path below the root: decoded, in the one spelling that the root serves.
            expires_in: seconds from now.
        """
        seconds = expires_in.total_seconds() if isinstance(expires_in, timedelta) else expires_in
        expires = max(0, int(time.time() + seconds))
        path = "/" + path.lstrip("/")
        signature = self._signer.get_signature(_signed(path, str(expires))).decode("ascii")
        return f"{quote(self._prefix + path)}?expires={expires}&signature={signature}"

    def __call__(self, scope: Scope, path: str) -> bool | int:
        """Judge a request: True, 403 without a valid signature, 410 once it has expired."""
        given = _fields(scope.get("query_string", b""))
        expires = [value for name, value in given if name == "expires"]
        signatures = [value for name, value in given if name == "signature"]
        if len(expires) != 1 or len(signatures) != 1 or not _is_time(expires[0]):
            return _FORBIDDEN
        # The signature is checked first: without a valid one, the expiry is not revealed.
        signature = signatures[0].encode("utf-8")
        if not self._signer.verify_signature(_signed(path, expires[0]), signature):
            return _FORBIDDEN
        return True if time.time() < int(expires[0]) else _GONE


def sign_url(
    path: str,
    key: Keys,
    *,
    expires_in: float | timedelta,
    prefix: str = "",
    salt: str = "asyncstatic",
) -> str:
    """Sign one URL; see `SignedURLs`, which also verifies it."""
    return SignedURLs(key, prefix=prefix, salt=salt).sign(path, expires_in=expires_in)


def _signer(key: Keys, salt: str) -> Signer:
    try:
        from itsdangerous import Signer
    except ImportError:
        raise MissingPackageError("a signed URL", "itsdangerous", "sign") from None
    single = [key] if isinstance(key, str | bytes) else key
    keys = [one.encode() if isinstance(one, str) else one for one in single]
    if not keys or any(len(one) < _LEAST_KEY for one in keys):
        raise SettingsError(f"a key of at least {_LEAST_KEY} random characters is needed")
    return Signer(keys, salt=f"asyncstatic.url.{salt}")


def _fields(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.decode("latin-1"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        return []


def _is_time(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_TIME


def _signed(path: str, expires: str) -> bytes:
    """Return the bytes to sign. The digits come first and end at a space, so each pair is unique."""
    return f"{expires} {path}".encode("utf-8", "surrogatepass")
