"""The direct entry of one worker: everything that its connections share."""

from __future__ import annotations

from asyncstatic.http.model import ResponsePlan
from asyncstatic.http.pages import page
from asyncstatic.serve.answer import Answer
from asyncstatic.serve.direct.admission import Admission
from asyncstatic.serve.direct.mounts import Mount, answered
from asyncstatic.serve.direct.registry import Registry
from asyncstatic.serve.direct.response import HeadEnd, head_of
from asyncstatic.serve.direct.server import FullServer
from asyncstatic.serve.middleware import may_be_of_app
from asyncstatic.serve.portable import in_memory
from asyncstatic.settings import Limits

#: The answer to one connection too many.
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\n"
    b"cache-control: no-store\r\nconnection: close\r\n\r\n"
)


class DirectEntry:
    """Shared by all connections of one worker.

    Args:
        mounts: the roots, in the order in which they are asked; without one everything is
            handed over.
        server: the full server behind.
        direct: False hands everything over; only `send_timeout` of the roots counts then.

    Attributes:
        admission: decides about requests; None where everything is handed over.
        registry: the open connections.
        head_end: the end of every response head.
        send_timeout: seconds that a client may take without taking any content.
    """

    def __init__(self, mounts: list[Mount], server: FullServer, *, direct: bool = True) -> None:
        self.server = server
        self.terms = server.terms
        self.observes = server.observes
        ours = answered(mounts) if direct else []
        self.admission = Admission(ours, server.terms) if ours else None
        self.registry = Registry()
        self.head_end = HeadEnd(server.fields)
        self.keep_alive_requests = server.terms.keep_alive_requests
        limits = [mount.static.settings.limits for mount in mounts] or [Limits()]
        self.send_timeout = max(each.send_timeout for each in limits)
        self._mounts = mounts

    def is_full(self) -> bool:
        """Tell whether as many connections are open as may be."""
        return self.server.is_full(len(self.registry.connections))

    def is_crowded(self) -> bool:
        """Tell the same of all connections, with those that only begin."""
        return self.server.is_full(len(self.registry.connections) + len(self.registry.beginning))

    def answers(self, mount: Mount, answer: Answer) -> bool:
        """Tell whether the direct entry sends an answer.

        It leaves to the app what the app may have, and to the full server content whose length is
        not known. A redirect to a path names the whole path of the client, with the prefix that a
        proxy removed: only the full server reads that.
        """
        if answer.plan.length is None or (may_be_of_app(answer) and mount.passes_on()):
            return False
        return not (self.terms.trusts_proxies and _names_path(answer.plan))

    def retire(self) -> None:
        """Close each connection after its next response."""
        self.keep_alive_requests = 0

    def close(self) -> None:
        """Begin a graceful shutdown."""
        self.retire()
        self.registry.close()
        if self.admission is not None:
            self.admission.close()

    def refusal_of(self, data: bytes) -> bytes | None:
        """Return the 414 for a request line without an end, where a root answers all paths.

        Full servers would say that the header fields are too large (RFC 9112 §3).
        """
        limit = self.terms.head_bytes
        _, space, rest = data[: limit + 1].partition(b" ")
        whole = next((mount for mount in self._mounts if not mount.prefix), None)
        if not space or b"\n" in rest or len(data) <= limit or whole is None or whole.passes_on():
            return None
        plan = page(414, None)
        end = b"connection: close\r\n" + self.head_end()
        return head_of(plan) + end + (in_memory(plan, None) or b"")


def _names_path(plan: ResponsePlan) -> bool:
    """Tell whether a plan redirects to a path that begins with "/"."""
    return any(name == b"location" and value[:1] == b"/" for name, value in plan.fields)
