"""Access to a root: networks, a rate for each client, and users with passwords.

The checks come before everything else that a root does with a request, in this order. So a refusal
is the same for every name, and tells nothing about the files.
"""

from __future__ import annotations

import math
from typing import Any

from asyncstatic.files.pool import PoolBusyError
from asyncstatic.http.access import Rate, rate_of
from asyncstatic.http.addresses import Address, Networks, bucket_of, canonical_ip
from asyncstatic.http.basic import challenge, read_credentials
from asyncstatic.http.model import RawFields, Request, ResponsePlan
from asyncstatic.http.pages import error_page
from asyncstatic.serve.scope import Scope
from asyncstatic.serve.users import Users
from asyncstatic.settings import Settings
from asyncstatic.settings.values import MissingPackageError

_CLIENTS = 16_384  # whose rates are stored; about 5 MB


def access_of(settings: Settings) -> Access | None:
    """Return the checks of a root; None if every client may read it as often as it likes.

    Raises:
        SettingsError: the users cannot be read, or a package is not installed.
    """
    named = settings.allow_from or settings.deny_from or settings.rate_limit
    return Access(settings) if named or settings.users is not None else None


class Access:
    """The checks of one root.

    Args:
        settings: of the root; checked already.

    Raises:
        SettingsError: as `access_of`.

    Attributes:
        private: answers are for some clients only, so that no shared cache may keep them.
    """

    def __init__(self, settings: Settings) -> None:
        users, rate = settings.users, rate_of(settings.rate_limit)
        self._users = None if users is None else Users(users, settings.roots)
        self._rate = None if rate is None else RateLimit(rate)
        self._allowed = Networks(settings.allow_from) if settings.allow_from else None
        self._denied = Networks(settings.deny_from) if settings.deny_from else None
        self._challenge = challenge(settings.realm)
        self._forbidden = 404 if settings.hide_forbidden else 403
        self._origins = settings.cors
        networks = self._allowed is not None or self._denied is not None
        self.private = self._users is not None or networks

    async def refusal(self, request: Request, scope: Scope) -> ResponsePlan | None:
        """Return the answer that refuses a request; None when it may go on.

        OPTIONS needs no credentials and takes nothing from the rate: a preflight has no credentials
        (Fetch standard), and its answer is the same for every name. The rate is about the method in
        the scope: a middleware asks on behalf of a preflight whether a GET would be answered.
        """
        client = _client(scope)
        if not self._is_within(client):
            return error_page(request, self._forbidden, self._origins)
        if request.method == "OPTIONS":
            return None
        if self._rate is not None and scope["method"] != "OPTIONS":
            wait = self._rate.wait(client)
            if wait:
                return self._later(request, 429, wait)
        return await self._unknown_user(request, scope)

    def _is_within(self, client: Address | None) -> bool:
        """Tell whether the networks let a client in; one with an unreadable address never is."""
        if self._denied is not None:
            readable = client is None or canonical_ip(client[0].partition("%")[0])
            if not readable or self._denied.contain(client):
                return False
        return self._allowed is None or self._allowed.contain(client)

    async def _unknown_user(self, request: Request, scope: Scope) -> ResponsePlan | None:
        if self._users is None:
            return None
        given = read_credentials(scope["headers"])
        if given is not None:
            users = await self._users.renewed()
            try:
                if await users.accepts(given):
                    return None
            except PoolBusyError:
                return self._later(request, 503, 1)
        return error_page(request, 401, self._origins, (self._challenge,))

    def _later(self, request: Request, status: int, seconds: int) -> ResponsePlan:
        fields: RawFields = ((b"retry-after", b"%d" % seconds),)
        return error_page(request, status, self._origins, fields)


class RateLimit:
    """A rate for each client, by the generic cell rate algorithm (GCRA) of throttled-py.

    The rates of the clients that asked last are stored, up to a fixed number.

    Args:
        rate: requests in a time, and how many may come at once.

    Raises:
        MissingPackageError: the package is not installed.
    """

    def __init__(self, rate: Rate) -> None:
        try:
            from datetime import timedelta

            from throttled import MemoryStore, RateLimiterType, Throttled
            from throttled.rate_limiter import per_duration
        except ImportError:
            raise MissingPackageError("rate_limit", "throttled-py", "rate") from None
        quota = per_duration(timedelta(seconds=rate.seconds), rate.count, burst=rate.burst)
        store = MemoryStore(options={"MAX_SIZE": _CLIENTS})
        self._limiter: Any = Throttled(using=RateLimiterType.GCRA.value, quota=quota, store=store)

    def wait(self, client: Address | None) -> int:
        """Count a request; return 0, or the whole seconds after which the client may ask again."""
        result = self._limiter.limit(bucket_of(client))
        return max(1, math.ceil(result.state.retry_after)) if result.limited else 0


def _client(scope: Scope) -> Address | None:
    """Return the client as ASGI names it: one without an address is on a Unix socket."""
    client = scope.get("client")
    return (str(client[0]), 0) if client else None
