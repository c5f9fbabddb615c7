"""What the user names by path, URL and ``--find-links``: allowed, hashed, and told from signed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from securepip.errors import RequirementError, ResolutionError, VerificationError
from securepip.formats.digests import sha256_of
from securepip.index.types import AnyFile, UserDirectory, UserFile
from securepip.resolver import (
    ConfigSettings,
    Plan,
    ResolveOptions,
    parse_editable,
    read_requirements,
    resolve,
)
from tests.resolver.fakes import FakeIndex, UntouchableIndex, environment, install, pins
from tests.support.wheels import make_sdist, make_wheel, metadata_text


class Builder:
    """Tells the metadata of a folder or sdist from its ``PKG-INFO``, and remembers what it did."""

    def __init__(self) -> None:
        self.built: list[tuple[str | None, AnyFile, ConfigSettings | None]] = []

    def __call__(
        self, project: str | None, file: AnyFile, config_settings: ConfigSettings | None = None
    ) -> bytes:
        self.built.append((project, file, config_settings))
        assert isinstance(file, UserDirectory)
        return (file.path / "PKG-INFO").read_bytes()


def _choose(
    *arguments: str,
    index: FakeIndex | None = None,
    file: Path | None = None,
    limits: Path | None = None,
    site: Path | None = None,
    builder: Builder | None = None,
    editables: tuple[str, ...] = (),
    options: ResolveOptions | None = None,
) -> Plan:
    asked = read_requirements(
        arguments,
        [str(file)] if file else (),
        [str(limits)] if limits else (),
        editables=editables,
    )
    index = index or UntouchableIndex()
    options = options or ResolveOptions()
    return resolve(asked, environment(site), index, options, builder or Builder())


def _project(folder: Path, name: str, *requires: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[build-system]\nrequires = []\n")
    (folder / "PKG-INFO").write_text(metadata_text(name, "1.0", requires, extras=["fast"]))
    return folder


def _here(*places: Path) -> ResolveOptions:
    return ResolveOptions(no_index=True, find_links=tuple(map(str, places)))


class TestFindLinks:
    def test_without_an_index_the_folder_alone_counts(self, tmp_path: Path) -> None:
        wheel = make_wheel(tmp_path, "web", "1.0", ["base"])
        make_wheel(tmp_path, "base", "2.0")
        chosen = _choose("web", options=_here(tmp_path))
        assert pins(chosen) == ["base==2.0", "web==1.0"]
        file = chosen.install[1].file
        assert isinstance(file, UserFile)
        assert file.sha256 == sha256_of(wheel.read_bytes())
        assert file.url == wheel.as_uri()
        assert file.why == f"--find-links {tmp_path}"
        assert not chosen.install[1].is_direct
        assert chosen.signed == []

    def test_the_index_is_asked_too_and_the_newest_wins(self, tmp_path: Path) -> None:
        make_wheel(tmp_path, "web", "1.0")
        make_wheel(tmp_path, "base", "2.0")
        index = FakeIndex()
        index.add("web", "1.1", ["base"])
        index.add("base", "1.0")
        chosen = _choose("web", index=index, options=ResolveOptions(find_links=(str(tmp_path),)))
        assert pins(chosen) == ["base==2.0", "web==1.1"]
        # A file of the user's that nobody named won over a signed one: that is to be said.
        assert str(chosen.install[0].beats_signed) == "1.0"
        assert chosen.install[1].beats_signed is None

    def test_of_equals_the_signed_one_is_taken(self, tmp_path: Path) -> None:
        make_wheel(tmp_path, "web", "1.0")
        index = FakeIndex()
        index.add("web", "1.0")
        chosen = _choose("web", index=index, options=ResolveOptions(find_links=(str(tmp_path),)))
        assert chosen.install[0].signed is not None

    def test_a_page_of_links_is_read_and_what_it_says_counts(self, tmp_path: Path) -> None:
        make_wheel(tmp_path / "files", "web", "1.0")
        make_wheel(tmp_path / "files", "web", "2.0")
        make_wheel(tmp_path / "files", "web", "3.0")
        page = tmp_path / "links.html"
        page.write_text(
            '<a href="files/web-1.0-py3-none-any.whl">1</a>'
            '<a href="files/web-2.0-py3-none-any.whl" data-yanked="broken">2</a>'
            '<a href="files/web-3.0-py3-none-any.whl" data-requires-python="&lt;3">3</a>'
            '<a href="https://packages.example.org/web-4.0-py3-none-any.whl">4</a>'
        )
        assert pins(_choose("web", options=_here(page))) == ["web==1.0"]

    def test_an_address_elsewhere_is_refused(self) -> None:
        options = ResolveOptions(find_links=("https://packages.example.org/links",))
        with pytest.raises(RequirementError, match="not on this machine"):
            _choose("web", options=options)

    def test_nothing_found_is_said_as_pip_says_it(self, tmp_path: Path) -> None:
        with pytest.raises(ResolutionError, match="No matching distribution found for web"):
            _choose("web", options=_here(tmp_path))

    def test_a_file_that_lies_about_itself_is_passed_over(self, tmp_path: Path) -> None:
        make_wheel(tmp_path, "web", "1.0")
        make_wheel(tmp_path, "web", "2.0", metadata=metadata_text("web", "9.0"))
        assert pins(_choose("web", options=_here(tmp_path))) == ["web==1.0"]

    def test_a_hash_in_a_file_is_compared_before_the_wheel_is_used(self, tmp_path: Path) -> None:
        wheel = make_wheel(tmp_path, "web", "1.0")
        asked = tmp_path / "asked.txt"
        digest = hashlib.sha512(wheel.read_bytes()).hexdigest()
        asked.write_text(f"web==1.0 --hash=sha512:{digest}")
        assert pins(_choose(file=asked, options=_here(tmp_path))) == ["web==1.0"]
        asked.write_text(f"web==1.0 --hash=sha512:{digest[::-1]}")
        with pytest.raises(VerificationError, match="DO NOT MATCH"):
            _choose(file=asked, options=_here(tmp_path))

    def test_a_file_may_name_a_folder_beside_it(self, tmp_path: Path) -> None:
        make_wheel(tmp_path / "wheels", "web", "1.0")
        asked = tmp_path / "asked.txt"
        asked.write_text("--no-index\n--find-links wheels\nweb\n")
        assert pins(_choose(file=asked)) == ["web==1.0"]


class TestDirect:
    def test_a_wheel_by_path_or_url_needs_no_index(self, tmp_path: Path) -> None:
        wheel = make_wheel(tmp_path, "web", "1.0")
        for named in (str(wheel), wheel.as_uri(), f"web @ {wheel.as_uri()}"):
            chosen = _choose(named).install[0]
            assert (chosen.project, chosen.is_direct, chosen.requested) == ("web", True, True)
            assert isinstance(chosen.file, UserFile)
            assert chosen.file.url == wheel.as_uri()

    def test_what_it_depends_on_is_verified(self, tmp_path: Path) -> None:
        wheel = make_wheel(
            tmp_path, "web", "1.0", ["base", "quick; extra == 'fast'"], extras=["fast"]
        )
        index = FakeIndex()
        index.add("base", "1.0")
        index.add("quick", "1.0")
        chosen = _choose(f"{wheel}[fast]", index=index)
        assert sorted(pins(chosen)) == ["base==1.0", "quick==1.0", "web==1.0"]
        assert len(chosen.signed) == 2
        own = next(one for one in chosen.install if one.is_direct)
        assert own.requested_extras == ("fast",)

    def test_a_folder_is_built_for_its_metadata(self, tmp_path: Path) -> None:
        folder = _project(tmp_path / "web", "web", "quick; extra == 'fast'")
        index = FakeIndex()
        index.add("quick", "1.0")
        builder = Builder()
        chosen = _choose(f"{folder}[fast]", index=index, builder=builder)
        assert sorted(pins(chosen)) == ["quick==1.0", "web==1.0"]
        assert builder.built[0][0] is None

    def test_an_editable_is_one(self, tmp_path: Path) -> None:
        folder = _project(tmp_path / "web", "web")
        file = _choose(editables=(str(folder),)).install[0].file
        assert isinstance(file, UserDirectory)
        assert file.editable

    def test_a_static_sdist_is_not_built(self, tmp_path: Path) -> None:
        sdist = make_sdist(tmp_path, "web", "1.0")
        builder = Builder()
        assert pins(_choose(str(sdist), builder=builder)) == ["web==1.0"]
        assert not builder.built

    def test_a_hash_in_the_url_is_compared(self, tmp_path: Path) -> None:
        wheel = make_wheel(tmp_path, "web", "1.0")
        good = f"{wheel.as_uri()}#sha256={sha256_of(wheel.read_bytes())}"
        assert pins(_choose(good)) == ["web==1.0"]
        with pytest.raises(VerificationError):
            _choose(f"{wheel.as_uri()}#sha256={'0' * 64}")

    def test_hash_checking_asks_for_a_hash_of_each_and_takes_no_folder(
        self, tmp_path: Path
    ) -> None:
        wheel = make_wheel(tmp_path, "web", "1.0")
        folder = _project(tmp_path / "base", "base")
        strict = ResolveOptions(require_hashes=True)
        with pytest.raises(ResolutionError, match="missing from some requirements"):
            _choose(str(wheel), options=strict)
        with pytest.raises(ResolutionError, match="they point to directories"):
            _choose(str(folder), options=strict)

    def test_two_files_of_one_project_conflict(self, tmp_path: Path) -> None:
        one, two = (make_wheel(tmp_path, "web", version) for version in ("1.0", "2.0"))
        with pytest.raises(ResolutionError, match="conflicting dependencies"):
            _choose(str(one), str(two))

    def test_a_constraint_may_name_the_file(self, tmp_path: Path) -> None:
        wheel = make_wheel(tmp_path, "base", "1.0")
        index = FakeIndex()
        index.add("web", "1.0", ["base"])
        index.add("base", "2.0")
        limits = tmp_path / "limits.txt"
        limits.write_text(f"base @ {wheel.as_uri()}\n")
        chosen = _choose("web", index=index, limits=limits)
        assert pins(chosen) == ["base==1.0", "web==1.0"]
        assert isinstance(chosen.install[0].file, UserFile)

    def test_a_signed_distribution_cannot_name_a_file_of_this_machine(self, tmp_path: Path) -> None:
        wheel = make_wheel(tmp_path, "base", "1.0")
        index = FakeIndex()
        index.add("web", "1.0", [f"base @ {wheel.as_uri()}"])
        with pytest.raises(ResolutionError, match="base @ file:"):
            _choose("web", index=index)
        own = make_wheel(tmp_path, "own", "1.0", [f"base @ {wheel.as_uri()}"])
        assert pins(_choose(str(own))) == ["base==1.0", "own==1.0"]

    def test_nothing_is_built_for_what_is_not_for_this_python(self, tmp_path: Path) -> None:
        folder = _project(tmp_path / "base", "base")
        wheel = make_wheel(
            tmp_path, "web", "1.0", [f"base @ {folder.as_uri()}"], requires_python="<3"
        )
        builder = Builder()
        with pytest.raises(ResolutionError, match="requires a different Python"):
            _choose(str(wheel), builder=builder)
        assert not builder.built

    def test_a_wheel_of_the_installed_version_is_left_and_a_folder_is_not(
        self, tmp_path: Path
    ) -> None:
        site = tmp_path / "site"
        install(site, "web", "1.0")
        wheel = make_wheel(tmp_path, "web", "1.0")
        assert pins(_choose(str(wheel), site=site)) == []
        again = ResolveOptions(force_reinstall=True)
        assert pins(_choose(str(wheel), site=site, options=again)) == ["web==1.0"]
        folder = _project(tmp_path / "web", "web")
        assert pins(_choose(str(folder), site=site)) == ["web==1.0"]

    def test_an_address_is_fetched_only_with_a_hash(self, tmp_path: Path) -> None:
        wheel = make_wheel(tmp_path, "web", "1.0")
        url = "https://packages.example.org/web-1.0-py3-none-any.whl"
        fetched: list[tuple[str, frozenset[str]]] = []

        def fetch(url: str, hashes: frozenset[str]) -> Path:
            fetched.append((url, hashes))
            return wheel

        digest = sha256_of(wheel.read_bytes())
        asked = read_requirements([f"{url}#sha256={digest}"])
        chosen = resolve(
            asked, environment(), UntouchableIndex(), ResolveOptions(), fetch_direct=fetch
        )
        assert fetched == [(url, frozenset({f"sha256:{digest}"}))]
        file = chosen.install[0].file
        assert isinstance(file, UserFile)
        assert (file.url, file.url_hash) == (url, f"sha256={digest}")


class TestChoosing:
    def test_formats(self) -> None:
        index = FakeIndex()
        index.add("web", "1.0")
        index.add("web", "2.0", filename="web-2.0.tar.gz")
        index.add("base", "1.0")
        index.add("base", "1.0", filename="base-1.0.tar.gz")
        options = ResolveOptions()
        only = ResolveOptions(formats=options.formats.with_only_binary("web"))
        assert pins(_choose("web", index=index, options=only)) == ["web==1.0"]
        prefer = ResolveOptions(prefer_binary=True)
        assert pins(_choose("web", index=index, options=prefer)) == ["web==1.0"]
        none = ResolveOptions(formats=options.formats.with_no_binary(":all:"))
        assert _choose("base", index=index, options=none).install[0].file.filename.endswith("gz")

    def test_releases(self) -> None:
        index = FakeIndex()
        for name in ("web", "base"):
            index.add(name, "1.0")
            index.add(name, "2.0rc1")
        releases = ResolveOptions().releases.with_all_releases(":all:").with_only_final("base")
        chosen = _choose("web", "base", index=index, options=ResolveOptions(releases=releases))
        assert sorted(pins(chosen)) == ["base==1.0", "web==2.0rc1"]
        with pytest.raises(ResolutionError, match="Could not find a final version"):
            _choose("base==2.0rc1", index=index, options=ResolveOptions(releases=releases))

    def test_only_the_dependencies(self) -> None:
        index = FakeIndex()
        index.add("web", "1.0", ["base"])
        index.add("base", "1.0")
        chosen = _choose("web", index=index, options=ResolveOptions(only_deps=True))
        assert pins(chosen) == ["base==1.0"]

    def test_eager_upgrades_and_ignoring_what_is_installed(self, tmp_path: Path) -> None:
        install(tmp_path, "web", "1.0", ["base"])
        install(tmp_path, "base", "1.0")
        index = FakeIndex()
        for version in ("1.0", "2.0"):
            index.add("base", version)
        index.add("web", "1.0", ["base"])
        for options, expected in (
            (ResolveOptions(upgrade=True), []),
            (ResolveOptions(upgrade=True, upgrade_strategy="eager"), ["base==2.0"]),
            (ResolveOptions(ignore_installed=True), ["base==2.0", "web==1.0"]),
        ):
            assert pins(_choose("web", index=index, site=tmp_path, options=options)) == expected

    def test_another_python_is_ignored_when_asked_for(self) -> None:
        index = FakeIndex()
        index.add("web", "1.0", requires_python="<3")
        chosen = _choose("web", index=index, options=ResolveOptions(ignore_requires_python=True))
        assert pins(chosen) == ["web==1.0"]


@pytest.mark.parametrize("written", ["file:sub/x#egg=x", "file:./sub/x#egg=x", "sub/x"])
def test_a_folder_that_is_named_from_here_is_recorded_as_it_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    folder = tmp_path / "sub" / "x"
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    link = parse_editable(written).link
    assert link is not None
    assert (link.url, link.path) == (folder.as_uri(), folder)
