"""Basic authentication: credentials, the challenge, and htpasswd files (RFC 7617)."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.basic import (
    Credentials,
    challenge,
    kind_of_hash,
    problem_with_password,
    problem_with_user,
    read_credentials,
    read_htpasswd,
)

ARGON2 = "$argon2id$v=19$m=8,t=1,p=1$SC6Drxll5zSh7JgZJC1Ldw$yWDJ2AIgm/3l0zGM5KNbyA"
BCRYPT = "$2y$04$V9bU4PlCmJBIQEDOYuyKF.0cG7vsyvh3MMCJQ3iFRNNF1eyBNyHRi"


def basic(text: str | bytes, scheme: bytes = b"Basic ") -> bytes:
    return scheme + base64.b64encode(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        pytest.param(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", ("Aladdin", "open sesame"), id="§2"),
        pytest.param(b"Basic dGVzdDoxMjPCow==", ("test", "123£"), id="§2.1, UTF-8"),
        pytest.param(basic("a:b", b"bAsIc "), ("a", "b"), id="the scheme in any case"),
        pytest.param(basic("a:b", b"Basic   "), ("a", "b"), id="several spaces"),
        pytest.param(b" " + basic("a:b") + b"\t", ("a", "b"), id="white space around"),
        pytest.param(basic("a:b:c"), ("a", "b:c"), id="a colon in the password"),
        pytest.param(basic("a:"), ("a", ""), id="no password"),
        pytest.param(basic(":b"), ("", "b"), id="no name"),
        pytest.param(basic("a"), None, id="no colon"),
        pytest.param(b"", None, id="empty"),
        pytest.param(b"Basic", None, id="the scheme alone"),
        pytest.param(b"Basic ", None, id="no token"),
        pytest.param(basic("a:b", b"Basic"), None, id="no space"),
        pytest.param(basic("a:b", b"Basic\t"), None, id="a tab for the space"),
        pytest.param(basic("a:b", b"Bearer "), None, id="another scheme"),
        pytest.param(basic("a:b") + b", Basic YTpi", None, id="a list"),
        pytest.param(b"Basic YTp", None, id="three characters"),
        pytest.param(b"Basic YTpi=", None, id="a pad too many"),
        pytest.param(b"Basic YT-_", None, id="the alphabet of URLs"),
        pytest.param(b"Basic Y\xd6pi", None, id="no ASCII"),
        pytest.param(basic(b"a:\xff"), None, id="no UTF-8"),
        pytest.param(basic("a:b\0"), None, id="a NUL"),
        pytest.param(basic("a\n:b"), None, id="a line end"),
        pytest.param(basic("a:\x7f"), None, id="DEL"),
    ],
)
def test_credentials_are_read(value: bytes, read: tuple[str, str] | None) -> None:
    wanted = None if read is None else Credentials(*(text.encode() for text in read))
    assert read_credentials([(b"host", b"a"), (b"authorization", value)]) == wanted


def test_two_fields_are_none() -> None:
    field = (b"authorization", basic("a:b"))
    assert read_credentials([]) is None
    assert read_credentials([field, field]) is None
    assert read_credentials([field, (b"Authorization", b"Bearer x")]) is None


text = st.text(st.characters(exclude_categories=["Cc", "Cs"]))


@given(name=text.map(lambda name: name.replace(":", "")), password=text)
def test_a_name_and_a_password_are_what_was_sent(name: str, password: str) -> None:
    value = basic(f"{name}:{password}")
    read = read_credentials([(b"authorization", value)])
    assert read == (name.encode(), password.encode())


@given(st.binary() | st.binary().map(lambda data: b"Basic " + data) | st.binary().map(basic))
def test_no_value_is_a_traceback(value: bytes) -> None:
    read = read_credentials([(b"authorization", value)])
    assert read is None or (b":" not in read.name and not re.search(rb"[\0-\x1f\x7f]", read.name))


@pytest.mark.parametrize(
    ("realm", "sent"),
    [
        ("Restricted", b'Basic realm="Restricted", charset="UTF-8"'),
        ('a "b" \\c', b'Basic realm="a \\"b\\" \\\\c", charset="UTF-8"'),
    ],
)
def test_the_realm_is_a_quoted_string(realm: str, sent: bytes) -> None:
    assert challenge(realm) == (b"www-authenticate", sent)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (ARGON2, "argon2"),
        (ARGON2.replace("argon2id", "argon2i"), "argon2"),
        (BCRYPT, "bcrypt"),
        (BCRYPT.replace("2y", "2b"), "bcrypt"),
        ("secret", ""),
        ("", ""),
        (ARGON2 + "$", ""),
        (ARGON2.rpartition("$")[0], ""),
        (BCRYPT[:-1], ""),
        (BCRYPT.replace("$04$", "$99$"), ""),
        (BCRYPT[:28] + "A" + BCRYPT[29:], ""),
        ("$apr1$TqI9WECO$LHZB2DqRlk9nObiB6vJG9.", ""),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", ""),
        ("$6$rounds=5000$abc$def", ""),
    ],
)
def test_a_hash_has_a_kind(text: str, kind: str) -> None:
    assert kind_of_hash(text) == kind


@pytest.mark.parametrize("name", ["", "a:b", "a\n", 5, None])
def test_a_name_that_no_client_can_send_is_refused(name: object) -> None:
    assert problem_with_user(name, ARGON2) == "a name is printable and has no colon"


@pytest.mark.parametrize("password", ["", "a\0", "a\tb"])
def test_a_password_that_no_client_can_send_is_refused(password: str) -> None:
    assert problem_with_password(password)
    assert not problem_with_password("é b:c")


def test_an_htpasswd_file_is_read() -> None:
    text = f"# ours\n\nanna:{ARGON2}\r\n  \n  bö b:{BCRYPT}\n"
    assert read_htpasswd(text) == {"anna": ARGON2, "bö b": BCRYPT}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "bob:secret",
            "line 2: bob has no hash of argon2 or bcrypt; make one with: asyncstatic hash",
        ),
        (
            "bob:$apr1$TqI9WECO$LHZB2DqRlk9nObiB6vJG9.",
            "line 2: bob has no hash of argon2 or bcrypt",
        ),
        ("secret", "line 2: say NAME:HASH"),
        (f":{ARGON2}", "line 2: a name is printable"),
        (f"anna:{BCRYPT}", "line 2: anna has a line above"),
    ],
)
def test_a_wrong_line_is_named_without_its_secret(line: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"line 2: ") as raised:
        read_htpasswd(f"anna:{ARGON2}\n{line}\n")
    assert str(raised.value).startswith(says)
    assert "secret" not in str(raised.value)


@given(st.text())
def test_no_file_is_a_traceback(text: str) -> None:
    try:
        users = read_htpasswd(text)
    except ValueError as error:
        assert str(error).startswith("line ")  # noqa: PT017 - both outcomes are fine
    else:
        assert not users or "$" in text
