"""No message shows a password, whatever its characters, and however the URL is mistyped."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from securepip.errors import FormatError, SecurepipError, TransportError
from securepip.redaction import redact, redact_text
from securepip.transport import Transport, TransportOptions, join_url

NAMES = st.text(string.ascii_letters + ".@-", min_size=1, max_size=8)
SECRETS = st.text(string.punctuation + string.ascii_letters + string.digits, max_size=12).map(
    "s3cr{}et".format
)


def spellings(password: str) -> list[str]:
    """The password as a URL should have it, and as people and other programs write it."""
    return [quote(password, safe=""), password]


@example(".", "s3cret", "")
@example("..", "s3cret", "")
@example("alice", "s3cr://et", "//")
@example("alice", "s3cr://et", "")
@example("~alice", "s3cret", "")
@given(NAMES, SECRETS, st.sampled_from(["https://", "http://", "git+https://", "//", ""]))
def test_no_password_of_an_address_is_shown(user: str, password: str, scheme: str) -> None:
    for spelled in spellings(password):
        url = f"{scheme}{user}:{spelled}@packages.example.org/simple/"
        shown = redact(url)
        assert shown == f"{scheme}packages.example.org/simple/"
        if "://" in scheme:
            text = f"what is at '{url}' (see there) cannot be read"
            for said in (redact_text(text), str(SecurepipError(text, meaning=text, remedy=text))):
                assert "s3cr" not in said.replace(user, "")
                assert "packages.example.org" in said
        with pytest.raises(FormatError) as raised:
            join_url(f"{scheme}{user}:{spelled}@[bad/", "http://[bad/x")
        assert "s3cr" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://alice:p%2Fs3cret@[bad/",
        "http://alice:p/s3cret@packages.example.org/",
        "http://127.0.0.1:9/s3cret@packages.example.org/",
        "http://alice:p@s3cret@packages.example.org:port/",
        "http://alice:s3cret@pack\u2100ages.example.org/",
        "ftp://alice:s3cret@packages.example.org/",
        "http://alice:s3cret@/",
    ],
)
def test_an_address_that_cannot_be_read_is_shown_without_its_password(url: str) -> None:
    errors: list[SecurepipError] = []
    with Transport(TransportOptions(retries=0)) as transport:
        for use in (lambda: join_url("", url), lambda: transport.get(url, max_bytes=1)):
            try:
                use()
            except SecurepipError as error:
                errors.append(error)
    assert errors
    assert not [error for error in errors if "s3cret" in f"{error}{error!r}"]


@pytest.mark.parametrize(
    "proxy",
    [
        "http://alice:s3/cret@127.0.0.1:9/",
        "http://alice:s3#cret@127.0.0.1:9",
        "http://alice:s3cret@127.0.0.1:port",
        "http://alice:s3cret@127.0.0.1:99999",
        "http://alice:s3cret@/",
        "alice:s3cret@127.0.0.1:port",
        "http://alice:s3cr\u20acet@127.0.0.1:9/",
    ],
)
@pytest.mark.parametrize("url", ["http://packages.example.org/", "https://packages.example.org/"])
def test_the_address_of_a_proxy_that_cannot_be_read_is_shown_without_its_password(
    proxy: str, url: str
) -> None:
    with (
        Transport(TransportOptions(retries=0, proxy=proxy)) as transport,
        pytest.raises(TransportError, match="the address of the proxy cannot be read") as raised,
    ):
        transport.get(url, max_bytes=1)
    assert "s3" not in f"{raised.value}{raised.value!r}"
    assert "\u20ac" not in f"{raised.value}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://packages.example.org/@scope/x@1.0", None),
        ("git+https://packages.example.org/x.git@main", None),
        ("http://127.0.0.1:8080/simple/", None),
        ("https://packages.example.org/x?token=1#y", "https://packages.example.org/x?…"),
        ("/home/alice:b@c/x", None),
        ("C:\\files\\a@b", None),
        ("./a:b@c", None),
        ("../a:b@c", None),
        (".\\a:b@c", None),
        ("~/a:b@c", None),
        ("~alice/a:b@c", None),
        ("http://[bad/", None),
    ],
)
def test_what_holds_no_password_is_shown_as_it_is(url: str, shown: str | None) -> None:
    assert redact(url) == (shown or url)
    assert redact_text(url) == url
