"""An index in a folder of this machine that the user names: theirs, and held to what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securepip.errors import RequirementError, ResolutionError, VerificationError
from securepip.formats.digests import sha256_of
from securepip.index.types import UserFile
from securepip.resolver import Plan, ResolveOptions, read_requirements, resolve
from tests.resolver.fakes import FakeIndex, UntouchableIndex, environment, pins
from tests.support.wheels import make_sdist, make_wheel, metadata_text

SIDECAR = "data-core-metadata"


def _page(folder: Path, *links: str) -> None:
    (folder / "index.html").write_text("<!DOCTYPE html>\n" + "\n".join(links))


def _link(file: Path, attributes: str = "", fragment: str = "") -> str:
    return f'<a href="{file.name}{fragment}" {attributes}>{file.name}</a><br>'


def _choose(place: Path | str, *asked: str, index: FakeIndex | None = None) -> Plan:
    options = ResolveOptions(no_index=index is None, own_indexes=(str(place),))
    return resolve(read_requirements(asked), environment(), index or UntouchableIndex(), options)


def test_it_may_be_a_path_or_a_url_and_have_a_space_in_it(tmp_path: Path) -> None:
    place = tmp_path / "in dex"
    wheel = make_wheel(place / "web-shop", "Web.Shop", "1.0")
    _page(place / "web-shop", _link(wheel))
    for named in (place, f"{place}/", place.as_uri(), f"{place.as_uri()}/"):
        (planned,) = _choose(named, "web_shop").install
        assert isinstance(planned.file, UserFile)
        assert planned.file.why == f"index {named}"
        assert planned.signed is None
        assert not planned.is_direct


def test_only_the_project_s_own_page_counts(tmp_path: Path) -> None:
    make_wheel(tmp_path / "web", "web", "2.0")  # beside the page, and not on it
    other = make_wheel(tmp_path / "web", "base", "9.0")
    _page(tmp_path / "web", _link(make_wheel(tmp_path / "web", "web", "1.0")), _link(other))
    assert pins(_choose(tmp_path, "web")) == ["web==1.0"]
    with pytest.raises(ResolutionError, match="No matching distribution found for base"):
        _choose(tmp_path, "base")


def test_what_its_pages_say_of_files_counts(tmp_path: Path) -> None:
    made = [make_wheel(tmp_path / "web", "web", f"{major}.0") for major in (1, 2, 3)]
    _page(
        tmp_path / "web",
        _link(made[0]),
        _link(made[1], 'data-yanked="broken"'),
        _link(made[2], 'data-requires-python="&lt;3"'),
        '<a href="https://packages.example.org/web-4.0-py3-none-any.whl">not here</a>',
    )
    assert pins(_choose(tmp_path, "web")) == ["web==1.0"]


def test_a_hash_in_a_link_is_compared_before_the_file_is_used(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "web", "web", "1.0")
    _page(tmp_path / "web", _link(wheel, fragment=f"#sha256={sha256_of(wheel.read_bytes())}"))
    assert pins(_choose(tmp_path, "web")) == ["web==1.0"]
    _page(tmp_path / "web", _link(wheel, fragment=f"#sha256={'0' * 64}"))
    with pytest.raises(VerificationError, match="DO NOT MATCH"):
        _choose(tmp_path, "web")


def test_an_extra_one_competes_with_the_repositories_and_says_so_when_it_wins(
    tmp_path: Path,
) -> None:
    index = FakeIndex()
    index.add("web", "1.0")
    index.add("base", "1.0")
    newer, same = make_wheel(tmp_path / "web", "web", "2.0"), make_wheel(tmp_path, "base", "1.0")
    _page(tmp_path / "web", _link(newer))
    (tmp_path / "base").mkdir()
    _page(tmp_path / "base", f'<a href="../{same.name}">base</a>')
    chosen = _choose(tmp_path, "web", "base", index=index).install
    base, web = sorted(chosen, key=lambda one: one.project)
    assert base.signed is not None
    assert (str(web.version), str(web.beats_signed)) == ("2.0", "1.0")


FRAGMENTS = [
    *('<a href="', '">', "<base href='", "'>", "<![", "[", "]", "--", "<!", "&#", "x" * 9, "\0"),
    *("http://[", "file:", "//", "../", "%00/", "%ff", "#sha256=", "#", "web-1.0.tar.gz", "é"),
    *(' data-core-metadata="', ' data-yanked="', ' data-requires-python="'),
]


@given(page=st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join))
def test_no_page_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, page: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "odd" / "web"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(page)
    with pytest.raises((ResolutionError, RequirementError)):
        _choose(folder.parent, "web")


def test_a_link_to_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    for href in ("web-1.0.tar.gz", "file:///no%00where/web-1.0.tar.gz"):
        _page(tmp_path / "web", f'<a href="{href}">web</a>')
        with pytest.raises(RequirementError, match="Could not install packages due to an OSError"):
            _choose(tmp_path, "web")


class TestMetadataBeside:
    """``.metadata`` files (PEP 658 and 714), which a user's own index may have as well."""

    def test_that_of_a_source_distribution_spares_a_build(self, tmp_path: Path) -> None:
        sdist = make_sdist(tmp_path / "web", "web", "1.0", metadata_version="2.1")
        beside = sdist.with_name(f"{sdist.name}.metadata")
        beside.write_text(metadata_text("web", "1.0", ["base"], metadata_version="2.1"))
        _page(
            tmp_path / "web", _link(sdist, f'{SIDECAR}="sha256={sha256_of(beside.read_bytes())}"')
        )
        (tmp_path / "base").mkdir()
        _page(tmp_path / "base", _link(make_wheel(tmp_path / "base", "base", "1.0")))
        assert pins(_choose(tmp_path, "web")) == ["base==1.0", "web==1.0"]

    @pytest.mark.parametrize(
        ("attribute", "error"),
        [
            (f'{SIDECAR}="true"', None),
            (f'{SIDECAR}="sha256={"0" * 64}"', VerificationError),
            ('data-dist-info-metadata="sha256=WRONG"', VerificationError),
        ],
    )
    def test_its_hash_is_compared_where_the_page_says_one(
        self, tmp_path: Path, attribute: str, error: type[Exception] | None
    ) -> None:
        wheel = make_wheel(tmp_path / "web", "web", "1.0")
        wheel.with_name(f"{wheel.name}.metadata").write_text(metadata_text("web", "1.0"))
        _page(tmp_path / "web", _link(wheel, attribute))
        if error is None:
            assert pins(_choose(tmp_path, "web")) == ["web==1.0"]
            return
        with pytest.raises(error, match="DO NOT MATCH"):
            _choose(tmp_path, "web")

    def test_that_of_a_wheel_must_agree_with_the_wheel(self, tmp_path: Path) -> None:
        wheel = make_wheel(tmp_path / "web", "web", "1.0")
        beside = wheel.with_name(f"{wheel.name}.metadata")
        beside.write_text(metadata_text("web", "1.0", ["evil"]))
        _page(tmp_path / "web", _link(wheel, f'{SIDECAR}="true"'))
        with pytest.raises(RequirementError, match="sidecar has 'evil', wheel has ''"):
            _choose(tmp_path, "web")

    def test_one_of_another_project_is_of_no_use(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        wheel = make_wheel(tmp_path / "web", "web", "1.0")
        wheel.with_name(f"{wheel.name}.metadata").write_text(metadata_text("Other", "1.0"))
        _page(tmp_path / "web", _link(wheel, f'{SIDECAR}="true"'))
        with caplog.at_level("INFO", "securepip"), pytest.raises(ResolutionError):
            _choose(tmp_path, "web")
        assert "inconsistent Name: expected 'web', but metadata has 'Other'" in caplog.text

    def test_one_that_is_announced_and_not_there_is_an_error(self, tmp_path: Path) -> None:
        wheel = make_wheel(tmp_path / "web", "web", "1.0")
        _page(tmp_path / "web", _link(wheel, f'{SIDECAR}="true"'))
        with pytest.raises(RequirementError, match=f"404 .* {wheel.as_uri()}.metadata"):
            _choose(tmp_path, "web")
