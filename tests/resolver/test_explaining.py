"""What a person reads when there is no solution."""

from __future__ import annotations

import pytest
from packaging.utils import canonicalize_name

from securepip.errors import ResolutionError
from securepip.resolver import UnknownProjectError
from tests.resolver.fakes import FakeIndex, plan


def _told(index: FakeIndex, *requirements: str, **more: object) -> str:
    with pytest.raises(ResolutionError) as caught:
        plan(index, *requirements, **more)  # type: ignore[arg-type]  # passed on as they are
    return str(caught.value)


def test_a_version_that_is_not_there_is_told_with_those_that_are() -> None:
    index = FakeIndex()
    index.add("web", "1.0")
    index.add("web", "1.10")
    index.add("web", "1.9")
    told = _told(index, "web>=2")
    assert (
        "Could not find a version that satisfies the requirement web>=2 (from versions: "
        "1.0, 1.9, 1.10)\nERROR: No matching distribution found for web>=2"
    ) in told


def test_versions_for_another_python_and_yanked_ones_are_told() -> None:
    index = FakeIndex()
    index.add("web", "1.0", yanked="")
    index.add("web", "2.0", requires_python=">=3.99")
    told = _told(index, "web")
    assert "(from versions: none)" in told
    assert "Ignored the following yanked versions: 1.0" in told
    assert "require a different python version: 2.0 Requires-Python >=3.99" in told


def test_where_no_file_fits_it_is_told_and_so_is_a_page_without_files() -> None:
    index = FakeIndex()
    for tag in ("cp39-cp39-win32", "cp39-cp39-win_amd64"):
        index.add("web", "1.0", tag=tag)
    told = _told(index, "web")
    assert "(from versions: none)" in told
    assert "It has 2 files, and none that fits this Python, its platform" in told
    assert "The last is web-1.0-cp39-cp39-win_amd64.whl." in told
    index.pages[canonicalize_name("base")] = {}
    assert "Its page lists no file. What was there before may have been withdrawn." in _told(
        index, "base"
    )


def test_a_dependency_is_told_with_what_asks_for_it() -> None:
    index = FakeIndex()
    index.add("web", "1.0", ["base>=2"])
    index.add("base", "1.0")
    assert "satisfies the requirement base>=2 (from web) (from versions: 1.0)" in _told(
        index, "web"
    )


def test_a_conflict_is_told_with_both_sides() -> None:
    index = FakeIndex()
    index.add("web", "1.0", ["base<2"])
    index.add("shop", "3.0", ["base>=2,<3"])
    index.add("base", "1.0")
    index.add("base", "2.0")
    told = _told(index, "web", "shop")
    assert (
        "Cannot install shop==3.0 and web==1.0 because these package versions have conflicting "
        "dependencies."
    ) in told
    assert "The conflict is caused by:" in told
    assert "    web 1.0 depends on base<2\n" in told
    assert "    shop 3.0 depends on base<3 and >=2\n" in told
    assert "To fix this you could try to:" in told


def test_a_conflict_with_the_user_is_told_in_the_users_words() -> None:
    index = FakeIndex()
    index.add("web", "1.0", ["base<2"])
    index.add("base", "1.0")
    index.add("base", "2.0")
    told = _told(index, "web", "base>=2")
    assert "Cannot install base>=2 and web==1.0" in told
    assert "The user requested base>=2" in told


def test_what_the_metadata_says_of_python_is_told() -> None:
    index = FakeIndex()
    index.add("web", "1.0", requires_python=">=3.99", on_page=">=3.0")
    told = _told(index, "web", python="3.12.1")
    assert "Package 'web' requires a different Python: 3.12.1 not in '>=3.99'" in told


def test_an_unknown_project_that_the_user_named_is_told_with_what_to_do() -> None:
    with pytest.raises(UnknownProjectError) as caught:
        plan(FakeIndex(), "Web.Shop>=1")
    assert (caught.value.project, caught.value.required_by) == ("web-shop", ())
    assert "No matching distribution found for Web.Shop>=1" in str(caught.value)
    assert "securepip repo sync DIR web-shop" in str(caught.value)


def test_the_literal_name_of_a_requirements_file_gets_a_hint() -> None:
    index = FakeIndex()
    index.add("requirements.txt", "1.0", tag="py2-none-win32")
    assert 'Consider using the "-r" option' in _told(index, "requirements.txt")
