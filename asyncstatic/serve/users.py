"""Users with passwords: hashes of argon2 or bcrypt, from a mapping or an htpasswd file.

A hash is slow on purpose (0.1 s, 64 MiB), so it is verified in a thread, few at a time, and its
result is cached under a keyed digest of the credentials: the next request costs a microsecond.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import cache
from math import inf
from typing import TypeAlias

from asyncstatic.files.bounded import BoundedDict
from asyncstatic.files.handle import identity_of
from asyncstatic.files.pool import PoolBusyError, Threads
from asyncstatic.files.root import absolute
from asyncstatic.files.source import logger
from asyncstatic.http.basic import Credentials, kind_of_hash, read_htpasswd
from asyncstatic.http.model import Identity
from asyncstatic.serve.reread import Reread
from asyncstatic.settings import SettingsError
from asyncstatic.settings.values import MissingPackageError, printable

#: Verifies a password by a hash.
Verifier: TypeAlias = Callable[[str, bytes], bool]

_THREADS = 2  # of the process; each verification takes the memory that its hash names
_MOST_WAITING = 32  # verifications of one root, the running ones included
_MOST_VERIFIED = 1024  # verified credentials
_RECHECK = 1.0  # seconds between two checks of the file
_LONGEST_BCRYPT = 72  # bytes of a password


class Users(Reread["Table"]):
    """The users of a root; a file is read again when it has changed.

    Args:
        named: the path of an htpasswd file, or a mapping of names to hashes.
        roots: the served directories, which must not hold the file.
        monotonic: the clock, in seconds.

    Raises:
        SettingsError: the file is missing or wrong, or a package is not installed.
    """

    def __init__(
        self,
        named: str | Mapping[str, str],
        roots: Iterable[str],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not isinstance(named, str):
            super().__init__(tuple, lambda: Table(named), "", recheck=inf)
            return
        path = absolute(named)
        refuse_below(path, roots)
        super().__init__(
            lambda: (_identity(path),),
            lambda: Table(_read(path)),
            "the users stay as they were",
            recheck=_RECHECK,
            monotonic=monotonic,
        )
        if not self.present.names_users():
            raise SettingsError(f"users {printable(path)}: it names no user")


class Table:
    """The users at one time, and the credentials that were verified by their hashes.

    Args:
        hashes: hash by name.

    Raises:
        SettingsError: the package that verifies a hash is not installed.
    """

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._verifiers = _verifiers(hashes.values())
        self._hashes = {name.encode("utf-8"): hash_ for name, hash_ in hashes.items()}
        self._decoys = list(hashes.values())
        self._key = secrets.token_bytes(32)
        self._verified: BoundedDict[bytes, None] = BoundedDict(_MOST_VERIFIED)
        self._running: dict[bytes, Future[bool]] = {}

    def names_users(self) -> bool:
        """Tell whether there is a user."""
        return bool(self._hashes)

    async def accepts(self, given: Credentials) -> bool:
        """Tell whether the password is that of the user.

        Equal credentials are verified once, however many requests bring them at the same time.

        Raises:
            PoolBusyError: too many others are being verified, or there is no memory or no thread.
        """
        if not self._hashes:
            return False
        text = given.name + b":" + given.password  # a name has no colon
        digest = hmac.digest(self._key, text, "sha256")
        if digest in self._verified:
            return True
        running = self._running.get(digest) or self._begin(digest, given)
        # Shielded, because other requests wait for the same result.
        matches = await asyncio.shield(asyncio.wrap_future(running))
        if matches and given.name in self._hashes:
            self._verified.put(digest, None)
            return True
        return False

    def _begin(self, digest: bytes, given: Credentials) -> Future[bool]:
        if len(self._running) >= _MOST_WAITING:
            raise PoolBusyError
        hash_ = self._hashes.get(given.name) or self._decoy(given.name)
        verify = self._verifiers[kind_of_hash(hash_)]
        running = _threads().submit(verify, hash_, given.password)
        self._running[digest] = running
        running.add_done_callback(lambda _: self._running.pop(digest, None))
        return running

    def _decoy(self, name: bytes) -> str:
        """Choose the hash of some user, always the same for one name.

        So a name without a user takes as long as one with a user, whatever kinds of hashes are used.
        """
        chosen = int.from_bytes(hmac.digest(self._key, name, "sha256")[:8], "big")
        return self._decoys[chosen % len(self._decoys)]


def password_hasher() -> Callable[[str], str]:
    """Return what makes argon2id hashes, with the parameters that its package recommends (RFC 9106).

    Raises:
        MissingPackageError: the package is not installed.
    """
    try:
        from argon2 import PasswordHasher
    except ImportError:
        raise MissingPackageError("a hash", "argon2-cffi", "auth") from None
    return PasswordHasher().hash


@cache
def _threads() -> Threads:
    """Return the threads of the process: more would take more memory, and no root needs its own."""
    return Threads(_THREADS, thread_name_prefix="asyncstatic-passwords")


def _verifiers(hashes: Iterable[str]) -> dict[str, Verifier]:
    """Import what verifies these hashes, now: a sandbox or a full disk may forbid it later."""
    try:
        return {kind: _MAKERS[kind]() for kind in set(map(kind_of_hash, hashes))}
    except ImportError as error:
        raise MissingPackageError("users", str(error.name), "auth") from None


def _argon2() -> Verifier:
    from argon2 import PasswordHasher
    from argon2.exceptions import VerificationError, VerifyMismatchError

    verify = PasswordHasher().verify

    def matches(hash_: str, password: bytes) -> bool:
        try:
            return verify(hash_, password)
        except VerifyMismatchError:
            return False
        except VerificationError as error:  # there is no memory, or the hash asks for too much
            logger.error("a password cannot be verified: %s", error)
            raise PoolBusyError from None

    return matches


def _bcrypt() -> Verifier:
    from bcrypt import checkpw

    def matches(hash_: str, password: bytes) -> bool:
        # Before its release 5 the package ignored the rest; since then it refuses.
        return len(password) <= _LONGEST_BCRYPT and checkpw(password, hash_.encode("ascii"))

    return matches


_MAKERS = {"argon2": _argon2, "bcrypt": _bcrypt}


def _identity(path: str) -> Identity:
    """Return the identity of the file.

    Raises:
        SettingsError: it is missing.
    """
    try:
        return identity_of(os.stat(path))
    except OSError as error:
        raise _unreadable(path, error) from None


def _read(path: str) -> Mapping[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            return read_htpasswd(file.read())
    except OSError as error:
        raise _unreadable(path, error) from None
    except UnicodeDecodeError:
        raise SettingsError(f"users {printable(path)}: it is not UTF-8") from None
    except ValueError as error:
        raise SettingsError(f"users {printable(path)}: {printable(str(error))}") from None


def _unreadable(path: str, error: OSError) -> SettingsError:
    """Return the error of a file that cannot be read.

    A name with a colon may be a user with a hash, so it is not shown.
    """
    name = "(not shown, because it has a colon)" if ":" in path else printable(path)
    return SettingsError(
        f"users {name}: {error.strerror}; name an htpasswd file, or a mapping of names to hashes"
    )


def refuse_below(path: str, roots: Iterable[str]) -> None:
    """Refuse a file of users that a root may serve.

    Raises:
        SettingsError: it is below one of them.
    """
    real = os.path.realpath(path)
    for root in roots:
        if real.startswith(os.path.join(os.path.realpath(root), "")):
            raise SettingsError(
                f"users {printable(path)}: it is below the root {printable(root)}, where clients may "
                "read it; move it out"
            )
