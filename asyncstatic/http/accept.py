"""Content negotiation: Accept-Encoding and Accept (RFC 9110 §12).

    weight = OWS ";" OWS "q=" qvalue
    qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )

Weights are integers in thousandths: 1000 is ``q=1``, 1 the least that is still acceptable,
0 is not acceptable. Only the malformed member is ignored, not the field: one odd extension must
not switch off compression. An ignored coding is never sent, so no client gets content that it
cannot decode.
"""

import re
from collections.abc import Iterable
from typing import Final

from asyncstatic.http.abnf import OWS, QUOTED_STRING, TOKEN, cached, members, unquote

_QVALUE = r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?"
_CODING = re.compile(
    rf"(?:^|,){OWS}({TOKEN})(?:{OWS};{OWS}[qQ]=({_QVALUE}))?+{OWS}(?=,|\Z)",
)
_IS_QVALUE = re.compile(_QVALUE)
_PARAMETER = rf"({TOKEN})=({TOKEN}|{QUOTED_STRING})"
_PARAMETERS = re.compile(_PARAMETER)
_MEDIA_RANGE = re.compile(
    rf"({TOKEN}/{TOKEN})((?:{OWS};{OWS}(?:{TOKEN}=(?:{TOKEN}|{QUOTED_STRING}))?+)*+)"
)

# A recipient SHOULD consider them equivalent (§8.4.1.1, §8.4.1.3).
_ALIASES: Final = {"x-gzip": "gzip", "x-compress": "compress"}


def coding_weights(accept_encoding: str) -> dict[str, int]:
    """Parse an Accept-Encoding field: codings in lower case with their weights (§12.5.3).

    For a coding named twice, the last weight counts. Every value has a meaning; an empty one asks
    for no content-coding at all.
    """
    found = _CODING.finditer(accept_encoding)
    return {canonical_coding(match[1]): _thousandths(match[2]) for match in found}


def coding_quality(weights: dict[str, int], coding: str) -> int:
    """Return the weight of a coding in thousandths; 0: not acceptable.

    ``identity`` is acceptable unless excluded by ``identity;q=0``, or by ``*;q=0`` when it is not
    mentioned itself. The RFC gives it no weight then; it gets the least there is, 1.

    Args:
        weights: the result of `coding_weights`.
        coding: in lower case.
    """
    if coding in weights:
        return weights[coding]
    return min(weights.get("*", 1), 1) if coding == "identity" else weights.get("*", 0)


def coding_tiers(weights: dict[str, int], available: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Group the acceptable ones of `available`, and identity, by descending weight.

    Within a tier the client has no preference: the server takes the smallest. If the client does
    not mention identity, identity is a tier of its own at the end, even after ``br;q=0.001`` and
    even under ``*``: a client that names a coding wants it rather than none, and a client that
    prefers plain content can say so with ``identity;q=1``.

    Returns:
        The tiers, best first; none when the client excludes identity and everything available.
    """
    tiers: dict[int, list[str]] = {}
    for coding in dict.fromkeys((*available, "identity")):
        if quality := coding_quality(weights, coding):
            mentioned = coding != "identity" or coding in weights
            tiers.setdefault(quality if mentioned else 0, []).append(coding)
    return tuple(tuple(tiers[quality]) for quality in sorted(tiers, reverse=True))


def canonical_coding(coding: str) -> str:
    """Return the one name of a content-coding, in lower case: "gzip" for "X-GZIP"."""
    coding = coding.lower()
    return _ALIASES.get(coding, coding)


def _thousandths(qvalue: str | None) -> int:
    """Convert without floats: ``0.29`` is 290, not 289."""
    if qvalue is None:
        return 1000
    whole, _, fraction = qvalue.partition(".")
    return int(whole + fraction.ljust(3, "0"))


def media_ranges(accept: str) -> dict[str, int]:
    """Parse an Accept field: media ranges in lower case with their weights (§12.5.1).

    A media range with parameters of its own asks for a variant this server does not have and is
    ignored, except for ``charset``: error pages are UTF-8 whatever the client lists.
    """
    ranges = {}
    for member in members(accept):
        if match := _MEDIA_RANGE.fullmatch(member):
            parameters = _PARAMETERS.findall(match[2])
            named = {name.lower(): unquote(text) for name, text in parameters}
            qvalue = named.pop("q", "1")
            if named.keys() <= {"charset"} and _IS_QVALUE.fullmatch(qvalue):
                ranges[match[1].lower()] = _thousandths(qvalue)
    return ranges


def media_quality(ranges: dict[str, int], media_type: str) -> int:
    """Return the weight of a media type in thousandths; 0: not acceptable (§12.5.1).

    The most specific media range decides: ``text/html`` before ``text/*`` before ``*/*``.

    Args:
        ranges: the result of `media_ranges`. Without a usable member the field states no
            preference: every type has the weight 1000.
        media_type: ``type/subtype`` in lower case, without parameters.
    """
    if not ranges:
        return 1000
    main_type = media_type.partition("/")[0]
    candidates = (media_type, f"{main_type}/*", "*/*")
    return next((ranges[candidate] for candidate in candidates if candidate in ranges), 0)


@cached
def prefers_html(accept: str) -> bool:
    """Tell whether to answer in HTML rather than in plain text.

    Browsers name ``text/html``. ``*/*`` comes from a program or a terminal (curl, fetch()): those
    get plain text.
    """
    ranges = media_ranges(accept)
    html, plain = media_quality(ranges, "text/html"), media_quality(ranges, "text/plain")
    return html > plain or (html == plain > 0 and "text/html" in ranges)
