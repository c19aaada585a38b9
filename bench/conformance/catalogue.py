"""All rows, in the order of the RFCs, and the features a server is first asked about."""

from __future__ import annotations

from collections.abc import Callable

from bench.conformance.checks_connection import CONNECTION, announces_close
from bench.conformance.checks_everywhere import EVERYWHERE
from bench.conformance.checks_methods import METHODS
from bench.conformance.checks_negotiation import NEGOTIATION
from bench.conformance.checks_preconditions import PRECONDITIONS
from bench.conformance.checks_ranges import RANGE_REQUESTS
from bench.conformance.checks_representations import REPRESENTATIONS
from bench.conformance.checks_targets import TARGETS
from bench.conformance.exchange import Client, Http1Client, octets
from bench.conformance.messages import Feature, NotOffered, Unanswered, ask

# EVERYWHERE stays last: it judges what the others received.
GROUPS = (
    METHODS,
    REPRESENTATIONS,
    NEGOTIATION,
    PRECONDITIONS,
    RANGE_REQUESTS,
    TARGETS,
    CONNECTION,
    EVERYWHERE,
)
FILE = "/plain.txt"


def features(client: Client) -> frozenset[Feature]:
    """Ask a server what it offers."""
    return frozenset(feature for feature, offers in _PROBES.items() if _tries(offers, client))


def _tries(offers: Callable[[Client], bool], client: Client) -> bool:
    try:
        return offers(client)
    except (NotOffered, Unanswered):
        return False


def _ranges(client: Client) -> bool:
    return client.send(ask(FILE, range="bytes=0-99")).status == 206


def _multipart(client: Client) -> bool:
    answer = client.send(ask(FILE, range="bytes=0-9,1000-1009"))
    return (answer.get("Content-Type") or "").startswith("multipart/byteranges")


def _codings(client: Client) -> bool:
    return bool(client.send(ask("/app.js", accept_encoding="gzip, br")).get("Content-Encoding"))


def _index(client: Client) -> bool:
    return client.send(ask("/dir/")).status == 200


def _modified_since(client: Client) -> bool:
    return client.send(ask(FILE, if_modified_since="{date}")).status == 304


def _persistence(client: Client) -> bool:
    if not isinstance(client, Http1Client):
        return True
    with client.wire() as wire:
        wire.send(octets(ask(FILE)))
        return not announces_close(wire.answer())


_PROBES = {
    Feature.RANGES: _ranges,
    Feature.MULTIPART: _multipart,
    Feature.CODINGS: _codings,
    Feature.INDEX: _index,
    Feature.MODIFIED_SINCE: _modified_since,
    Feature.PERSISTENCE: _persistence,
}
