"""Files without a digest on their page, before anybody installs them."""

from __future__ import annotations

from functools import partial

import pytest
from packaging.utils import canonicalize_name

from securepip.formats.digests import NOT_KNOWN_YET, other_hash_of, parse_sha256
from securepip.formats.page import PageFile, ProjectPage, parse_page
from securepip.signing.overlay.upstream.interface import Reading
from securepip.signing.overlay.upstream.page import LeftOut, Offer, UpstreamPage, judge
from securepip.signing.overlay.upstream.union import unite

APP = canonicalize_name("app")
WHEEL = "app-1.0-py3-none-any.whl"
BASE = "https://packages.example.org/simple/app/"
MD5 = f"md5:{'0' * 32}"
OFFER = Offer(filename=WHEEL, url=WHEEL, sha256=None, other_hash=MD5)


def test_a_sha256_that_is_none_is_not_the_same_as_no_sha256() -> None:
    """The first is compared by pip, and refused: reading the file would believe anybody."""
    assert isinstance(judge(OFFER._replace(sha256="zz"), BASE, APP), LeftOut)
    judged = judge(OFFER, BASE, APP)
    assert not isinstance(judged, LeftOut)
    assert (judged.sha256, judged.other_hash) == (NOT_KNOWN_YET, MD5)


def test_an_index_that_tells_the_sha256_speaks_for_one_that_does_not() -> None:
    told = judge(OFFER._replace(sha256="a" * 64), BASE, APP)
    offered = [judge(OFFER, BASE, APP), told]
    readings = [Reading(BASE, "x", load=partial(UpstreamPage.of, APP, [each])) for each in offered]
    united = unite(APP, readings)
    assert united is not None
    assert united.files == (told,)
    assert united.without_sha256 == ()


@pytest.mark.parametrize(
    ("hashes", "kept"),
    [
        ({"md5": "0" * 32, "blake2b": "1" * 64}, MD5),
        ({"md5": "0" * 32, "sha1": "A" * 40}, f"sha1:{'a' * 40}"),
        ({"md5": "no digest"}, "md5:unreadable"),
        ({"blake2b": "1" * 64}, None),
    ],
)
def test_the_strongest_hash_that_pip_knows_is_kept(hashes: dict[str, object], kept: object) -> None:
    assert other_hash_of(hashes) == kept


@pytest.mark.parametrize("other", [None, MD5])
def test_a_signed_page_is_read_as_it_was_written(other: str | None) -> None:
    page = ProjectPage(APP, (PageFile(WHEEL, WHEEL, NOT_KNOWN_YET, None, other_hash=other),))
    assert parse_page(page.to_json(), APP) == page
    assert (b"#md5=" in page.to_html()) == (other is not None)
    known = page.files[0]._replace(sha256=parse_sha256("a" * 64), size=3)
    assert b"md5" not in ProjectPage(APP, (known,)).to_json()
