"""Uploads by HTTP: signed before they are answered, together, and refused in words."""

from __future__ import annotations

import base64
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Semaphore
from urllib.parse import urlsplit

import pytest
import requests
from packaging.utils import NormalizedName

from securepip.errors import UsageError
from securepip.signing.publish.add import read_distribution
from securepip.signing.publish.remove import remove
from securepip.signing.repository.current import Current
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.local import LocalState
from securepip.signing.uploads.publisher import Upload, publish_uploads
from securepip.signing.uploads.refusal import UploadRefusedError
from securepip.signing.uploads.server import UploadServer
from securepip.signing.uploads.turns import Turns
from tests.support.maintainers import Maintainers, claim
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_sdist, make_wheel
from tests.uploads.conftest import taking_uploads
from tests.uploads.sending import TYPE, Site, form, form_of, noise


def test_an_upload_is_signed_when_it_is_answered(site: Site, tmp_path: Path) -> None:
    wheel, sdist = make_wheel(tmp_path, "signed", "1.0"), make_sdist(tmp_path, "signed", "1.0")
    assert site.send(wheel).text == f"{wheel.name} is published\n"
    with Repository.open(site.made.folder) as another:
        target = another.roles().target(f"packages/signed/{wheel.name}")
    assert target is not None
    target.verify_length_and_hashes(wheel.read_bytes())
    assert site.send(sdist, filetype="sdist", version="1.0").status_code == 200
    assert site.files("signed") == [wheel.name, sdist.name]
    assert site.left_over() == []
    page = requests.get(site.url.replace("legacy", "simple") + "signed/", timeout=60)
    assert wheel.name in page.text


def test_the_same_file_twice_is_fine_and_signs_nothing(site: Site, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "twice", "1.0")
    assert site.send(wheel).status_code == 200
    before = site.snapshot()
    assert site.send(wheel).status_code == 200
    assert site.snapshot() == before


def test_other_bytes_under_a_known_name_are_refused(site: Site, tmp_path: Path) -> None:
    first = make_wheel(tmp_path / "a", "other", "1.0")
    second = make_wheel(tmp_path / "b", "other", "1.0", files={"other/evil.py": ""})
    assert site.send(first).status_code == 200
    before = site.snapshot()
    answer = site.send(second)
    assert (answer.status_code, site.snapshot()) == (400, before)
    # twine, flit and poetry show the one, and uv shows the other.
    for shown in (answer.reason, answer.text):
        assert f"{first.name} already exists with other bytes" in shown
    assert str(site.made.folder) not in answer.text


def test_a_claimed_project_is_refused_with_the_way_to_publish_it(
    made: MadeRepository, tmp_path: Path
) -> None:
    made.add(make_wheel(tmp_path, "claimed", "1.0"))
    claim(made, "claimed", Maintainers.of(1))
    with taking_uploads(made) as site:
        answer = site.send(make_wheel(tmp_path, "claimed", "2.0"))
    assert answer.status_code == 403
    assert "`securepip sign release claimed FILE" in answer.text
    assert site.files("claimed") == ["claimed-1.0-py3-none-any.whl"]


def test_what_was_removed_comes_back_by_no_upload(site: Site, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "removed", "1.0")
    assert site.send(wheel).status_code == 200
    remove(site.made.repository, "removed==1.0")
    answer = site.send(wheel)
    assert (answer.status_code, site.files("removed")) == (400, [])
    assert "was removed from this repository" in answer.text


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Semaphore:
    """Is released for each upload that waits to be published."""
    arrived = Semaphore(0)

    class Noted(SimpleQueue[object]):
        def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
            super().put(item, block, timeout)
            arrived.release()

    monkeypatch.setattr("securepip.signing.uploads.batches.SimpleQueue", Noted)
    return arrived


def test_uploads_that_wait_are_published_together_and_a_bad_one_keeps_back_no_other(
    made: MadeRepository, waiting: Semaphore, tmp_path: Path
) -> None:
    good = [make_wheel(tmp_path, "app", f"1.{each}") for each in range(4)]
    good += [make_wheel(tmp_path, f"lib{each}", "1.0") for each in range(2)]
    rivals = [
        make_wheel(tmp_path / str(each), "app", "2.0", files={"app/x": str(each)})
        for each in range(2)
    ]
    with taking_uploads(made) as site, ThreadPoolExecutor(8) as pool:
        before = site.snapshot()
        with LocalState(made.folder).lock():  # as another command has it
            answers = list(map(pool.submit, [site.send] * 8, [*good, *rivals]))
            for _ in answers:
                assert waiting.acquire(timeout=60)
        codes = [answer.result().status_code for answer in answers]
        assert codes[:6] == [200] * 6
        assert sorted(codes[6:]) == [200, 400]
        # The first one may have been alone.
        assert site.snapshot() <= before + 2
        assert len(site.files("app")) == 5


def test_a_damaged_page_keeps_back_no_other_project(
    made: MadeRepository, waiting: Semaphore, tmp_path: Path
) -> None:
    made.add(make_wheel(tmp_path, "damaged", "1.0"))
    for page in (made.folder / "simple" / "damaged").iterdir():
        page.write_bytes(b"{}")
    with taking_uploads(made) as site:
        with ThreadPoolExecutor(2) as pool, LocalState(made.folder).lock():
            bad = pool.submit(site.send, make_wheel(tmp_path, "damaged", "2.0"))
            good = pool.submit(site.send, make_wheel(tmp_path, "whole", "1.0"))
            for _ in (bad, good):
                assert waiting.acquire(timeout=60)
        assert (good.result().status_code, site.files("whole")) == (
            200,
            ["whole-1.0-py3-none-any.whl"],
        )
        assert bad.result().status_code == 503
        assert str(made.folder) not in bad.result().text
        assert any("is not the page that was signed" in line for line in site.said)


def test_a_token_never_has_more_places_than_are_free() -> None:
    turns = Turns(8, 0.01)
    with ExitStack() as taken:
        for _ in range(4):
            taken.enter_context(turns.take("greedy"))
        with pytest.raises(UploadRefusedError, match="too many uploads come at once"):
            taken.enter_context(turns.take("greedy"))
        for token in ("another", "another", "a third"):
            taken.enter_context(turns.take(token))
    with ExitStack() as again:
        for _ in range(4):
            again.enter_context(turns.take("another"))


def test_a_publication_that_fails_is_no_success_and_the_next_one_goes_on(
    made: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path, "app", "1.0")

    def full(*_arguments: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    with taking_uploads(made) as site:
        with monkeypatch.context() as patched:
            patched.setattr(Current, "sign", full)
            answer = site.send(wheel)
        assert (answer.status_code, site.files("app")) == (503, [])
        assert answer.headers["Retry-After"]
        assert any("No space left" in line for line in site.said)
        assert "No space left" not in answer.text
        assert site.send(wheel).status_code == 200


@pytest.mark.parametrize(
    ("token", "user", "code"),
    [("wrong", "__token__", 403), ("", "__token__", 403), (None, "admin", 403)],
)
def test_only_who_has_a_token_uploads(
    site: Site, tmp_path: Path, token: str | None, user: str, code: int
) -> None:
    # More than fits between the two: a client that is still sending gets the answer all the same.
    wheel = make_wheel(tmp_path, "nobody", "1.0", files={"nobody/x": noise(8 << 20)})
    answer = site.send(wheel, token=token, user=user)
    assert (answer.status_code, site.files("nobody")) == (code, [])


def test_who_says_nothing_is_asked_for_a_token_before_the_body_is_read(site: Site) -> None:
    connection = site.raw({"Content-Length": "1000000", "Content-Type": TYPE})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    connection.close()


def test_a_token_is_for_its_projects_until_it_is_revoked(site: Site, tmp_path: Path) -> None:
    tokens = site.made.repository.state.tokens
    known, text = tokens.create([NormalizedName("mine")])
    mine = make_wheel(tmp_path, "mine", "1.0")
    assert site.send(mine, token=text).status_code == 200
    # The name in the form is not believed either: the file is of another project.
    other = make_wheel(tmp_path, "not_mine", "1.0")
    for name in ("not-mine", "mine"):
        assert site.send(other, token=text, name=name).status_code in (400, 403)
    assert site.files("not-mine") == []
    assert tokens.all()[-1].used is not None
    # Revoked while an upload is on its way.
    body = form(form_of(make_wheel(tmp_path, "mine", "2.0")))
    head = {"Content-Type": TYPE, "Content-Length": str(len(body)), **_login(text)}
    connection = site.raw(head, body[:-1])
    Event().wait(0.2)
    tokens.revoke(known.id)
    assert tokens.find(text) is None, "the next one is refused before its body is read"
    connection.send(body[-1:])
    assert connection.getresponse().status == 403
    connection.close()
    assert site.send(mine, token=text).status_code == 403
    assert site.files("mine") == [mine.name]


def test_a_name_that_can_be_read_in_two_ways_is_of_the_project_that_the_file_says(
    site: Site, tmp_path: Path
) -> None:
    _, text = site.made.repository.state.tokens.create([NormalizedName("app")])
    # Of app 1.post2, by its name; and of app-1 2, by its metadata.
    sdist = make_sdist(tmp_path, "app-1", "2").rename(tmp_path / "app-1-2.tar.gz")
    answer = site.send(sdist, token=text, name="app", version="1-2", filetype="sdist")
    assert answer.status_code == 400
    assert "is of app-1, not of app" in answer.text


@pytest.mark.parametrize("end", ["\r", "\n"])
def test_who_has_a_token_is_given_nothing_of_the_next_request(site: Site, end: str) -> None:
    """A proxy that sees no length there would send somebody's next request, with a token in it."""
    parts = urlsplit(site.url)
    head = {"Host": parts.netloc, "Content-Type": TYPE, **_login(site.token)}
    lines = [f"POST {parts.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    hidden = f"X: one{end}Content-Length: 100"
    with socket.create_connection((parts.hostname or "", parts.port or 0), 10) as connection:
        connection.sendall("\r\n".join([*lines, hidden, "", ""]).encode())
        with connection.makefile("rb") as answers:
            assert answers.read().startswith(b"HTTP/1.1 400 ")


def test_what_a_killed_server_has_left_is_removed_when_it_is_old(
    made: MadeRepository, tmp_path: Path
) -> None:
    with taking_uploads(made) as site:
        pass
    for name, age in {"old": 100_000, "new": 100}.items():
        folder = made.folder / "state" / "uploads" / name
        folder.mkdir()
        os.utime(folder, (time.time() - age,) * 2)
    with taking_uploads(made) as site:
        assert [left.name for left in site.left_over()] == ["new"]
        assert site.send(make_wheel(tmp_path, "app", "1.0")).status_code == 200


def test_tokens_cross_no_network_without_tls(site: Site, tmp_path: Path) -> None:
    body = form(form_of(make_wheel(tmp_path, "tls", "1.0")))
    length = {"Content-Type": TYPE, "Content-Length": str(len(body))}
    forwarded = {**length, **_login(site.token), "X-Forwarded-Proto": "http"}
    connection = site.raw(forwarded, body)
    assert connection.getresponse().status == 403
    connection.close()
    folder, opened = site.made.folder, site.made.repository
    with pytest.raises(UsageError, match="without TLS"):
        UploadServer(folder, lambda: opened, "0.0.0.0")  # noqa: S104 # what is refused


def test_a_token_is_kept_nowhere(made: MadeRepository) -> None:
    _, text = made.repository.state.tokens.create(None, "for CI")
    secret = text.rpartition("-")[2].encode()
    for path in (made.folder / "state").rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes()


def test_a_token_that_is_gone_publishes_nothing(made: MadeRepository, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "built", "app", "1.0")
    upload = Upload(read_distribution(wheel, datetime.now(timezone.utc)), "of-no-token")
    (answer,) = publish_uploads(made.repository, [upload], lambda line: None)
    assert isinstance(answer, UploadRefusedError)
    assert "of-no-token is not for the project app" in answer.words
    assert made.repository.projects() == []


def _login(token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"__token__:{token}".encode()).decode()}
