"""A release that needs what nobody signs is not passed over in silence."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from securepip.errors import ResolutionError
from securepip.resolver import ResolveOptions
from tests.resolver.fakes import FakeIndex, install, pins, plan

ADDRESS = "lib @ https://packages.example.org/lib-1.0-py3-none-any.whl"
ALLOWED = ResolveOptions(allow_older_releases=True)


@pytest.fixture(params=["directly", "by another", "by an extra", "an address"])
def index(request: pytest.FixtureRequest) -> FakeIndex:
    """``app`` 3.0 and 2.0 need what nobody signs; 1.0 does not."""
    index = FakeIndex()
    index.add("app", "1.0")
    for version in ("2.0", "3.0"):
        needs = {
            "directly": ["lib>=1"],
            "by another": ["mid"],
            "by an extra": ["mid[more]"],
            "an address": [ADDRESS],
        }[request.param]
        index.add("app", version, needs)
    extra = "; extra == 'more'" if request.param == "by an extra" else ""
    index.add("mid", "1.0", [f"lib>=1{extra}"], extras=["more"])
    index.add("other", "1.0", ["app"])
    return index


def test_of_what_the_user_names_it_is_an_error_that_says_what_and_by_whom(index: FakeIndex) -> None:
    with pytest.raises(ResolutionError) as told:
        plan(index, "app")
    assert "app 3.0 cannot be installed: no trusted repository has signed lib" in told.value.what
    assert "(required by " in told.value.what
    assert "app==1.0" in told.value.remedy
    assert "--allow-older-releases" in told.value.remedy


def test_it_is_said_where_it_is_allowed_and_of_dependencies(
    index: FakeIndex, caplog: pytest.LogCaptureFixture
) -> None:
    for named, options in (("app", ALLOWED), ("other", None)):
        assert "app==1.0" in pins(plan(index, named, options=options))
        (said,) = [one.message for one in caplog.records if one.levelno == logging.WARNING]
        assert said.startswith("app 3.0 cannot be installed: no trusted repository has signed lib")
        assert said.endswith("Using app 1.0 instead.")
        caplog.clear()


def test_nothing_is_said_where_something_else_decides(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    index = FakeIndex()
    index.add("app", "1.0")
    index.add("app", "2.0", ["lib>=5", "gone; python_version < '3'"])
    index.add("lib", "1.0")
    index.add("old", "1.0")
    index.add("old", "2.0", ["nowhere"])
    install(tmp_path, "nowhere", "1.0")
    assert pins(plan(index, "app", "old<2")) == ["old==1.0", "app==1.0"]
    assert pins(plan(index, "old", site=tmp_path)) == ["old==2.0"]
    assert pins(plan(index, "old", options=ResolveOptions(no_deps=True))) == ["old==2.0"]
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_what_another_release_needs_in_its_place_is_looked_at_too() -> None:
    index = FakeIndex()
    index.add("app", "1.0")
    index.add("app", "2.0", ["mid"])
    index.add("mid", "1.0", ["first"])
    index.add("mid", "2.0", ["second"])
    with pytest.raises(ResolutionError, match=r"second \(required by mid 2.0\)"):
        plan(index, "app")
