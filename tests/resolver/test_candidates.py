"""From a page to ordered files: which fit, which is best, and how fast that is known."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import canonicalize_name

from securepip.formats.digests import sha256_of
from securepip.formats.page import PageFile, ProjectPage
from securepip.resolver.candidates.ranking import FileRanking, Offers
from securepip.resolver.environment.target import TargetEnvironment
from tests.resolver.fakes import environment

WEB = canonicalize_name("web")


@pytest.fixture
def target() -> TargetEnvironment:
    """A CPython 3.12 on Linux, with few tags."""
    tags = ["cp312-cp312-manylinux_2_17_x86_64", "cp312-abi3-manylinux_2_17_x86_64"]
    tags += ["cp312-none-any", "py312-none-any", "py3-none-any"]
    return replace(environment(python="3.12.1"), tags=tuple(Tag(*tag.split("-")) for tag in tags))


def _offers(target: TargetEnvironment, *filenames: str) -> Offers:
    files = tuple(
        PageFile(name, f"https://packages.example.org/{name}", sha256_of(name.encode()), 1)
        for name in filenames
    )
    return FileRanking(target).offers(WEB, ProjectPage(WEB, files))


def _names(offers: Offers) -> list[str]:
    return [offered.file.filename for offered in offers.files]


def test_the_best_tag_wins_then_the_build_number_then_the_sdist_comes_last(
    target: TargetEnvironment,
) -> None:
    best_first = [
        "web-1.0-cp312-cp312-manylinux1_x86_64.manylinux_2_17_x86_64.whl",
        "web-1.0-cp38.cp312-abi3-manylinux_2_17_x86_64.whl",
        "web-1.0-3-py3-none-any.whl",
        "web-1.0-2a-py3-none-any.whl",
        "web-1.0-py2.py3-none-any.whl",
        "web-1.0.tar.gz",
    ]
    assert _names(_offers(target, *reversed(best_first))) == best_first


def test_versions_count_more_than_tags(target: TargetEnvironment) -> None:
    names = ["web-2.0.tar.gz", "web-1.9-cp312-cp312-manylinux_2_17_x86_64.whl"]
    assert _names(_offers(target, *reversed(names))) == names


@pytest.mark.parametrize(
    "filename",
    [
        "web-1.0-cp311-cp311-manylinux_2_17_x86_64.whl",
        "web-1.0-cp312-cp312-win_amd64.whl",
        "web-1.0.whl",
        "web-1.0-none.whl",
        "web-not_a_version-py3-none-any.whl",
        "other-1.0-py3-none-any.whl",
        "web-1.0-x-py3-none-any.whl",
        "web-1.0.win32.exe",
        "web-1.0-py3.12.egg",
        "web-final.tar.gz",
        "website-1.0.tar.gz",
    ],
)
def test_what_does_not_fit_or_is_no_distribution_is_passed_over(
    target: TargetEnvironment, filename: str
) -> None:
    assert _names(_offers(target, filename, "web-0.1-py3-none-any.whl")) == [
        "web-0.1-py3-none-any.whl"
    ]


def test_of_two_equal_files_the_last_on_the_page_is_taken_as_in_pip(
    target: TargetEnvironment,
) -> None:
    assert _names(_offers(target, "web-1.0.tar.gz", "web-1.0.zip"))[0] == "web-1.0.zip"


def test_a_file_with_an_allowed_hash_is_the_only_one_left(target: TargetEnvironment) -> None:
    offers = _offers(target, "web-1.0.tar.gz", "web-1.0-py3-none-any.whl")
    sdist = sha256_of(b"web-1.0.tar.gz")
    found = offers.matching(SpecifierSet(), prereleases=None, hashes=frozenset({f"sha256:{sdist}"}))
    assert [offered.file.filename for offered in found] == ["web-1.0.tar.gz"]


def test_ten_thousand_files_are_ranked_in_far_less_than_a_second(
    target: TargetEnvironment,
) -> None:
    platforms = ["win_amd64", "win32", "macosx_11_0_arm64", "manylinux_2_17_x86_64"]
    names = [
        f"web-{version}.0-cp3{minor}-cp3{minor}-{platform}.whl"
        for version in range(500)
        for minor in range(8, 13)
        for platform in platforms
    ]
    started = time.process_time()
    offers = _offers(target, *names)
    elapsed = time.process_time() - started
    assert len(names) == 10_000
    assert len(offers.files) == 500
    assert elapsed < 2  # About 0.1 s; the limit is for a busy machine.
