"""Whom a server believes about the client of a request: X-Forwarded-* and Forwarded (RFC 7239)."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.addresses import Address, Networks, canonical_ip
from asyncstatic.http.forwarded import NOTHING_STATED, UNKNOWN_CLIENT, Forwarded, read_forwarded

#: The proxies of the tables: ours at 10.0.0.1, others of 10/8 and fd00::/8, and a Unix socket.
TRUSTED = Networks(["10.0.0.0/8", "fd00::/8", "unix"])
PROXY: Address = ("10.0.0.1", 40000)

FOR, PROTO, HOST, PREFIX = (
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Prefix",
)
V4, V6 = ("192.0.2.7", 0), ("2001:db8::7", 0)


def read(
    *fields: tuple[str, str], peer: Address | None = PROXY, trusted: Networks = TRUSTED
) -> Forwarded:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
    return read_forwarded(peer, headers, trusted)


# -- the client's address ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("192.0.2.7", V4),
        ("192.0.2.7:8123", ("192.0.2.7", 8123)),
        ("2001:db8::7", V6),
        ("2001:DB8:0::7", V6),
        ("[2001:db8::7]", V6),
        ("[2001:db8::7]:8123", ("2001:db8::7", 8123)),
        ("::ffff:192.0.2.7", V4),
        ("  192.0.2.7\t", V4),
        ("192.0.2.7,", V4),
        # the list is read from its end, as far as proxies are trusted
        ("203.0.113.9, 192.0.2.7", V4),
        ("203.0.113.9, 192.0.2.7, 10.1.1.1", V4),
        ("203.0.113.9, 192.0.2.7, fd00::1, 10.1.1.1", V4),
        ("192.0.2.7, ::ffff:10.1.1.1", V4),
        ("10.2.2.2, 10.1.1.1", ("10.2.2.2", 0)),
        ("10.1.1.1", ("10.1.1.1", 0)),
        # a malformed address ends the reading
        ("", None),
        ("nonsense", None),
        ("192.0.2.7, nonsense", None),
        ("192.0.2.7, nonsense, 10.1.1.1", ("10.1.1.1", 0)),
        ("192.0.2.7, unknown, 10.1.1.1", ("10.1.1.1", 0)),
        ("192.0.2.7, _hidden, 10.1.1.1", ("10.1.1.1", 0)),
        ("192.0.2.7.", None),
        ("192.0.2.256", None),
        ("192.0.02.7", None),
        ("192.0.2.7:99999", None),
        ("192.0.2.7:", None),
        ("[192.0.2.7]", None),
        ("fe80::1%eth0", None),
        ("1::2::3", None),
        ('"192.0.2.7"', None),
        ("192.0.2.7\x00", None),
        ("192.0.2.7 10.1.1.1", None),
        ("\u00b9\u00b2.0.2.7", None),
    ],
)
def test_the_client_is_the_first_address_from_the_end_that_is_no_trusted_proxy(
    value: str, client: Address | None
) -> None:
    assert read((FOR, value)).client == client


def test_several_lines_of_a_field_are_one_list() -> None:
    assert read((FOR, "203.0.113.9"), ("x-forwarded-for", "192.0.2.7, 10.1.1.1")).client == V4


def test_a_chain_ends_after_thirty_two_hops() -> None:
    chain = ", ".join(["192.0.2.7"] + [f"10.9.9.{number}" for number in range(40, 0, -1)])
    assert read((FOR, chain)).client == ("10.9.9.32", 0)


# -- Forwarded (RFC 7239) ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("for=192.0.2.7", Forwarded(V4)),
        ("For=192.0.2.7;Proto=HTTPS", Forwarded(V4, "https")),
        ('for="192.0.2.7:8123"', Forwarded(("192.0.2.7", 8123))),
        ('for="[2001:db8::7]"', Forwarded(V6)),
        ('for="[2001:db8::7]:8123"', Forwarded(("2001:db8::7", 8123))),
        ('for="[2001:db8::7]:_port"', Forwarded(V6)),
        (r'for="192.0.2.\7"', Forwarded(V4)),
        ("for=192.0.2.7;by=203.0.113.1;proto=https;host=a.example", Forwarded(V4, "https", "a.example")),
        ('for=192.0.2.7;host="a.example:8443"', Forwarded(V4, None, "a.example:8443")),
        ("for=192.0.2.7; proto=https ;host=a.example", Forwarded(V4, "https", "a.example")),
        ("proto=https", Forwarded(None, "https")),
        ("for=unknown;proto=https", Forwarded(None, "https")),
        ("for=_hidden;proto=https", Forwarded(None, "https")),
        # from the end
        ("for=203.0.113.9, for=192.0.2.7", Forwarded(V4)),
        ("for=203.0.113.9,for=192.0.2.7;proto=https,for=10.1.1.1;proto=http", Forwarded(V4, "https")),
        ("for=192.0.2.7,for=10.1.1.1;proto=https;host=a.example", Forwarded(V4, "https", "a.example")),
        ("for=192.0.2.7, for=unknown, for=10.1.1.1", Forwarded(("10.1.1.1", 0))),
        # malformed: nothing from there on
        ("for=192.0.2.7, nonsense", NOTHING_STATED),
        ("for=192.0.2.7;proto=https, nonsense, for=10.1.1.1;proto=http", Forwarded(("10.1.1.1", 0), "http")),
        ("for=192.0.2.7:8123", NOTHING_STATED),
        ("for=[2001:db8::7]", NOTHING_STATED),
        ('for="2001:db8::7"', NOTHING_STATED),
        ("for=192.0.2.7;for=192.0.2.8", NOTHING_STATED),
        ("for = 192.0.2.7", NOTHING_STATED),
        ("for=192.0.2.7 proto=https", NOTHING_STATED),
        ('for="192.0.2.7', NOTHING_STATED),
        ("for=", NOTHING_STATED),
        ("for=_", NOTHING_STATED),
        ('for="a, for=192.0.2.7;proto=https', NOTHING_STATED),
        # a value that is of no use is not stated
        ("for=192.0.2.7;proto=gopher", Forwarded(V4)),
        ('for=192.0.2.7;host="a.example/path"', Forwarded(V4)),
    ],
)  # fmt: skip
def test_forwarded_is_read_as_rfc_7239_writes_it(value: str, seen: Forwarded) -> None:
    assert read(("Forwarded", value)) == seen


def test_an_open_quote_of_the_client_does_not_hide_the_line_of_the_proxy() -> None:
    assert read(("Forwarded", 'for="'), ("Forwarded", "for=192.0.2.7")).client == V4


# -- scheme, host, prefix ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addresses", "schemes", "scheme"),
    [
        (None, "https", "https"),
        ("192.0.2.7", "https", "https"),
        ("192.0.2.7", "HTTPS", "https"),
        ("192.0.2.7", "wss", "https"),
        ("192.0.2.7", "ws", "http"),
        # the value of the client's hop
        ("192.0.2.7", "https, http", "http"),
        ("192.0.2.7, 10.1.1.1", "https, http", "https"),
        ("203.0.113.9, 192.0.2.7, 10.1.1.1", "http, https, http", "https"),
        # most proxies state only their own
        ("192.0.2.7, 10.1.1.1", "https", "https"),
        ("203.0.113.9, 192.0.2.7, 10.1.1.1", "https", "https"),
        # without addresses nobody knows whose the others are
        (None, "https, http", "http"),
        # of no use
        ("192.0.2.7", "gopher", None),
        ("192.0.2.7", "", None),
        ("192.0.2.7, 10.1.1.1", "gopher, https", "https"),
    ],
)
def test_the_scheme_is_that_of_the_same_hop(
    addresses: str | None, schemes: str, scheme: str | None
) -> None:
    fields = [] if addresses is None else [(FOR, addresses)]
    assert read(*fields, (PROTO, schemes)).scheme == scheme


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("a.example", "a.example"),
        ("a.example:8443", "a.example:8443"),
        ("[2001:db8::7]:8443", "[2001:db8::7]:8443"),
        ("evil.example, a.example", "a.example"),
        ("a.example/path", None),
        ("a.example:port", None),
        ("user@a.example", None),
        ("a b", None),
        ("a.example\\@evil.example", None),
        ("", None),
    ],
)
def test_a_host_is_a_host_and_nothing_more(value: str, host: str | None) -> None:
    assert read((FOR, "192.0.2.7"), (HOST, value)).host == host


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("/app", "/app"),
        ("/app/", "/app"),
        ("/app/v1", "/app/v1"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ("/", ""),
        ("/evil, /app", "/app"),
        ("app", None),
        ("//evil.example", None),
        ("/app//x", None),
        ("/\\evil.example", None),
        ("/%5Cevil.example", None),
        ("/%2Fevil.example", None),
        ("/a/../b", None),
        ("/a/%2e%2E/b", None),
        ("/.", None),
        ("/a%00b", None),
        ("/a%0d%0ab", None),
        ("/%", None),
        ("/a%4/b", None),
        ("/a?b", None),
        ("/a#b", None),
        ("https://evil.example/", None),
    ],
)
def test_a_prefix_is_a_path_of_plain_segments(value: str, prefix: str | None) -> None:
    assert read((FOR, "192.0.2.7"), (PREFIX, value)).prefix == prefix


# -- both families -------------------------------------------------------------------------------

BOTH = [
    pytest.param("for=192.0.2.7;proto=https", V4[0], "https", V4, "https", id="agree"),
    pytest.param('for="192.0.2.7:1";proto=https', V4[0], "https", V4, "https", id="port of one"),
    pytest.param(
        "for=203.0.113.9;proto=https", V4[0], "https", UNKNOWN_CLIENT, "https", id="other client"
    ),
    pytest.param("for=192.0.2.7;proto=http", V4[0], "https", V4, None, id="other scheme"),
    pytest.param("for=192.0.2.7;proto=https", V4[0], None, V4, None, id="one is silent"),
    pytest.param("nonsense", V4[0], "https", UNKNOWN_CLIENT, None, id="one is malformed"),
    pytest.param("for=unknown", V4[0], "https", UNKNOWN_CLIENT, None, id="one names nobody"),
    pytest.param("for=192.0.2.7", None, "https", UNKNOWN_CLIENT, None, id="one without an address"),
    pytest.param("nonsense", None, "https", None, None, id="none has an address"),
]


@pytest.mark.parametrize(("standard", "addresses", "scheme", "client", "believed"), BOTH)
def test_with_both_families_a_value_counts_only_if_both_state_it(
    standard: str,
    addresses: str | None,
    scheme: str | None,
    client: Address | None,
    believed: str | None,
) -> None:
    """A proxy maintains one of them, and passes the other on as the client wrote it."""
    fields = [("Forwarded", standard)]
    fields += [(FOR, addresses)] if addresses else []
    fields += [(PROTO, scheme)] if scheme else []
    seen = read(*fields)
    assert (seen.client and seen.client[0], seen.scheme) == (client and client[0], believed)


def test_the_prefix_stands_beside_forwarded() -> None:
    seen = read(("Forwarded", "for=192.0.2.7;proto=https"), (PREFIX, "/app"))
    assert seen == Forwarded(V4, "https", None, "/app")


# -- trust ---------------------------------------------------------------------------------------

EVERYTHING = (
    (FOR, "192.0.2.7"),
    (PROTO, "https"),
    (HOST, "evil.example"),
    (PREFIX, "/evil"),
)


@pytest.mark.parametrize(
    ("networks", "peer", "trusted"),
    [
        (["10.0.0.0/8"], PROXY, True),
        (["10.0.0.1"], PROXY, True),
        (["10.0.0.2"], PROXY, False),
        (["10.0.0.0/8"], ("::ffff:10.0.0.1", 1), True),
        (["::ffff:10.0.0.0/104"], PROXY, True),
        (["::/0"], PROXY, False),
        (["0.0.0.0/0"], ("2001:db8::1", 1), False),
        (["fe80::/10"], ("fe80::1%eth0", 1), True),
        (["unix"], None, True),
        (["0.0.0.0/0", "::/0"], None, False),
        (["unix"], PROXY, False),
        (["*"], PROXY, True),
        (["*"], None, True),
        ([], PROXY, False),
        ([], None, False),
        (["10.0.0.0/8"], ("testclient", 1), False),
        (["*"], ("testclient", 1), False),
    ],
)
def test_only_peers_in_a_trusted_network_are_believed(
    networks: list[str], peer: Address | None, trusted: bool
) -> None:
    seen = read(*EVERYTHING, peer=peer, trusted=Networks(networks))
    believed = Forwarded(V4, "https", "evil.example", "/evil")
    assert seen == (believed if trusted else NOTHING_STATED)


def test_networks_reach_other_processes() -> None:
    before = Networks("10.0.0.0/8, unix")
    assert before.contain(PROXY)
    after = pickle.loads(pickle.dumps(before))
    assert (after.contain(PROXY), after.contain(None), after.contain(V4)) == (True, True, False)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("10.0.0.1/8", "say 10.0.0.0/8"),
        ("::1/64", "say ::/64"),
        ("localhost", "is no network"),
        ("10.0.0.0/33", "is no network"),
        ("fe80::1%eth0", "is no network"),
        ("", "is no network"),
        ("10.0.0.0/8/8", "is no network"),
    ],
)
def test_a_name_that_is_no_network_is_refused_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        Networks([name])


# -- invariants ----------------------------------------------------------------------------------

texts = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60)
likely = st.lists(
    st.sampled_from(
        [
            *("192.0.2.7", "10.1.1.1", "203.0.113.9", "unknown", "[::1]:80", "fd00::2", "nonsense"),
            *(",", ", ", ";", '"', "\\", "for=", "proto=https", "host=evil.example", "/evil"),
            *("https", "http", "evil.example", " "),
        ]
    ),
    max_size=12,
).map("".join)
values = st.one_of(texts, likely)
names = st.sampled_from([FOR, PROTO, HOST, PREFIX, "Forwarded"])
fields_of_a_client = st.lists(st.tuples(names, values), max_size=6)


@given(fields_of_a_client)
def test_a_client_without_a_trusted_proxy_changes_nothing(fields: list[tuple[str, str]]) -> None:
    assert read(*fields, peer=("203.0.113.9", 1)) == NOTHING_STATED


@given(fields_of_a_client)
def test_a_client_cannot_choose_the_address_that_its_proxy_appends(
    fields: list[tuple[str, str]],
) -> None:
    """The proxy appends to X-Forwarded-For, sets the others, and passes Forwarded on."""
    own = {PROTO, HOST, PREFIX}
    before = [value for name, value in fields if name == FOR]
    passed = [(name, value) for name, value in fields if name not in own | {FOR}]
    appended = (FOR, ", ".join([*before, "198.51.100.4"]))
    seen = read(*passed, appended, (PROTO, "https"), (HOST, "a.example"), (PREFIX, "/app"))
    assert seen.client in (("198.51.100.4", 0), UNKNOWN_CLIENT)
    assert (seen.scheme, seen.host, seen.prefix)[2] == "/app"
    assert seen.scheme in ("https", None)
    assert seen.host in ("a.example", None)


@given(fields_of_a_client)
def test_a_client_cannot_choose_what_its_proxy_writes_into_forwarded(
    fields: list[tuple[str, str]],
) -> None:
    """The proxy adds a line of Forwarded, and passes X-Forwarded-* on."""
    seen = read(*fields, ("Forwarded", "for=198.51.100.4;proto=https;host=a.example"))
    assert seen.client in (("198.51.100.4", 0), UNKNOWN_CLIENT)
    assert seen.scheme in ("https", None)
    assert seen.host in ("a.example", None)


@given(fields_of_a_client)
def test_an_address_is_always_one_and_in_its_canonical_spelling(
    fields: list[tuple[str, str]],
) -> None:
    seen = read(*fields)
    assert seen.client in (None, UNKNOWN_CLIENT) or canonical_ip(seen.client[0]) == seen.client[0]
