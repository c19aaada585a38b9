"""HTTP dates (RFC 9110 §5.6.7).

    IMF-fixdate  = day-name "," SP 2DIGIT SP month SP 4DIGIT SP time-of-day SP GMT
    rfc850-date  = day-name-l "," SP 2DIGIT "-" month "-" 2DIGIT SP time-of-day SP GMT
    asctime-date = day-name SP month SP ( 2DIGIT / ( SP 1DIGIT ) ) SP time-of-day SP 4DIGIT

The parser is case-sensitive and exact. A date with an error is ignored: that costs the client at
most a second copy of the content.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_DAY_NAME = f"(?P<day_name>{'|'.join(_DAYS)})"
_DAY_NAME_L = "(?P<day_name>Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = "(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
_HTTP_DATES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_DAY_NAME}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"{_DAY_NAME_L}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"{_DAY_NAME} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
_EPOCH: Final = date(1970, 1, 1).toordinal()

# Fri, 31 Dec 9999 23:59:59 GMT
LAST_HTTP_DATE: Final = 253402300799


def parse_http_date(value: str | None, *, now: int) -> int | None:
    """Parse an HTTP-date in any of its three formats to POSIX seconds.

    A date whose day name is wrong is unusable: nothing tells which of the two is meant. A client
    that repeats our Last-Modified never sends one. A leap second (``:60``) is the second after it,
    as in POSIX.

    Args:
        value: the field value; None when absent.
        now: POSIX seconds; the century of a two-digit year follows from it.
    """
    stripped = (value or "").strip(" \t")
    for pattern in _HTTP_DATES:
        if match := pattern.fullmatch(stripped):
            return _posix_seconds(match, now)
    return None


def _posix_seconds(match: re.Match[str], now: int) -> int | None:
    year, month, day = match["year"], _MONTHS.index(match["month"]) + 1, int(match["day"])
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    rest = (month, day, hour, minute, second)
    try:
        found = date(int(year) if len(year) == 4 else _full_year(int(year), rest, now), month, day)
    except ValueError:  # 31 April, year 0
        return None
    if not match["day_name"].startswith(_DAYS[found.weekday()]):
        return None
    return ((found.toordinal() - _EPOCH) * 24 + hour) * 3600 + minute * 60 + second


def _full_year(two_digits: int, rest: tuple[int, ...], now: int) -> int:
    """Return this century's year, or the last century's when more than 50 years ahead (§5.6.7)."""
    today = datetime.fromtimestamp(now, UTC)
    year = today.year - today.year % 100 + two_digits
    is_far_ahead = (year - 50, *rest) > today.timetuple()[:6]
    return year - 100 if is_far_ahead else year


@lru_cache(maxsize=1024)
def http_date(seconds: int) -> str:
    """Format POSIX seconds as an IMF-fixdate, the only format a sender may generate.

    Raises:
        ValueError: before 1970 or after `LAST_HTTP_DATE`. A file's mtime can be there: check it
            before you format it.
    """
    if not 0 <= seconds <= LAST_HTTP_DATE:
        raise ValueError(f"not between 1970 and 9999: {seconds}")
    days, time = divmod(seconds, 86400)
    day = date.fromordinal(_EPOCH + days)
    return (
        f"{_DAYS[day.weekday()]}, {day.day:02} {_MONTHS[day.month - 1]} {day.year} "
        f"{time // 3600:02}:{time // 60 % 60:02}:{time % 60:02} GMT"
    )
