"""Bodies and URLs, without a server: lengths, compression, broken answers, other origins."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3

from securepip.errors import FormatError, TooLargeError, TooSlowError, TransportError
from securepip.formats.digests import CHUNK
from securepip.transport.allowance import unlimited
from securepip.transport.body import (
    BrokenBodyError,
    check_range,
    given_up,
    read_body,
    reason,
    refused,
    validator,
)
from securepip.transport.decoding import DecodingError, decoded
from securepip.transport.options import TransportOptions
from securepip.transport.urls import (
    asked_as_pip,
    file_url_to_path,
    is_local,
    is_loopback,
    join_url,
    path_to_url,
    site,
    without_credentials,
)
from securepip.transport.watch import OutOfTimeError, TooManyBytesError, Watch

SHOWN = "https://packages.example.org/file"


class Raw(io.BytesIO):
    """A body, which raises an error after its bytes if there is one."""

    ends_with: BaseException | None = None

    def read1(self, size: int | None = -1, *, decode_content: bool = True) -> bytes:
        assert not decode_content
        piece = super().read1(size)
        if not piece and self.ends_with is not None:
            raise self.ends_with
        return piece


def read(
    body: bytes, headers: dict[str, str], most: int, *, unpack: bool = True, ends_with: Any = None
) -> bytes:
    raw = Raw(body)
    raw.ends_with = ends_with
    response: Any = SimpleNamespace(headers=headers, raw=raw)
    watch = Watch(1e12, unlimited(), "it", lambda text: None)
    return b"".join(read_body(response, watch, SHOWN, most, unpack=unpack))


def test_a_body_is_as_long_as_it_says_and_not_longer_than_it_may_be() -> None:
    for announced in ("5", "", "x", "-5", "9" * 19):
        assert read(b"whole", {"Content-Length": announced}, 5) == b"whole"
    for headers in ({"Content-Length": "6"}, {"Content-Length": "9" * 18}):
        with pytest.raises(TooLargeError):
            read(b"", headers, 5)
        with pytest.raises(BrokenBodyError, match="packages"):
            read(b"whole", headers, 10**18)
    with pytest.raises(TooLargeError):
        read(b"longer", {}, 5)
    with pytest.raises(TooLargeError):
        read(b"x" * (CHUNK + 1), {}, CHUNK)
    packed = gzip.compress(b"whole")
    headers = {"Content-Encoding": "gzip", "Content-Length": "999"}
    assert read(packed, headers, 5) == b"whole"
    with pytest.raises(TooLargeError):
        read(packed, headers, 10, unpack=False)
    headers["Content-Length"] = str(len(packed))
    assert read(packed, headers, 99, unpack=False) == packed


@pytest.mark.parametrize(
    "error",
    [urllib3.exceptions.ProtocolError("cut"), OSError("cut"), DecodingError("cut")],
    ids=lambda error: type(error).__name__,
)
def test_a_body_that_breaks_off_is_worth_another_try(error: Exception) -> None:
    with pytest.raises(BrokenBodyError) as caught:
        read(b"half", {}, 9, ends_with=error)
    assert str(caught.value) == SHOWN
    assert "broke off while it was fetched: cut" in str(caught.value.as_transport_error())
    with pytest.raises(TransportError, match="too slowly"):
        read(b"half", {}, 9, ends_with=OutOfTimeError())
    with pytest.raises(TooLargeError):
        read(b"half", {}, 9, ends_with=TooManyBytesError())


@pytest.mark.parametrize("together", [False, True])
def test_what_is_said_of_an_answer_that_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    clock = SimpleNamespace(monotonic=lambda: 100.0)
    for module in ("body", "watch"):
        monkeypatch.setattr(f"securepip.transport.{module}.time", clock)
    watch = Watch(1e12, unlimited(), "it", lambda text: None)
    clock.monotonic = lambda: 107.0
    error = given_up(OutOfTimeError(together=together), watch, SHOWN, 9)
    assert isinstance(error, TooSlowError) == together
    assert "0 bytes in 7 seconds" in str(error)


def test_a_part_of_a_file_is_put_to_its_beginning_only_where_it_fits() -> None:
    assert validator({"ETag": '"a"', "Last-Modified": "today"}) == '"a"'
    assert validator({"ETag": 'W/"a"', "Last-Modified": "today"}) == "today"
    assert validator({}) == ""
    check_range({"Content-Range": "Bytes 5-9/10"}, 5, SHOWN)
    for wrong in ("bytes 6-9/10", "bytes 55-9/10", ""):
        with pytest.raises(TransportError, match="another part"):
            check_range({"Content-Range": wrong}, 5, SHOWN)


@pytest.mark.parametrize(
    ("status", "why", "sent", "said"),
    [
        (401, "Unauthorized", {"Authorization": "x"}, "answers 401 Unauthorized: the user name"),
        (401, None, {}, "answers 401: it wants a user name"),
        (403, "Forbidden", {"Authorization": "x"}, "answers 403 Forbidden"),
        (500, None, {}, "answers 500"),
    ],
)
def test_what_is_said_of_a_status(
    status: int, why: str | None, sent: dict[str, str], said: str
) -> None:
    request = SimpleNamespace(headers=sent)
    response: Any = SimpleNamespace(status_code=status, reason=why, request=request)
    error = refused(response, SHOWN)
    assert error.status == status
    assert said in error.what
    assert error.what.endswith(said) == (status != 401)


def test_the_innermost_cause_is_said_without_its_wrapping() -> None:
    inner = OSError("<HTTPSConnection(host='x', port=443)>: it is gone")
    assert reason(Exception(Exception(inner))) == "it is gone"
    wrapped = urllib3.exceptions.MaxRetryError(None, "/", inner)  # type: ignore[arg-type]
    assert reason(wrapped) == "it is gone"
    at_proxy = urllib3.exceptions.ProxyError("Cannot connect to proxy", inner)
    assert reason(Exception(at_proxy)) == "Cannot connect to proxy: it is gone"
    assert reason(ValueError()) == "ValueError"
    assert reason(ValueError("in words", 2)) == "('in words', 2)"


# ------------------------------------------------------------------------ unpacked


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", " GZIP ", "deflate", "", "identity"])
def test_a_body_is_unpacked_in_pieces_that_are_not_long(encoding: str) -> None:
    data = bytes(range(256)) * (CHUNK // 100)
    way = encoding.strip().lower().removeprefix("x-")
    packed = {"gzip": gzip.compress(data), "deflate": zlib.compress(data)}.get(way, data)
    pieces = list(decoded([packed[:7], packed[7:20], packed[20:]], encoding))
    assert b"".join(pieces) == data
    assert all(pieces)
    if encoding.strip() not in ("", "identity"):
        assert max(map(len, pieces)) <= CHUNK
        for wrong in (packed[:-1], packed + b"x", b"not packed", packed[:9]):
            with pytest.raises(DecodingError, match="cannot be unpacked"):
                list(decoded([wrong], encoding))
        with pytest.raises(DecodingError, match="cannot be unpacked"):
            list(decoded([packed, b"more"], encoding))


def test_a_body_that_is_packed_in_another_way_is_refused() -> None:
    with pytest.raises(DecodingError, match="not asked for: 'br'"):
        list(decoded([b"x"], "br"))


# ----------------------------------------------------------------------- addresses


def test_the_network_options_have_the_defaults_of_pip() -> None:
    options = TransportOptions()
    assert (options.timeout, options.retries, options.resume_retries) == (15.0, 5, 5)
    assert options.proxy_env
    assert not options.stay_encrypted


@pytest.mark.parametrize(
    ("base", "url", "joined"),
    [
        ("https://a.example/x/", "https://b.example/y", "https://b.example/y"),
        ("https://a.example/x/", "/y/z", "https://a.example/y/z"),
        ("https://a.example:8/x", "/y/z", "https://a.example:8/y/z"),
        ("file:///x/", "/y/z", "file:///y/z"),
        ("file:///x/", "y", "file:///x/y"),
        ("https://a.example/x/", "../y", "https://a.example/y"),
        ("https://a.example/x/", "/a/../y", "https://a.example/y"),
    ],
)
def test_an_address_is_seen_from_where_it_stands(base: str, url: str, joined: str) -> None:
    assert join_url(base, url) == joined


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/x",
        "https://a.example:port/x",
        "file://elsewhere/x",
        "file:///x%00y",
        "file:%5C%5Celsewhere/x",
        "https://a.example/\ud800",
        "file://",
    ],
)
def test_an_address_that_cannot_be_asked_is_refused(url: str) -> None:
    with pytest.raises(FormatError):
        join_url("https://a.example/", url)
    with pytest.raises(FormatError, match="without a host"):
        join_url("", "https:///x")


def test_the_path_of_a_file_is_on_this_machine(tmp_path: Path) -> None:
    assert file_url_to_path("file:///x%20y") == Path("/x y")
    assert file_url_to_path("file://localhost/x") == Path("/x")
    for url in ("https:///x", "file://elsewhere/x", "file:", "file:///%00", "file:%5C%5Cx/y"):
        with pytest.raises(FormatError, match="not the URL of a file"):
            file_url_to_path(url)
    assert path_to_url(tmp_path) == f"{tmp_path.as_uri()}/"
    assert path_to_url(tmp_path / "x") == f"{tmp_path.as_uri()}/x"
    assert is_local("FILE:///x")
    assert not is_local("https://x")


def test_addresses_are_shown_and_asked_without_what_is_not_theirs() -> None:
    assert without_credentials("https://u:p@ss@a.example/x@y") == "https://a.example/x@y"
    assert without_credentials("https://a.example/x") == "https://a.example/x"
    assert site("https://u:p@a.example:8/x") == "https://a.example:8/"
    assert site("https://[x") == "https://[x"
    assert site("https://me:123/word@a.example/x") == "https://a.example/"
    assert asked_as_pip("https://a.example/x+1%2B@2") == "https://a.example/x%2B1%2B@2"
    assert asked_as_pip("https://[x+") == "https://[x+"


def test_what_is_this_machine() -> None:
    assert [is_loopback(host) for host in ("localhost", "127.0.0.9", "::1")] == [True] * 3
    assert not any(map(is_loopback, ("127.example.org", "10.0.0.1", "localhost.example", "")))
