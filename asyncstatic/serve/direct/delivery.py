"""How a response leaves: in one write, without a copy, or by a transfer that takes longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

from asyncstatic.files.source import Opened
from asyncstatic.serve.direct.outlet import Outlet, joined
from asyncstatic.serve.direct.response import Content, Contents, KnownResponse
from asyncstatic.serve.direct.transfer import Client, Transfer

_READ_AT_ONCE = 64 * 1024  # octets of a file, up to which one write costs less than several calls


class Reply(NamedTuple):
    """A response on its way to one client.

    Attributes:
        known: what is sent.
        opened: what its content is of, if it is of a file; closed when all has left.
        ending: how its head ends.
        again: it was sent before.
    """

    known: KnownResponse
    opened: Opened | None
    ending: bytes
    again: bool = False

    @property
    def head(self) -> bytes:
        """All of the head."""
        return self.known.head + self.ending

    def close(self) -> None:
        """Close the file, if there is one; harmless when it is."""
        if self.opened is not None:
            self.opened.close()


def deliver(
    client: Client, outlet: Outlet, contents: Contents, reply: Reply, then: Callable[[], None]
) -> Transfer | None:
    """Send a response, or begin to.

    Args:
        client: where to.
        outlet: the client's.
        contents: where content is kept that is sent again.
        reply: what; its file is closed in the end, whatever happens.
        then: for the client, when a transfer has ended.

    Returns:
        None when all has left, or waits in the transport; else what goes on.

    Raises:
        ContentChangedError, OSError: as `Transfer`; what was sent must not end cleanly.
    """
    try:
        content = _content(contents, reply, past=outlet.may_pass)
        if content is None:
            return _begin(client, outlet, contents, reply, then)
        outlet.write(joined(reply.head, content))
    except BaseException:
        reply.close()
        raise
    reply.close()
    return None


def _content(contents: Contents, reply: Reply, *, past: bool) -> Content | None:
    """The content, unless it is octets of a file that the kernel had better send by itself."""
    known, opened, _, again = reply
    if known.content is not None or opened is None:
        return known.content
    if past and (known.plan.length or 0) > _READ_AT_ONCE:
        return None
    return contents.excerpt(known, opened, again=again, past=past)


def _begin(
    client: Client, outlet: Outlet, contents: Contents, reply: Reply, then: Callable[[], None]
) -> Transfer | None:
    """Send of a file what the socket takes at once, and the rest at the client's pace."""
    known, opened = reply.known, cast("Opened", reply.opened)
    tail = contents.tail(known, opened) if reply.again and outlet.may_pass else None
    transfer = Transfer(client, opened, reply.head, known.plan, tail, then)
    return None if transfer.begin(outlet) else transfer
