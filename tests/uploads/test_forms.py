"""Forms that are wrong, hostile, too large or too slow: refused, and nothing is left of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from select import select
from tempfile import mkdtemp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securepip.signing.uploads import form as forms
from securepip.signing.uploads.form import Limits, read_form
from securepip.signing.uploads.refusal import UploadRefusedError
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel, metadata_text
from tests.uploads.conftest import taking_uploads
from tests.uploads.sending import TYPE, Site, form, form_of, noise, part


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "another"}, "is not of another 1.0"),
        ({"name": "../app"}, "not a project name"),
        ({"version": "2.0"}, "is not of app 2.0"),
        ({"version": ""}, "not a version"),
        ({"filetype": "sdist"}, "filetype says something else"),
        ({"action": "submit"}, "has to be file_upload"),
        ({"protocol_version": "2"}, "only version 1"),
        ({"sha256_digest": "0" * 64}, "changed on its way"),
        ({"md5_digest": "0" * 32}, "changed on its way"),
        ({"blake2_256_digest": "é"}, "changed on its way"),
        (dict.fromkeys(forms.DIGESTS, ""), "tells no digest"),
        ({"name": "a" * 2000}, "too long"),
    ],
)
def test_a_file_is_what_its_form_says(
    site: Site, tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    before = site.snapshot()
    answer = site.send(make_wheel(tmp_path, "app", "1.0"), **changes)
    assert (answer.status_code, site.snapshot()) == (400, before)
    assert words in answer.text
    assert site.left_over() == []


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data"])
@pytest.mark.parametrize("boundary", ["", "x" * 71, '"x "', "é"])
def test_a_form_is_of_the_form_that_tools_send(tmp_path: Path, kind: str, boundary: str) -> None:
    """A boundary has one to seventy characters, of some kinds, and no space at its end."""
    with pytest.raises(UploadRefusedError, match="multipart/form-data"):
        read_form(f"{kind}; boundary={boundary}", 1, lambda most: b"-", tmp_path, Limits())


def test_the_checks_of_repo_add_are_those_of_uploads(site: Site, tmp_path: Path) -> None:
    liar = make_wheel(tmp_path, "app", "1.0", metadata=metadata_text("app", "2.0"))
    answer = site.send(liar)
    assert answer.status_code == 400
    assert "not what its file name says" in answer.text
    assert str(tmp_path) not in answer.text
    assert "uploads/" not in answer.text
    make_wheel(tmp_path, "app", "1.0", metadata=metadata_text("a\x1b[2Jpp\x07", "1.0"))
    told = site.send(liar)
    assert "its metadata says a?[2Jpp? 1.0" in told.reason  # it is shown on a terminal
    assert "its metadata says a?[2Jpp? 1.0" in told.text
    liar.write_bytes(b"no archive")
    assert site.send(liar).status_code == 400
    assert site.files("app") == []


def _with(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], bytes]:
    return lambda path: form(change(form_of(path)))


_BAD = {
    "no such form": lambda path: path.read_bytes(),
    "no end": lambda path: b"".join(form_of(path)),
    "no file": _with(lambda parts: parts[:-1]),
    "two files": _with(lambda parts: [*parts, parts[-1]]),
    "two names": _with(lambda parts: [part("name", "app"), *parts]),
    "no name of a part": _with(lambda parts: [part("", "x"), *parts]),
    "a way up": _with(lambda parts: [*parts[:-1], part("content", "x", "../app-1.0.zip")]),
    "an absolute path": _with(lambda parts: [*parts[:-1], part("content", "x", "/app-1.0.zip")]),
    "a device": _with(lambda parts: [*parts[:-1], part("content", "x", "c:app-1.0.zip")]),
    "an egg": _with(lambda parts: [*parts[:-1], part("content", "x", "app-1.0.egg")]),
    "no file name": _with(lambda parts: [*parts[:-1], part("content", "x")]),
    "too many fields": _with(lambda parts: [part("classifiers", "x")] * 5000 + parts),
    "too long a header": _with(lambda parts: [part("x" * 9000, "x"), *parts]),
}


@pytest.mark.parametrize("bad", _BAD.values(), ids=_BAD)
def test_a_bad_form_is_refused_and_nothing_is_left_of_it(
    site: Site, tmp_path: Path, bad: Callable[[Path], bytes]
) -> None:
    before = site.snapshot()
    body = bad(make_wheel(tmp_path, "app", "1.0"))
    connection = site.raw(_head(site, len(body)), body)
    answer = connection.getresponse()
    assert (answer.status, site.snapshot()) == (400, before), answer.read()
    connection.close()
    assert site.left_over() == []


def test_a_good_form_by_hand_is_taken(site: Site, tmp_path: Path) -> None:
    body = form(form_of(make_wheel(tmp_path, "by_hand", "1.0")))
    connection = site.raw(_head(site, len(body)), body)
    assert connection.getresponse().status == 200
    connection.close()


def test_a_file_that_is_too_large_is_refused_by_its_length_and_by_its_bytes(
    site: Site, tmp_path: Path
) -> None:
    connection = site.raw(_head(site, 1 << 40))  # and nothing of it is sent
    assert connection.getresponse().status == 413
    connection.close()
    answer = site.send(make_wheel(tmp_path, "large", "1.0", files={"x": noise(4 << 20)}))
    assert answer.status_code == 413
    assert "the most that this repository takes" in answer.text
    assert site.left_over() == []


def test_a_form_that_says_too_much_beside_its_file_is_refused(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MAX_TEXT", 10_000)
    answer = site.send(make_wheel(tmp_path, "app", "1.0"), description="x" * 20_000)
    assert answer.status_code == 400
    assert "beside its file" in answer.text


def test_an_upload_that_drips_is_given_up(made: MadeRepository) -> None:
    with taking_uploads(made, Limits(grace=0.2, bytes_per_second=1 << 20)) as site:
        connection = site.raw(_head(site, 1000))
        for byte in part("description", "x" * 1000):
            connection.send(bytes([byte]))
            if select([connection.sock], [], [], 0.1)[0]:
                break
        assert connection.getresponse().status == 408
        connection.close()


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "-1"},
        {"Content-Length": "1", "content-length": "2"},
    ],
)
def test_an_upload_says_its_length(site: Site, head: dict[str, str]) -> None:
    connection = site.raw({**_head(site, 0, length=False), **head})
    assert connection.getresponse().status == 411
    connection.close()


@settings(max_examples=100)
@given(data=st.data())
def test_whatever_comes_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    body = form([part("name", "app"), part("x", "y"), part("content", b"abc", "app-1.0.zip")])
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(body)))
        cut = data.draw(st.integers(0, 8))
        body = body[:at] + data.draw(st.binary(max_size=6)) + body[at + cut :]
    folder = Path(mkdtemp(dir=tmp_path))
    stream, step = io.BytesIO(body), data.draw(st.integers(1, len(body)))
    try:
        found = read_form(
            TYPE, len(body), lambda most: stream.read(min(most, step)), folder, Limits()
        )
    except UploadRefusedError as error:
        assert error.words.isprintable()
    else:
        assert found.path.parent == folder
    assert all(path.parent.parent == tmp_path for path in tmp_path.rglob("*") if path.is_file())


def _head(site: Site, size: int, *, length: bool = True) -> dict[str, str]:
    login = base64.b64encode(f"__token__:{site.token}".encode()).decode()
    head = {"Content-Type": TYPE, "Authorization": f"Basic {login}"}
    return {**head, "Content-Length": str(size)} if length else head
