"""Cut transfers: the content cannot be finished, and the client must be able to notice.

Each is reported in one line of our own log, which names the file and how much was sent. An ASGI app
can make its server close a connection only by raising an exception. The server then logs a
traceback, as if the app had a bug. So records about `TransferAborted` are dropped from the logs of
Hypercorn and Uvicorn; our line says more.
"""

from __future__ import annotations

import logging

from asyncstatic.files.pool import PoolBusyError
from asyncstatic.files.source import Opened, logger
from asyncstatic.http.model import ResponsePlan

_REASONS: dict[type[Exception], str] = {
    PoolBusyError: "the disk did not answer in time",
    TimeoutError: "the client read nothing until its deadline",
}
_SERVER_LOGS = ("hypercorn.error", "uvicorn.error")


class TransferAborted(Exception):  # noqa: N818 - it names what happened, and is no error of ours
    """The content cannot be finished; the connection must not end cleanly."""


def report_cut(plan: ResponsePlan, opened: Opened | None, sent: int, error: Exception) -> str:
    """Log that a transfer ends too early, and return the reason; the caller raises TransferAborted.

    A client that reads nothing until its deadline has caused that itself: it is not a warning.

    Args:
        plan: the response.
        opened: the representation.
        sent: bytes of content that were sent, or wait to be sent.
        error: the error that ended the transfer.
    """
    name = "/".join(("", *opened.representation.segments)) if opened is not None else "a response"
    length = "an unknown number of" if plan.length is None else plan.length
    reason = str(error) or _REASONS.get(type(error), type(error).__name__)
    level = logging.INFO if isinstance(error, TimeoutError) else logging.WARNING
    logger.log(level, "cut %a after %d of %s bytes: %s", name, sent, length, reason)
    for log in map(logging.getLogger, _SERVER_LOGS):
        log.addFilter(_without_reported)  # every time, because a new configuration may drop it
    return reason


def _without_reported(record: logging.LogRecord) -> bool:
    """Drop a record about a transfer that was reported."""
    return not (record.exc_info and _is_reported(record.exc_info[1]))


def _is_reported(error: BaseException | None) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_reported, error.exceptions))
    return isinstance(error, TransferAborted)
