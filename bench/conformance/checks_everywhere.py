"""Rules for every answer, judged over all that the other rows received."""

from __future__ import annotations

from collections.abc import Callable

from bench.conformance.check import MUST, SHOULD, Check, Drive, Group
from bench.conformance.checks_representations import IMF_FIXDATE
from bench.conformance.exchange import Client
from bench.conformance.findings import RIGHT, Finding, fails
from bench.conformance.messages import Answer

_DATES = ("Date", "Last-Modified", "Expires")


def every(complaint: Callable[[Answer], str | None]) -> Drive:
    """Report the first answer that gives rise to a complaint, and how many did."""

    def drive(client: Client) -> Finding:
        found = [(asked, said) for asked, answer in client.log if (said := complaint(answer))]
        if not found:
            return RIGHT
        asked, said = found[0]
        return fails(f"{said} in {len(found)} of {len(client.log)} answers, first: {asked[:80]}")

    return drive


def _framing(answer: Answer) -> str | None:
    return answer.faults[0] if answer.faults else None


def _dated(answer: Answer) -> str | None:
    missing = 200 <= answer.status < 500 and not answer.get("Date")
    return f"no Date on {answer.status}" if missing else None


def _date_format(answer: Answer) -> str | None:
    values = (value for name in _DATES for value in answer.values(name))
    return next((value for value in values if not IMF_FIXDATE.match(value) and value != "0"), None)


def _two_framings(answer: Answer) -> str | None:
    both = answer.get("Transfer-Encoding") and answer.get("Content-Length")
    return "Content-Length and Transfer-Encoding" if both else None


def _no_content(answer: Answer) -> str | None:
    if answer.status != 204:
        return None
    named = [name for name in ("Content-Length", "Transfer-Encoding") if answer.get(name)]
    return f"{answer.status} with {named[0]}" if named else None


def _typed(answer: Answer) -> str | None:
    # A file's type may be unknown to the server; that of its own pages is not.
    untyped = answer.status >= 300 and answer.content and not answer.get("Content-Type")
    return f"{answer.status} with content of no type" if untyped else None


def _failed(answer: Answer) -> str | None:
    confessed = answer.status >= 500 and answer.status not in (501, 505)
    return f"{answer.status}" if confessed else None


def _repeated(answer: Answer) -> str | None:
    """Fields that are not lists may not be sent twice (9110 §5.3)."""
    single = ("Content-Length", "Content-Type", "Date", "ETag", "Last-Modified", "Location")
    return next((f"{name} twice" for name in single if len(answer.values(name)) > 1), None)


# fmt: off
EVERYWHERE = Group("Every answer", "9110, 9112", (
    Check("framing", "9112 §6.3", MUST, "Ends where its framing says, all lines CRLF",
        every(_framing)),
    Check("two-framings", "9112 §6.2", MUST, "Never both Content-Length and Transfer-Encoding",
        every(_two_framings)),
    Check("no-content", "9110 §8.6", MUST, "204 has neither", every(_no_content)),
    Check("dated", "9110 §6.6.1", MUST, "2xx, 3xx and 4xx carry Date", every(_dated)),
    Check("date-format", "9110 §5.6.7", MUST, "Dates are IMF-fixdates", every(_date_format)),
    Check("single-fields", "9110 §5.3", MUST, "No field that is not a list is sent twice",
        every(_repeated)),
    Check("typed", "9110 §8.3", SHOULD, "Content of the server's own making has a Content-Type",
        every(_typed)),
    Check("never-fails", "9110 §15.6", SHOULD, "No 5xx for anything asked here", every(_failed)),
))
# fmt: on
