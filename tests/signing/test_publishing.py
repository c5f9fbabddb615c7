"""The contents of a repository after changes of its owner, as other clients see them."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from packaging.utils import NormalizedName

from securepip.errors import FormatError, RepositoryStateError
from securepip.formats.digests import sha256_of
from securepip.formats.page import PageFile, ProjectPage
from securepip.signing.publish.add import add
from securepip.signing.publish.bins import bin_count
from securepip.signing.publish.create import create
from securepip.signing.publish.remove import remove
from securepip.signing.repository.repository import Repository
from tests.signing.clients import fetch_everything, read_plainly
from tests.support.repositories import MadeRepository, make_repository, serve
from tests.support.wheels import make_sdist, make_wheel, metadata_text

FLASK = NormalizedName("flask")


@pytest.fixture
def made(tmp_path: Path) -> MadeRepository:
    return make_repository(
        tmp_path / "repository",
        make_wheel(tmp_path, "Flask", "3.0", ["Werkzeug>=3"], requires_python=">=3.8"),
        make_wheel(tmp_path, "Werkzeug", "3.0"),
        make_sdist(tmp_path, "sd.ist", "1.0"),
    )


def test_python_tuf_fetches_and_verifies_every_target_over_http(
    made: MadeRepository, tmp_path: Path
) -> None:
    with serve(made.folder) as url:
        paths = fetch_everything(made.folder, tmp_path / "client", url)
    assert paths == {
        "simple/flask/index.json",
        "simple/sd-ist/index.json",
        "simple/werkzeug/index.json",
        "packages/flask/flask-3.0-py3-none-any.whl",
        "packages/sd-ist/sd_ist-1.0.tar.gz",
        "packages/werkzeug/werkzeug-3.0-py3-none-any.whl",
    }


def test_plain_pip_installs_from_the_simple_url(made: MadeRepository, tmp_path: Path) -> None:
    into = tmp_path / "site"
    with serve(made.folder) as url:
        command = [sys.executable, "-m", "pip", "--isolated", "install", "--no-cache-dir", "-q"]
        command += ["--index-url", f"{url}simple/", "--target", str(into), "flask", "sd-ist"]
        subprocess.run(command, check=True, timeout=120)
    installed = {path.name for path in into.iterdir() if path.suffix != ".dist-info"}
    assert {"flask", "werkzeug", "sd_ist"} <= installed


def test_everyday_work_needs_only_the_online_key(made: MadeRepository, tmp_path: Path) -> None:
    shutil.rmtree(made.offline_keys)
    with Repository.open(made.folder) as repository:
        add(repository, [make_wheel(tmp_path, "flask", "3.1")])
        remove(repository, "werkzeug")
    paths = fetch_everything(made.folder, tmp_path / "client")
    assert "packages/flask/flask-3.1-py3-none-any.whl" in paths
    assert read_plainly(made.folder) == {
        "flask-3.0-py3-none-any.whl",
        "flask-3.1-py3-none-any.whl",
        "sd_ist-1.0.tar.gz",
    }


def test_without_the_online_key_nothing_changes(made: MadeRepository, tmp_path: Path) -> None:
    shutil.rmtree(made.online_keys)
    before = _files(made.folder / "metadata")
    with (
        Repository.open(made.folder) as repository,
        pytest.raises(RepositoryStateError, match="0 of 1 keys"),
    ):
        add(repository, [make_wheel(tmp_path, "flask", "3.1")])
    assert _files(made.folder / "metadata") == before


def test_keys_are_for_their_owner_and_everything_served_is_for_the_web_server(
    made: MadeRepository,
) -> None:
    for folder in (made.online_keys, made.offline_keys):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(key.stat().st_mode) for key in folder.iterdir()} == {0o600}
    assert stat.S_IMODE((made.folder / "state").stat().st_mode) == 0o700
    umask = os.umask(0)
    os.umask(umask)
    for name in ("metadata", "simple", "packages"):
        for path in (made.folder / name).rglob("*"):
            expected = 0o777 if path.is_dir() else 0o666
            assert stat.S_IMODE(path.stat().st_mode) == expected & ~umask


def test_the_roles_are_signed_by_the_keys_that_the_design_names(made: MadeRepository) -> None:
    roles = made.repository.roles()
    root, targets = roles.root.signed, roles.targets.signed
    assert (root.roles["root"].threshold, len(root.roles["root"].keyids)) == (2, 3)
    assert root.consistent_snapshot
    delegations = targets.delegations
    assert delegations is not None
    assert delegations.roles is not None
    assert list(delegations.roles) == ["claimed", "recently-claimed", "bins"]
    assert not any(role.terminating for role in delegations.roles.values())
    online = root.roles["timestamp"].keyids
    assert online == root.roles["snapshot"].keyids == roles.succinct.keyids
    assert online == delegations.roles["recently-claimed"].keyids
    offline = [root.roles["targets"], delegations.roles["bins"], delegations.roles["claimed"]]
    assert all(role.keyids != online for role in offline)
    meta = roles.snapshot.signed.meta
    assert set(meta) == {
        *(f"{name}.json" for name in roles.bin_names()),
        *("targets.json", "bins.json", "claimed.json", "recently-claimed.json"),
    }
    assert meta["targets.json"].length
    assert all(meta[f"{name}.json"].length for name in roles.bin_names())
    snapshot = roles.timestamp.signed.snapshot_meta
    assert snapshot.length
    assert set(snapshot.hashes or ()) == {"sha256"}


def test_a_bin_whose_targets_did_not_change_is_not_signed_again(
    made: MadeRepository, tmp_path: Path
) -> None:
    roles = made.repository.roles()
    before = {name: roles.meta(name).version for name in roles.bin_names()}
    published = made.add(make_wheel(tmp_path, "flask", "3.1"))
    after = made.repository.roles()
    changed = {name for name in before if after.meta(name).version != before[name]}
    # The page and the new file: the bin of the old file changes only if it has one of these.
    new = ["simple/flask/index.json", "packages/flask/flask-3.1-py3-none-any.whl"]
    assert changed == {after.bin_of(path) for path in new}
    assert set(published.signed) == {*changed, "snapshot", "timestamp"}


def test_adding_the_same_file_again_signs_nothing(made: MadeRepository, tmp_path: Path) -> None:
    before = _files(made.folder / "metadata")
    published = made.add(make_wheel(tmp_path / "again", "Werkzeug", "3.0"))
    assert (published.projects, published.signed) == ((), ())
    assert _files(made.folder / "metadata") == before


def test_the_page_says_what_the_metadata_says(made: MadeRepository) -> None:
    page = made.repository.page(FLASK)
    assert page is not None
    (file,) = page.files
    assert file.requires_python == ">=3.8"
    assert file.upload_time is not None
    served = made.folder / "packages/flask/flask-3.0-py3-none-any.whl.metadata"
    assert sha256_of(served.read_bytes()) == file.core_metadata
    assert served.samefile(served.with_name(f"{file.core_metadata}.{served.name}"))


def test_the_metadata_of_an_sdist_that_a_build_could_change_is_not_served(
    made: MadeRepository, tmp_path: Path
) -> None:
    made.add(make_sdist(tmp_path, "moving", "1.0", dynamic=["Requires-Dist"]))
    page = made.repository.page(NormalizedName("moving"))
    assert page is not None
    assert page.files[0].core_metadata is None
    static = made.repository.page(NormalizedName("sd-ist"))
    assert static is not None
    assert static.files[0].core_metadata is not None


def test_a_file_that_disagrees_with_its_metadata_is_refused(
    made: MadeRepository, tmp_path: Path
) -> None:
    renamed = make_wheel(tmp_path, "flask", "3.2").rename(tmp_path / "flask-9.9-py3-none-any.whl")
    other_name = make_wheel(tmp_path, "evil", "1.0").rename(tmp_path / "flask-1.0-py3-none-any.whl")
    lying = make_wheel(tmp_path, "liar", "1.0", metadata=metadata_text("flask", "1.0"))
    not_a_wheel = tmp_path / "flask-4.0-py3-none-any.whl"
    not_a_wheel.write_bytes(b"nothing")
    text = tmp_path / "notes.txt"
    text.write_text("nothing")
    before = _files(made.folder)
    for path in (renamed, other_name, lying, not_a_wheel, text):
        with pytest.raises(FormatError):
            made.add(make_wheel(tmp_path, "fine", "1.0"), path)
    wheel = make_wheel(tmp_path, "fine", "1.0")
    with pytest.raises(RepositoryStateError, match="twice"):
        made.add(wheel, make_wheel(tmp_path / "other", "fine", "1.0"))
    with pytest.raises(RepositoryStateError, match="cannot be read"):
        made.add(tmp_path / "missing-1.0-py3-none-any.whl")
    assert _files(made.folder) == before


@pytest.mark.parametrize(
    ("lost", "extra"),
    [
        ("WHEEL", ""),
        ("RECORD", ""),
        ("", "other-1.0.dist-info/LICENSE"),
        ("", "FLASK-4.0.dist-info/x"),
    ],
)
def test_a_wheel_that_nothing_can_install_is_refused(
    made: MadeRepository, tmp_path: Path, lost: str, extra: str
) -> None:
    wheel = make_wheel(tmp_path / "whole", "flask", "4.0")
    broken = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(broken, "w") as archive:
        for name in source.namelist():
            if not lost or not name.endswith(f"/{lost}"):
                archive.writestr(name, source.read(name))
        if extra:
            archive.writestr(extra, b"")
    command = [sys.executable, "-m", "pip", "--isolated", "install", "--no-deps", "--target"]
    assert subprocess.run([*command, tmp_path / "there", broken], check=False).returncode != 0
    with pytest.raises(FormatError, match=lost or "dist-info"):
        made.add(broken)
    made.add(wheel)


def test_a_published_file_name_never_gets_other_bytes(made: MadeRepository, tmp_path: Path) -> None:
    other = make_wheel(tmp_path / "b", "flask", "3.0", files={"flask.py": "import evil"})
    before = _files(made.folder / "packages")
    with pytest.raises(RepositoryStateError, match="signed before with other bytes"):
        made.add(other)
    assert _files(made.folder / "packages") == before
    # Also not after it was removed, or after the removal is undone.
    remove(made.repository, "flask-3.0-py3-none-any.whl")
    with pytest.raises(RepositoryStateError, match="signed before with other bytes"):
        add(made.repository, [other], restore=True)


def test_a_refused_change_can_be_accepted_with_just_the_bytes_that_were_refused(
    made: MadeRepository, tmp_path: Path
) -> None:
    ledger = made.repository.ledger
    accepted = make_wheel(tmp_path / "b", "flask", "3.0", files={"flask.py": "b"})
    third = make_wheel(tmp_path / "c", "flask", "3.0", files={"flask.py": "c"})
    remove(made.repository, "flask-3.0-py3-none-any.whl")
    with pytest.raises(RepositoryStateError):
        add(made.repository, [accepted], restore=True)
    with pytest.raises(RepositoryStateError, match="no change"):
        ledger.accept_change("flask-9.9-py3-none-any.whl")
    sha256 = sha256_of(accepted.read_bytes())
    assert ledger.accept_change("flask-3.0-py3-none-any.whl") == [("flask", sha256)]
    with pytest.raises(RepositoryStateError, match="signed before with other bytes"):
        add(made.repository, [third])
    assert add(made.repository, [accepted]).projects == ("flask",)
    assert ledger.known(FLASK) == {"flask-3.0-py3-none-any.whl": sha256}
    fetch_everything(made.folder, tmp_path / "client")


def test_what_was_removed_is_gone_for_everybody_and_stays_away(
    made: MadeRepository, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path, "flask", "3.1")
    made.add(wheel, make_wheel(tmp_path, "flask", "3.1", build="2"))
    assert len(remove(made.repository, "flask==3.1").filenames) == 2
    assert read_plainly(made.folder) >= {"flask-3.0-py3-none-any.whl"}
    assert not list(made.folder.rglob("*flask-3.1*"))
    with pytest.raises(RepositoryStateError, match="was removed"):
        made.add(wheel)
    with pytest.raises(RepositoryStateError, match="was removed"):
        made.add(make_sdist(tmp_path, "flask", "3.1"))
    assert made.add(make_wheel(tmp_path, "flask", "3.2")).projects == ("flask",)
    assert add(made.repository, [wheel], restore=True).projects == ("flask",)
    paths = fetch_everything(made.folder, tmp_path / "client")
    assert "packages/flask/flask-3.1-py3-none-any.whl" in paths


def test_a_removed_project_is_not_listed_and_not_signed(
    made: MadeRepository, tmp_path: Path
) -> None:
    assert remove(made.repository, "Flask").whole_project
    assert made.repository.projects() == ["sd-ist", "werkzeug"]
    assert made.repository.page(FLASK) is None
    assert not list((made.folder / "packages/flask").iterdir())
    assert not any("flask" in path for path in fetch_everything(made.folder, tmp_path / "client"))
    assert made.repository.ledger.is_withdrawn(FLASK)
    for what in ("flask", "werkzeug==9", "werkzeug-9-py3-none-any.whl"):
        with pytest.raises(RepositoryStateError):
            remove(made.repository, what)


def test_an_overlay_page_is_signed_without_copying_its_files(
    made: MadeRepository, tmp_path: Path
) -> None:
    project = NormalizedName("elsewhere")
    file = PageFile(
        "elsewhere-1.0.tar.gz", "https://files.example.org/e.tar.gz", sha256_of(b"e"), 1
    )
    page = ProjectPage(project, (file,))
    made.repository.publish({project: page})
    assert made.repository.page(project) == page
    assert not (made.folder / "packages" / project).exists()
    target = made.repository.roles().target("packages/elsewhere/elsewhere-1.0.tar.gz")
    assert target is not None
    assert (target.length, target.hashes) == (1, {"sha256": sha256_of(b"e")})
    missing = file._replace(url="../../packages/elsewhere/elsewhere-1.0.tar.gz")
    with pytest.raises(RepositoryStateError, match="not in this repository"):
        made.repository.publish({project: ProjectPage(project, (missing,))})


def test_who_can_write_to_the_served_folder_gets_no_signature(
    made: MadeRepository, tmp_path: Path
) -> None:
    roles = made.repository.roles()
    name = roles.bin_of("simple/flask/index.json")
    path = made.folder / "metadata" / f"{roles.meta(name).version}.{name}.json"
    digest = hashlib.sha256(b"evil").hexdigest().encode()
    good = made.repository.page(FLASK)
    assert good is not None
    own = roles.target("simple/flask/index.json")
    assert own is not None
    path.write_bytes(path.read_bytes().replace(own.hashes["sha256"].encode(), digest))
    wheel = make_wheel(tmp_path, "flask", "3.1")
    with (
        Repository.open(made.folder) as repository,
        pytest.raises(RepositoryStateError, match="not signed as it has to be"),
    ):
        add(repository, [wheel])


def test_a_page_that_was_changed_on_disk_is_noticed(made: MadeRepository) -> None:
    (path,) = (made.folder / "simple/flask").glob("*.index.json")
    path.write_bytes(path.read_bytes().replace(b"flask", b"flesk"))
    with pytest.raises(RepositoryStateError, match="not the page that was signed"):
        made.repository.page(FLASK)


def test_a_repository_is_not_made_over_something_else(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(RepositoryStateError, match="not empty"):
        create(tmp_path / "full", online_keys=tmp_path / "a", offline_keys=tmp_path / "b")
    made = make_repository(tmp_path / "repository")
    with pytest.raises(RepositoryStateError, match="already"):
        create(made.folder, online_keys=tmp_path / "a", offline_keys=tmp_path / "b")
    with pytest.raises(RepositoryStateError, match="in the repository itself"):
        create(tmp_path / "new", online_keys=tmp_path / "new" / "keys")


def test_the_number_of_bins_is_where_a_client_downloads_least() -> None:
    assert bin_count(2_273_539) == 16_384  # PEP 458
    for files in (1, 100, 10_000, 1_000_000, 22_735_390):
        bins = bin_count(files)

        def cost(count: float, files: int = files) -> float:
            return 45 * count + 20 * files * 180 / count

        assert cost(bins) <= min(cost(bins * 2), cost(bins / 2))


class RepositoryMachine(RuleBasedStateMachine):
    """Adds and removes files at random, and compares the repository with a set of names."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.made = make_repository(self.folder / os.urandom(8).hex())
        self.published: set[str] = set()
        self.removed: set[str] = set()

    @rule(name=st.sampled_from("ab"), versions=st.sets(st.sampled_from("123"), min_size=1))
    def add(self, name: str, versions: set[str]) -> None:
        wheels = [make_wheel(self.folder, name, version) for version in versions]
        names = {wheel.name for wheel in wheels}
        if names & self.removed:
            with pytest.raises(RepositoryStateError):
                self.made.add(*wheels)
        else:
            self.made.add(*wheels)
            self.published |= names

    @precondition(lambda self: self.published)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        filename = data.draw(st.sampled_from(sorted(self.published)))
        remove(self.made.repository, filename)
        self.published.remove(filename)
        self.removed.add(filename)

    @invariant()
    def everybody_sees_the_same(self) -> None:
        client = self.made.folder.with_suffix(".client")
        paths = fetch_everything(self.made.folder, client)
        signed = {path.rpartition("/")[2] for path in paths} - {"index.json"}
        assert signed == self.published == read_plainly(self.made.folder)


def test_any_history_leaves_what_was_published_and_not_removed(tmp_path: Path) -> None:
    RepositoryMachine.folder = tmp_path
    case = RepositoryMachine.TestCase
    case.settings = settings(max_examples=5, stateful_step_count=8)
    case("runTest").runTest()


def _files(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "state" not in path.parts
    }


def test_two_processes_that_add_at_once_both_succeed(made: MadeRepository, tmp_path: Path) -> None:
    made.repository.ledger.close()
    wheels = [make_wheel(tmp_path, f"at-once-{number}", "1.0") for number in range(3)]
    start = [sys.executable, "-m", "securepip", "repo", "add", str(made.folder)]
    running = [subprocess.Popen([*start, str(wheel)]) for wheel in wheels]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    paths = fetch_everything(made.folder, tmp_path / "client")
    assert {f"packages/at-once-{n}/{wheel.name}" for n, wheel in enumerate(wheels)} <= paths


def test_a_disk_that_fails_is_told_in_words_and_changes_nothing(
    made: MadeRepository, tmp_path: Path
) -> None:
    (made.folder / "packages" / "new").write_text("in the way")
    before = _files(made.folder / "metadata")
    with pytest.raises(RepositoryStateError, match="cannot be changed"):
        made.add(make_wheel(tmp_path, "new", "1.0"))
    assert _files(made.folder / "metadata") == before


def test_a_file_name_that_differs_in_case_alone_is_refused(
    made: MadeRepository, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path / "b", "flask", "3.0")
    with pytest.raises(RepositoryStateError, match="written in another way"):
        made.add(wheel.rename(wheel.with_name("Flask-3.0-py3-none-any.whl")))
