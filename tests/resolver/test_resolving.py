"""What is chosen, rule by rule, and what is asked of the index to learn it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.utils import NormalizedName, canonicalize_name

from securepip.errors import BrokenDistributionError, ResolutionError, VerificationError
from securepip.formats.page import PageFile, ProjectPage
from securepip.index.types import AnyFile
from securepip.resolver import (
    ConfigSettings,
    ResolveInput,
    ResolveOptions,
    UnknownProjectError,
    parse_requirement,
    resolve,
)
from securepip.resolver.candidates.offered import Offered
from securepip.resolver.search.satisfied import plan_of_nothing
from securepip.resolver.search.solve import solve
from tests.resolver.fakes import FakeIndex, UntouchableIndex, environment, install, pins, plan
from tests.support.wheels import metadata_text

ADDRESS = f"https://packages.example.org/base.zip#sha256={'0' * 64}"


def test_dependencies_come_before_what_needs_them() -> None:
    index = FakeIndex()
    index.add("web", "2.0", ["template>=3", "tools"])
    index.add("template", "3.1", ["safe"])
    index.add("safe", "1.0")
    index.add("tools", "0.5")
    chosen = plan(index, "web")
    assert pins(chosen) == ["tools==0.5", "safe==1.0", "template==3.1", "web==2.0"]
    by_project = {file.project: file for file in chosen.install}
    assert by_project[canonicalize_name("web")].requested
    assert not by_project[canonicalize_name("safe")].requested
    assert by_project[canonicalize_name("safe")].required_by == ("template",)
    assert by_project[canonicalize_name("web")].required_by == ()


def test_what_is_planned_carries_the_metadata_it_was_resolved_with() -> None:
    index = FakeIndex()
    file = index.add("web", "2.0")
    assert plan(index, "web").install[0].core_metadata == index.metadata[file.filename]


def test_extras_add_their_requirements_and_are_named_in_the_plan() -> None:
    index = FakeIndex()
    index.add("web", "1.0", ["fast; extra == 'speed'", "colour; extra == 'cli'"], extras=["speed"])
    index.add("fast", "1.0")
    chosen = plan(index, "web[speed]")
    # As in pip: what only an extra needs is no dependency of the project itself.
    assert pins(chosen) == ["web==1.0", "fast==1.0"]
    assert chosen.install[0].extras == {"speed"}


def test_an_extra_may_ask_for_other_extras_of_its_own_project() -> None:
    index = FakeIndex()
    requires = ["web[a,b]; extra == 'all'", "left; extra == 'a'", "right; extra == 'b'"]
    index.add("web", "1.0", requires, extras=["a", "b", "all"])
    index.add("left", "1.0")
    index.add("right", "1.0")
    assert sorted(pins(plan(index, "web[all]"))) == ["left==1.0", "right==1.0", "web==1.0"]


def test_extras_with_different_pins_of_one_project_conflict() -> None:
    index = FakeIndex()
    for version in ("1.0", "2.0"):
        index.add("web", version, extras=["a", "b"])
    with pytest.raises(ResolutionError, match="conflicting"):
        plan(index, "web[a]==1.0", "web[b]==2.0")


def test_an_extra_that_is_not_provided_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    index = FakeIndex()
    index.add("web", "1.0")
    assert pins(plan(index, "web[nothing]")) == ["web==1.0"]
    assert "web 1.0 does not provide the extra 'nothing'" in caplog.text


def test_markers_are_judged_in_the_target() -> None:
    index = FakeIndex()
    index.add("web", "1.0", ["old; python_version < '3.10'", "new; python_version >= '3.10'"])
    index.add("old", "1.0")
    index.add("new", "1.0")
    assert pins(plan(index, "web", python="3.9.2")) == ["old==1.0", "web==1.0"]
    assert pins(plan(index, "web", python="3.12.0")) == ["new==1.0", "web==1.0"]
    assert pins(plan(index, "web; python_version < '3'")) == []


def test_the_python_that_the_page_names_rules_out_a_file() -> None:
    index = FakeIndex()
    index.add("web", "2.0", requires_python=">=3.12")
    index.add("web", "1.0", requires_python=">=3.6")
    assert pins(plan(index, "web", python="3.10.1")) == ["web==1.0"]


def test_the_python_that_only_the_metadata_names_is_obeyed_too() -> None:
    index = FakeIndex()
    index.add("web", "2.0", requires_python=">=3.12", on_page=">=3.0")
    index.add("web", "1.0")
    assert pins(plan(index, "web", python="3.10.1")) == ["web==1.0"]


def test_an_invalid_requires_python_says_nothing() -> None:
    index = FakeIndex()
    index.add("web", "2.0", requires_python=">=3.5.*, banana")
    assert pins(plan(index, "web")) == ["web==2.0"]


def test_pre_releases_are_chosen_when_asked_for_named_or_alone() -> None:
    index = FakeIndex()
    index.add("web", "1.0")
    index.add("web", "2.0rc1")
    index.add("dawn", "0.1a1")
    assert pins(plan(index, "web")) == ["web==1.0"]
    assert pins(plan(index, "web>=2.0rc1")) == ["web==2.0rc1"]
    assert pins(plan(index, "web", options=ResolveOptions(prereleases=True))) == ["web==2.0rc1"]
    assert pins(plan(index, "dawn")) == ["dawn==0.1a1"]


def test_epochs_and_local_versions_are_ordered_as_versions_are() -> None:
    index = FakeIndex()
    index.add("web", "2024.1")
    index.add("web", "1!1.0")
    index.add("maths", "1.0")
    index.add("maths", "1.0+cpu")
    assert pins(plan(index, "web")) == ["web==1!1.0"]
    assert pins(plan(index, "maths==1.0")) == ["maths==1.0+cpu"]


def test_a_yanked_release_is_chosen_only_when_it_is_pinned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    index = FakeIndex()
    index.add("web", "1.0")
    index.add("web", "2.0", yanked="breaks things")
    assert pins(plan(index, "web")) == ["web==1.0"]
    assert pins(plan(index, "web==2.0")) == ["web==2.0"]
    assert "Reason for being yanked: breaks things" in caplog.text
    assert pins(plan(index, "web===2.0")) == ["web==2.0"]
    with pytest.raises(ResolutionError, match=r"yanked versions: 2\.0"):
        plan(index, "web>=2.0")
    with pytest.raises(ResolutionError):
        plan(index, "web==2.*")


def test_constraints_limit_without_asking() -> None:
    index = FakeIndex()
    for version in ("1.0", "2.0"):
        index.add("web", version, ["base"])
        index.add("base", version)
    assert pins(plan(index, "web", constraints=["base<2", "other==9"])) == ["base==1.0", "web==2.0"]
    with pytest.raises(ResolutionError, match=r"The user requested \(constraint\) base<1"):
        plan(index, "web", constraints=["base<1"])


def test_without_dependencies_only_what_is_named_is_chosen() -> None:
    index = FakeIndex()
    index.add("web", "1.0", ["missing"])
    assert pins(plan(index, "web", options=ResolveOptions(no_deps=True))) == ["web==1.0"]


def test_a_dependency_at_an_address_rules_out_its_release() -> None:
    index = FakeIndex()
    index.add("web", "2.0", ["base @ https://packages.example.org/base-1.0-py3-none-any.whl"])
    index.add("base", "1.0")
    with pytest.raises(ResolutionError, match="No matching distribution found for base @"):
        plan(index, "web")
    index.add("web", "1.0", ["base"])
    allowed = ResolveOptions(allow_older_releases=True)
    assert pins(plan(index, "web", options=allowed)) == ["base==1.0", "web==1.0"]


def test_a_signed_wheel_that_is_none_stops_the_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    index = FakeIndex()
    index.add("web", "1.0")
    broken = index.add("web", "2.0")
    read = index.core_metadata

    def core_metadata(project: NormalizedName, file: PageFile) -> bytes:
        if file is broken:
            raise BrokenDistributionError(f"{file.filename} is not a readable archive")
        return read(project, file)

    monkeypatch.setattr(index, "core_metadata", core_metadata)
    with pytest.raises(BrokenDistributionError, match=r"(?s)web-2\.0.*not taken in its place"):
        plan(index, "web")
    assert pins(plan(index, "web!=2.0")) == ["web==1.0"]


def test_a_release_with_invalid_metadata_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    index = FakeIndex()
    index.add("web", "3.0", ["not a requirement >"])
    index.add("web", "2.0", metadata="Metadata-Version: 2.1\nName: web\n\n")
    index.add("web", "1.0")
    assert pins(plan(index, "web")) == ["web==1.0"]
    assert "Ignoring version 3.0 of web since it has invalid metadata" in caplog.text


@pytest.mark.parametrize(("name", "version"), [("evil", "1.0"), ("web", "0.9")])
def test_a_file_that_says_it_is_something_else_is_a_failed_verification(
    name: str, version: str
) -> None:
    index = FakeIndex()
    index.add("web", "1.0", metadata=metadata_text(name, version))
    with pytest.raises(VerificationError, match=r"web-1\.0-py3-none-any\.whl"):
        plan(index, "web")


def test_names_and_versions_need_not_be_spelled_alike() -> None:
    index = FakeIndex()
    index.add("My_Web", "1.0", metadata=metadata_text("My.Web", "1.0.0"))
    assert pins(plan(index, "MY-web")) == ["my-web==1.0"]


def test_a_project_that_no_repository_has_says_who_wanted_it() -> None:
    index = FakeIndex()
    index.add("web", "2.0", ["nowhere>=1"])
    index.add("web", "1.0", ["nowhere"])
    with pytest.raises(UnknownProjectError) as caught:
        plan(index, "web")
    assert caught.value.project == "nowhere"
    assert caught.value.required_by == ("web",)
    assert "securepip repo sync DIR nowhere" in str(caught.value)


def _install_all(site: Path) -> None:
    """Distributions with extras, a cycle, an address, a pre-release and a marker that is false."""
    address = "base @ https://packages.example.org/base.zip"
    speed = ["fast[more]>=1; extra == 'speed'", "tools; extra == 'speed'"]
    install(site, "web", "1.0", ["tools", "safe<2", address, *speed], ["speed"])
    install(site, "fast", "2.0", ["other; extra == 'more'", "cyclic~=1.0"], ["more"])
    install(site, "cyclic", "1.1", ["safe", "web[speed]"])
    install(site, "tools", "1.0", ["other>=0.9", "base", "absent; python_version < '3'"])
    install(site, "safe", "1.0", ["base==1.0"])
    install(site, "base", "1.0")
    install(site, "other", "1.0a1")
    # The first pins the last, which then comes before the second.
    install(site, "shop", "1.0", ["stock", "till", "van"])
    install(site, "stock", "1.0", ["van==1.0"])
    install(site, "till", "1.0", ["tools"])
    install(site, "van", "1.0", ["other"])


class TestWhatIsInstalled:
    def test_it_is_kept_and_the_index_is_not_asked(self, tmp_path: Path) -> None:
        install(tmp_path, "web", "1.0", ["base>=1", "fast; extra == 'speed'"], ["speed"])
        install(tmp_path, "base", "1.5")
        install(tmp_path, "fast", "0.1")
        chosen = plan(UntouchableIndex(), "web[speed]>=0.5", "base", site=tmp_path)
        assert chosen.install == ()
        told = [(one.requirement, str(one.version), one.required_by) for one in chosen.satisfied]
        assert told == [
            ("web>=0.5", "1.0", ()),
            ("base", "1.5", ("web",)),
            ("fast", "0.1", ("web",)),
        ]
        assert {one.location for one in chosen.satisfied} == {str(tmp_path)}

    def test_only_what_is_missing_is_asked_of_the_index(self, tmp_path: Path) -> None:
        install(tmp_path, "web", "1.0", ["base"])
        index = FakeIndex()
        index.add("base", "1.0")
        assert pins(plan(index, "web", site=tmp_path)) == ["base==1.0"]
        assert {asked.split()[1] for asked in index.asked} == {"base", "base-1.0-py3-none-any.whl"}

    def test_what_is_missing_is_seen_after_what_is_not_wanted_here(self, tmp_path: Path) -> None:
        needs = ["tools; os_name == 'none'", "base @ https://packages.example.org/b.zip", "fast"]
        install(tmp_path, "web", "1.0", needs)
        install(tmp_path, "base", "1.0")
        index = FakeIndex()
        index.add("fast", "1.0")
        assert pins(plan(index, "web", site=tmp_path)) == ["fast==1.0"]

    def test_an_upgrade_concerns_only_what_is_named(self, tmp_path: Path) -> None:
        install(tmp_path, "web", "1.0", ["base"])
        install(tmp_path, "base", "1.0")
        index = FakeIndex()
        index.add("web", "2.0", ["base"])
        index.add("base", "2.0")
        upgrade = ResolveOptions(upgrade=True)
        assert pins(plan(index, "web", site=tmp_path, options=upgrade)) == ["web==2.0"]
        assert not any("base" in asked for asked in index.asked)

    def test_a_dependency_is_upgraded_where_it_must_be(self, tmp_path: Path) -> None:
        install(tmp_path, "base", "1.0")
        index = FakeIndex()
        index.add("web", "1.0", ["base>=2"])
        index.add("base", "2.0")
        assert pins(plan(index, "web", site=tmp_path)) == ["base==2.0", "web==1.0"]

    def test_the_newest_is_kept_by_an_upgrade(self, tmp_path: Path) -> None:
        install(tmp_path, "web", "3.0")
        index = FakeIndex()
        index.add("web", "2.0")
        chosen = plan(index, "web", site=tmp_path, options=ResolveOptions(upgrade=True))
        assert pins(chosen) == []
        assert [str(one.version) for one in chosen.satisfied] == ["3.0"]

    def test_what_it_got_from_an_address_is_kept(self, tmp_path: Path) -> None:
        addresses = [
            "base @ https://packages.example.org/base.zip",
            "fast @ https://packages.example.org/fast.zip ; extra == 'speed'",
        ]
        install(tmp_path, "web", "1.0", addresses, ["speed"])
        install(tmp_path, "base", "1.0")
        install(tmp_path, "fast", "1.0")
        assert plan(UntouchableIndex(), "web", site=tmp_path).install == ()
        assert plan(UntouchableIndex(), "web[speed]", site=tmp_path).install == ()

    @pytest.mark.parametrize(
        "words",
        [
            ("web",),
            ("tools", "web[speed]>=1; python_version > '3'"),
            ("cyclic", "safe<9", "tools"),
            ("shop",),
            ("web[speed]", "base==1.0; python_version > '3'", "other"),
        ],
    )
    def test_what_is_said_without_a_search_is_what_a_search_says(
        self, words: Sequence[str], tmp_path: Path
    ) -> None:
        _install_all(tmp_path)
        there, options = environment(tmp_path), ResolveOptions()
        asked = ResolveInput(
            tuple(parse_requirement(word, "-r all.txt (line 1)") for word in words),
            tuple(map(parse_requirement, ("safe!=3", "absent==1", "safe>5; os_name == 'none'"))),
        )
        walked = plan_of_nothing(asked, there, options)
        assert walked is not None
        assert walked == solve(asked, there, UntouchableIndex(), options)

    @pytest.mark.parametrize(
        ("words", "newer", "pages"),
        [
            (("web",), (), ["web"]),
            (("web",), ("base", "safe"), ["web"]),
            (("web[speed]",), (), ["web"]),
            (("web[speed]>=1", "tools"), (), ["tools", "web"]),
            (("cyclic<2", "safe<2", "tools"), ("safe", "cyclic"), ["cyclic", "safe", "tools"]),
            (("cyclic", "tools"), ("cyclic",), []),
            (("web", "tools"), ("tools",), []),
            (("safe", "web"), ("safe",), []),
            (("tools", "tools<2"), ("tools",), []),
            (("web[speed]", "web<3"), ("web",), ["web"]),
            (("web[speed]", "web"), ("web",), []),
            (("cyclic", "web[speed]"), ("web",), []),
            (("other", "tools"), (), []),
            (("other>=0.5a1", "web"), (), []),
            (("web", "tools; os_name == 'none'"), (), []),
        ],
    )
    def test_an_upgrade_to_nothing_newer_says_what_a_search_says(
        self,
        words: Sequence[str],
        newer: Sequence[str],
        pages: Sequence[str],
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level("INFO")
        _install_all(tmp_path)
        index, searched, offered = FakeIndex(), FakeIndex(), FakeIndex()
        for each in (index, searched, offered):
            for project, distribution in environment(tmp_path).installed.items():
                each.add(project, str(distribution.version), extras=sorted(distribution.extras))
                each.add(project, "0.1")
                each.add(project, "9.0a1")
                if project in newer:
                    each.add(project, "3.0")
        asked = ResolveInput(
            tuple(map(parse_requirement, words)),
            tuple(map(parse_requirement, ("safe!=3.0",) if "web" not in words else ())),
        )
        there, options = environment(tmp_path), ResolveOptions(upgrade=True)
        chosen = resolve(asked, there, index, options)
        said = caplog.messages.copy()
        caplog.clear()
        assert chosen == solve(asked, there, searched, options)
        assert said == caplog.messages
        is_newest = Offered(asked, there, offered, options).is_newest
        assert (plan_of_nothing(asked, there, options, is_newest) is not None) == bool(pages)
        if pages:
            assert chosen.install == ()
            assert sorted({one.partition(" ")[2] for one in index.asked}) == pages
            assert index.waves == 1

    @pytest.mark.parametrize(
        ("words", "limits", "options"),
        [
            (["base>1"], [], ResolveOptions()),
            (["base"], ["base>1"], ResolveOptions()),
            (["base"], [f"base @ {ADDRESS}"], ResolveOptions()),
            ([f"base @ {ADDRESS}"], [], ResolveOptions()),
            (["web"], [], ResolveOptions()),
            (["base[unknown]"], [], ResolveOptions()),
            (["base; python_version < '3'"], [], ResolveOptions()),
            (["base; os_name ~= 'none'"], [], ResolveOptions()),
            (["other[more]"], [], ResolveOptions()),
            (["base"], [], ResolveOptions(upgrade=True)),
            (["base"], [], ResolveOptions(force_reinstall=True)),
            (["base"], [], ResolveOptions(ignore_installed=True)),
        ],
    )
    def test_what_is_not_plainly_there_is_searched_for(
        self, words: list[str], limits: list[str], options: ResolveOptions, tmp_path: Path
    ) -> None:
        install(tmp_path, "base", "1.0")
        install(tmp_path, "web", "1.0", ["missing"])
        install(tmp_path, "other", "1.0", ["missing; extra != 'more'"], ["more"])
        asked = ResolveInput(
            tuple(map(parse_requirement, words)), tuple(map(parse_requirement, limits))
        )
        assert plan_of_nothing(asked, environment(tmp_path), options) is None

    def test_what_is_there_lacks_nothing_where_dependencies_do_not_count(
        self, tmp_path: Path
    ) -> None:
        install(tmp_path, "web", "1.0", ["missing"])
        asked = ResolveInput((parse_requirement("web"),))
        chosen = plan_of_nothing(asked, environment(tmp_path), ResolveOptions(no_deps=True))
        assert chosen is not None
        assert [one.project for one in chosen.satisfied] == ["web"]

    def test_an_upgrade_of_what_nobody_knows_is_left_to_the_search(self, tmp_path: Path) -> None:
        install(tmp_path, "web", "1.0")
        asked, there = ResolveInput((parse_requirement("web"),)), environment(tmp_path)
        options, index = ResolveOptions(upgrade=True), FakeIndex()
        index.add("web", "2.0", tag="cp27-none-win32")
        for knows in (True, False):
            if not knows:
                index.pages.clear()
            is_newest = Offered(asked, there, index, options).is_newest
            assert (plan_of_nothing(asked, there, options, is_newest) is not None) == knows
        assert resolve(asked, there, index, options) == solve(asked, there, index, options)

    def test_nothing_newer_is_asked_for_without_an_upgrade(self, tmp_path: Path) -> None:
        install(tmp_path, "web", "1.0")
        asked, there = ResolveInput((parse_requirement("web"),)), environment(tmp_path)
        assert plan_of_nothing(asked, there, ResolveOptions(), lambda *_: False) is not None

    def test_an_eager_upgrade_concerns_dependencies_too(self, tmp_path: Path) -> None:
        install(tmp_path, "web", "1.0", ["base"])
        install(tmp_path, "base", "1.0")
        index = FakeIndex()
        index.add("web", "1.0", ["base"])
        index.add("base", "2.0")
        eager = ResolveOptions(upgrade=True, upgrade_strategy="eager")
        assert pins(plan(index, "web", site=tmp_path, options=eager)) == ["base==2.0"]

    def test_an_address_that_is_not_installed_is_not_replaced_by_a_name(
        self, tmp_path: Path
    ) -> None:
        install(tmp_path, "web", "1.0", ["base @ https://packages.example.org/base.zip"])
        index = FakeIndex()
        index.add("base", "1.0")
        with pytest.raises(ResolutionError):
            plan(index, "web", site=tmp_path)

    def test_an_invalid_version_is_named_when_it_matters(self, tmp_path: Path) -> None:
        install(tmp_path, "web", "banana")
        install(tmp_path, "base", "1.0")
        assert plan(UntouchableIndex(), "base", site=tmp_path).install == ()
        with pytest.raises(ResolutionError, match="invalid version: 'banana'"):
            plan(FakeIndex(), "web", site=tmp_path)


class TestSourceDistributions:
    def test_static_metadata_needs_no_build(self) -> None:
        index = FakeIndex()
        index.add("web", "1.0", ["base"], filename="web-1.0.tar.gz")
        index.add("base", "1.0")
        assert pins(plan(index, "web")) == ["base==1.0", "web==1.0"]

    def test_a_wheel_of_the_same_version_is_preferred(self) -> None:
        index = FakeIndex()
        index.add("web", "1.0", filename="web-1.0.tar.gz")
        index.add("web", "1.0")
        assert plan(index, "web").install[0].file.filename == "web-1.0-py3-none-any.whl"

    def test_dynamic_metadata_without_a_builder_is_an_error_that_names_the_file(self) -> None:
        index = FakeIndex()
        index.add("web", "1.0", filename="web-1.0.tar.gz", dynamic=["Requires-Dist"])
        with pytest.raises(ResolutionError, match=r"web-1\.0\.tar\.gz"):
            plan(index, "web")

    def test_dynamic_metadata_comes_from_the_builder(self) -> None:
        index = FakeIndex()
        index.add("web", "1.0", filename="web-1.0.tar.gz", dynamic=["Requires-Dist"])
        index.add("base", "1.0")
        built: list[str] = []

        def build(
            project: str | None, file: AnyFile, config_settings: ConfigSettings | None = None
        ) -> bytes:
            built.append(file.filename)
            return metadata_text("web", "1.0", ["base"]).encode()

        asked = ResolveInput((parse_requirement("web"),))
        chosen = resolve(asked, environment(), index, ResolveOptions(), build)
        assert pins(chosen) == ["base==1.0", "web==1.0"]
        assert built == ["web-1.0.tar.gz"]

    def test_a_build_that_gives_another_version_is_passed_over(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        index = FakeIndex()
        index.add("web", "2.0", filename="web-2.0.tar.gz", dynamic=["Version"])
        index.add("web", "1.0")
        asked = ResolveInput((parse_requirement("web"),))
        chosen = resolve(
            asked,
            environment(),
            index,
            ResolveOptions(),
            lambda project, file, config_settings=None: metadata_text("web", "2.1").encode(),
        )
        assert pins(chosen) == ["web==1.0"]
        assert "web-2.0.tar.gz builds web 2.1" in caplog.text


class TestWaves:
    def test_a_level_of_the_tree_costs_two_waves_however_wide_it_is(self) -> None:
        index = FakeIndex()
        middle = [f"middle{number}" for number in range(20)]
        index.add("top", "1.0", middle)
        for name in middle:
            index.add(name, "1.0", [f"{name}-left", f"{name}-right"])
            index.add(f"{name}-left", "1.0")
            index.add(f"{name}-right", "1.0", ["deepest"])
        index.add("deepest", "1.0")
        assert len(plan(index, "top").install) == 62
        assert index.waves == 8

    def test_going_down_many_versions_costs_few_waves(self) -> None:
        index = FakeIndex()
        for number in range(100):
            index.add("client", f"1.{number}", [f"core=={number}"])
            index.add("core", str(number))
        assert pins(plan(index, "client", "core<5")) == ["core==4", "client==1.4"]
        assert index.waves < 20

    def test_nothing_is_asked_twice_of_the_index(self) -> None:
        index = FakeIndex()
        for version in ("1.0", "2.0", "3.0"):
            index.add("web", version, [f"base=={version}"])
            index.add("base", version)
        plan(index, "web", "base<3")
        assert len(index.asked) == len(set(index.asked))


class RefusingIndex(FakeIndex):
    """Fails the verification of one project's page."""

    refused = "base"

    def page(self, project: NormalizedName) -> ProjectPage | None:
        if project == self.refused:
            raise VerificationError(f"the page of {project} is not what was signed")
        return super().page(project)


def test_a_failed_verification_of_what_is_needed_ends_the_resolution() -> None:
    index = RefusingIndex()
    index.add("web", "2.0", ["base"])
    index.add("web", "1.0")
    with pytest.raises(VerificationError, match="the page of base"):
        plan(index, "web")


def test_a_failed_verification_of_what_was_only_guessed_ahead_does_not() -> None:
    index = RefusingIndex()
    index.add("web", "2.0", ["base"])
    index.add("web", "1.0")
    index.add("shop", "1.0", ["web<2"])
    assert pins(plan(index, "shop", "web")) == ["web==1.0", "shop==1.0"]
    assert "metadata web-2.0-py3-none-any.whl" in index.asked


def test_long_searches_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    index = FakeIndex()
    for number in range(15):
        index.add("client", f"1.{number}", [f"core=={number}"])
        index.add("core", str(number))
    plan(index, "client", "core<1")
    assert "is looking at multiple versions of client" in caplog.text
    assert "This is taking longer than usual" in caplog.text
