"""Where each reader's limits are, and what is right on the edge of them."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Root,
    SuccinctRoles,
    TargetFile,
    Targets,
)

from securepip.errors import FormatError
from securepip.formats.digests import CHUNK, Sha256, open_plain, sha256_of, sha256_of_stream
from securepip.formats.distribution import parse_distribution
from securepip.formats.layout import (
    ALL_ROLES,
    OWN_ROLES,
    REPOSITORY_FIELD,
    ROLE_FIELD,
    check_filename,
    shard_names,
)
from securepip.formats.page import (
    MAX_PAGE_BYTES,
    PageFile,
    ProjectPage,
    parse_page,
    parse_time,
)
from securepip.formats.roles import Naming, check_name, check_role
from securepip.formats.wheel import check_installable, place_of, script_names
from securepip.formats.words import first_of, in_units, parse_reason

APP = canonicalize_name("app")
DIGEST = Sha256("a" * 64)
OURS, THEIRS = Sha256("b" * 64), Sha256("c" * 64)


def page_with(**more: object) -> bytes:
    entry = {"filename": "app-1.0.tar.gz", "url": "x", "hashes": {"sha256": DIGEST}, "size": 1}
    meta = {"api-version": "1.4"}
    return json.dumps({"meta": meta, "name": APP, "files": [{**entry, **more}]}).encode()


def file_with(**more: object) -> PageFile:
    (file,) = parse_page(page_with(**more), APP).files
    return file


# --------------------------------------------------------------------------- pages


@pytest.mark.parametrize(
    ("said", "yanked"), [(True, ""), (False, None), (None, None), ("", None), ("bad", "bad")]
)
def test_a_file_is_yanked_where_its_entry_says_so(said: object, yanked: str | None) -> None:
    assert file_with(yanked=said).yanked == yanked


def test_what_an_entry_may_leave_out_or_say_is_nothing() -> None:
    assert file_with(size=0).size == 0
    assert file_with(**{"core-metadata": False}).core_metadata is None
    assert file_with(**{"core-metadata": {"sha256": DIGEST}}).core_metadata == DIGEST
    nothing = json.loads(page_with())
    nothing["project-status"] = None
    assert parse_page(json.dumps(nothing).encode(), APP).status == "active"
    with pytest.raises(FormatError):
        file_with(url="https://packages.example.org/\ud800")
    with pytest.raises(FormatError, match="text expected, not 5"):
        file_with(url=5)
    with pytest.raises(FormatError):
        parse_page(b"[" * 100_000, APP)
    assert MAX_PAGE_BYTES > 40_000_000  # the longest that there is


def test_a_page_is_written_with_what_is_known_alone() -> None:
    egg = PageFile("app-1.0.egg", "x", DIGEST, None, other_hash="md5:0")
    bare = PageFile("app-1.0.zip", "y", Sha256(""), None)
    page = ProjectPage(APP, (egg, bare), status="archived", status_reason="<old> é")
    written = json.loads(page.to_json())
    assert page.to_json().isascii()
    assert written["versions"] == ["1.0"]
    assert [file["hashes"] for file in written["files"]] == [{"sha256": DIGEST}, {}]
    assert json.loads(ProjectPage(APP, ()).to_json())["project-status"] == {"status": "active"}
    html = page.to_html().decode()
    assert '<meta name="pypi:project-status" content="archived">' in html
    assert '<meta name="pypi:project-status-reason" content="&lt;old&gt; é">' in html
    assert f'href="x#sha256={DIGEST}"' in html
    assert 'href="y"' in html
    assert "_by_name" not in repr(page)


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02 03:04:05Z",
        "2024-01-02T03:04:05",
        "2024-01-02T03:04:05+00:00",
        "2024-01-02T03:04:05.000000+00:00Z",
        "2024-01-02T03:04:05.Z",
        "2024-01-02",
    ],
)
def test_a_time_is_of_one_form(text: str) -> None:
    with pytest.raises(ValueError, match="not an upload time"):
        parse_time(text)


# --------------------------------------------------------------------------- names


def test_names_are_as_long_as_they_may_be_and_end_as_names_do() -> None:
    assert check_filename("a" * 240)
    for wrong in ("a" * 241, "a.", "a ", "a\n", None, 5):
        with pytest.raises(FormatError):
            check_filename(wrong)
    assert shard_names("claimed", canonicalize_name("ab")) == ["claimed.a", "claimed.ab"]


def test_a_name_may_stand_for_a_thousand_tags_and_a_project_have_one_letter() -> None:
    tags = "-".join(".".join(f"{part}{n}" for n in range(10)) for part in ("py", "abi", "any"))
    app = parse_distribution(f"app-1.0-{tags}.whl", APP)
    assert app is not None
    assert app.tags == tags
    assert parse_distribution(f"app-1.0-{tags}.x.whl", APP) is None
    one = parse_distribution("a-1.0.tar.gz", canonicalize_name("a"))
    assert one is not None
    assert str(one.version) == "1.0"


def test_only_a_plain_file_is_opened_where_others_may_write(tmp_path: Path) -> None:
    plain, link, pipe = (tmp_path / name for name in ("plain", "link", "pipe"))
    plain.write_bytes(b"x" * (CHUNK + 1))
    link.symlink_to(plain)
    os.mkfifo(pipe)
    with open_plain(plain) as stream:
        assert sha256_of_stream(stream) == (sha256_of(b"x" * (CHUNK + 1)), CHUNK + 1)
    for wrong in (link, pipe, tmp_path / "nothing"):
        with pytest.raises(OSError, match=wrong.name):
            open_plain(wrong)
    assert sha256_of_stream(io.BytesIO()) == (sha256_of(b""), 0)


# --------------------------------------------------------------------------- roles


def role(**fields: str) -> Targets:
    made = Targets()
    names = {"name": ROLE_FIELD, "repository": REPOSITORY_FIELD}
    made.unrecognized_fields.update({names[key]: value for key, value in fields.items()})
    return made


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"repository": OURS}, "was signed with no name of a role"),
        ({"name": "bins-1", "repository": OURS}, "was signed as 'bins-1'"),
        ({"name": "bins-0"}, "was signed for no repository"),
        ({"name": "bins-0", "repository": THEIRS}, f"was signed for the repository '{THEIRS}'"),
    ],
)
def test_what_a_role_says_instead_is_told(said: dict[str, str], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        check_name("bins-0", role(**said), Naming(OURS, OWN_ROLES))


def test_a_large_number_of_bins_is_counted_in_hexadecimal_digits() -> None:
    succinct = SuccinctRoles([], 1, 8, "bins")
    delegator = Targets(delegations=Delegations({}, succinct_roles=succinct))
    for number in range(40):
        path = f"simple/app{number}/index.json"
        held = Targets(targets={path: TargetFile(1, {"sha256": DIGEST}, path)})
        name = succinct.get_role_for_target(path)
        check_role(name, held, delegator, Naming())
        other = f"bins-{int(name[5:], 16) ^ 1:02x}"
        with pytest.raises(FormatError, match="is another one"):
            check_role(other, held, delegator, Naming())


def test_who_delegates_otherwise_than_by_hashes_is_not_asked_what_belongs_there() -> None:
    path = "packages/elsewhere/x"
    held = Targets(targets={path: TargetFile(1, {"sha256": DIGEST}, path)})
    by_path = DelegatedRole("project.app", [], 1, True, paths=["simple/app/*"])
    delegator = Targets(delegations=Delegations({}, roles={"project.app": by_path}))
    for name in ("project.app", "project.other"):
        check_role(name, held, delegator, Naming())
    check_role("targets", held, Root(), Naming(None, None))
    assert Naming(None, ALL_ROLES).includes("project.app")


# ---------------------------------------------------------------------- wheels, words


def test_the_lines_of_entry_points_are_read_as_the_standard_library_reads_them(
    tmp_path: Path,
) -> None:
    text = "[console_scripts]\n[odd = a:b\nx = b:c]\nlong = d:e = f\n"
    path = tmp_path / "app.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("app-1.dist-info/entry_points.txt", text)
    with zipfile.ZipFile(path) as archive:
        assert script_names(archive, "app-1.dist-info") == ("[odd", "x", "long")
    path.write_bytes(b"no archive")
    with pytest.raises(FormatError, match="not a readable archive"):
        check_installable(path, "app.whl")
    assert place_of("app-1.data/scripts/a/b") == ("scripts", "a/b")
    assert place_of("app/x.data/scripts/b") == ("", "app/x.data/scripts/b")
    assert place_of("app/./b") == ("", "app/b")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (1001, "1.0 kB"),
        (9955, "10.0 kB"),
        (10_001, "10 kB"),
        (13_000, "13 kB"),
        (1_000_001, "1.0 MB"),
        (99_950_050, "100.0 MB"),
    ],
)
def test_a_size_is_said_in_the_unit_that_it_has_passed(size: int, words: str) -> None:
    assert in_units(size) == words


def test_words_are_cut_off_where_they_are_too_many() -> None:
    assert first_of(["a"], 1) == "a"
    assert first_of(["a", "b", "c"], 1) == "a and 2 more"
    with pytest.raises(FormatError):
        parse_reason("x" * 201)
