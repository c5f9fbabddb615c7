"""Ways past the plugin: each works without it, and is refused with it, with the reason."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from pip._internal.exceptions import InstallationError
from pip._internal.models.index import PyPI
from pip._internal.req import req_file

from securepip.formats.digests import sha256_of
from securepip.plugin.shim.requirements import check_requirements
from tests.plugin.conftest import PYTHON, assert_refused, run, run_pip
from tests.support.hostile import serve_hostile
from tests.support.indexes import Index, serve_index
from tests.support.machine import Finished, Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

_SOURCES = Path(__file__).parents[2] / "src"
_UNSIGNED = "stands for no repository that this machine trusts"
_NO_HASH = "without a hash"


@dataclass(frozen=True)
class Place:
    """The machines and the index of all tests, which install nothing there.

    Attributes:
        plain: A machine whose pip verifies nothing.
        plugged: A machine whose pip has the plugin, and which trusts the shared repository.
        index: An index without signatures that has ``evil``.
        trusted: The URL of the index of the shared repository.
        wheel: ``evil``, on this machine.
    """

    plain: Machine
    plugged: Machine
    index: Index
    trusted: str
    wheel: Path

    @property
    def address(self) -> str:
        """The URL of ``evil``."""
        return f"http://{self.index.host}/files/{self.wheel.name}"

    def download(self, machine: Machine, *words: str | Path, **variables: str) -> Finished:
        """Run ``pip download`` to a new folder."""
        return run_pip(machine, "download", "--no-deps", "-d", "downloaded", *words, **variables)

    def is_refused(self, *words: str | Path, because: str, **variables: str) -> None:
        """Check that it works without the plugin, and that with it pip stops before any request."""
        done = self.download(self.plain, *words, **variables)
        assert done.code == 0, done.err
        self.index.seen.clear()
        assert_refused(self.download(self.plugged, *words, **variables), because)
        assert not self.index.seen


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory,
    pip_environment: Path,
    enabled_environment: Path,
    shared_repository: MadeRepository,
) -> Iterator[Place]:
    """The place. All its pips use one gateway, which saves time."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "plain").mkdir()
    (folder / "plugged").mkdir()
    plain = Machine(folder / "plain", pip_environment)
    plugged = Machine(folder / "plugged", enabled_environment)
    wheel = make_wheel(folder, "evil", "1.0")
    with serve_hostile(shared_repository.folder) as server, serve_index() as index:
        plugged.trust(shared_repository, server.url)
        index.offer(wheel)
        gateway = subprocess.Popen(
            [PYTHON, "-c", "from securepip.plugin.serve import main; main()"],
            env={**plugged.variables, "PYTHONPATH": str(_SOURCES)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with gateway:
            assert gateway.stdin is not None
            assert gateway.stdout is not None
            gateway.stdin.write(json.dumps({"default_index": PyPI.simple_url}).encode() + b"\n")
            gateway.stdin.flush()
            said = json.loads(gateway.stdout.readline())
            plugged.variables["SECUREPIP_PLUGIN_GATEWAY"] = said["file"]
            yield Place(plain, plugged, index, f"{server.url}simple/", wheel)
            gateway.stdin.close()


@pytest.mark.parametrize("option", ["--index-url", "--extra-index-url", "--find-links"])
def test_an_option_that_leads_elsewhere(place: Place, option: str) -> None:
    url = f"http://{place.index.host}/simple/evil/" if "links" in option else place.index.url
    main = () if option == "--index-url" else ("--index-url", place.trusted)
    place.is_refused("evil", *main, option, url, because=_UNSIGNED)


@pytest.mark.parametrize("variable", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"])
def test_a_variable_that_leads_elsewhere(place: Place, variable: str) -> None:
    links = "LINKS" in variable
    url = f"http://{place.index.host}/simple/evil/" if links else place.index.url
    settings = {"PIP_INDEX_URL": place.trusted, variable: url}
    place.is_refused("evil", because=_UNSIGNED, **settings)


def test_a_configuration_file_that_leads_elsewhere(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(
        f"[global]\nindex-url = {place.trusted}\n[download]\nextra-index-url = {place.index.url}\n"
    )
    place.is_refused("evil", because=_UNSIGNED, PIP_CONFIG_FILE=str(file))


@pytest.mark.parametrize(
    "line", ["-i {index}", "--extra-index-url {index}", "--find-links {index}evil/"]
)
def test_a_line_of_a_requirements_file_that_leads_elsewhere(
    place: Place, tmp_path: Path, line: str
) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(f"{line.format(index=place.index.url)}\nevil\n")
    place.is_refused("-r", file, because=_UNSIGNED, PIP_INDEX_URL=place.trusted)


def test_a_trusted_host_is_not_a_trusted_repository(place: Place) -> None:
    place.is_refused(
        "evil", "-i", place.index.url, "--trusted-host", place.index.host, because=_UNSIGNED
    )


def test_a_page_of_links_on_this_machine_that_leads_elsewhere(place: Place, tmp_path: Path) -> None:
    page = tmp_path / "links.html"
    digest = sha256_of(place.wheel.read_bytes())
    page.write_text(f'<!DOCTYPE html><a href="{place.address}#sha256={digest}">{place.wheel.name}')
    place.is_refused(
        "evil", "--no-index", "--find-links", page, because="is listed on no signed page"
    )


@pytest.mark.parametrize("fragment", ["", "#md5={md5}", "#egg=evil"])
def test_an_address_without_a_strong_hash(place: Place, fragment: str) -> None:
    md5 = hashlib.md5(place.wheel.read_bytes(), usedforsecurity=False).hexdigest()
    address = place.address + fragment.format(md5=md5)
    place.is_refused("--no-index", address, because=_NO_HASH)


def test_an_address_with_its_hash_is_taken_and_with_another_refused(
    place: Place, tmp_path: Path
) -> None:
    data = place.wheel.read_bytes()
    digest = hashlib.sha512(data).hexdigest()
    done = place.download(place.plugged, f"{place.address}#sha512={digest}")
    assert done.code == 0, done.err
    file = tmp_path / "requirements.txt"
    file.write_text(f"evil @ {place.address} --hash=sha256:{sha256_of(data)}\n")
    assert place.download(place.plugged, "-r", file).code == 0
    file.write_text(f"evil @ {place.address} --hash=sha256:{'0' * 64}\n")
    assert_refused(
        place.download(place.plugged, "-r", file), "does not have the hash that you named"
    )


def test_a_dependency_at_an_address_without_a_hash(place: Place, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "local", "1.0", requires=[f"evil @ {place.address}"])
    words = ("download", "-d", "downloaded", "--no-index", wheel)
    assert run_pip(place.plain, *words).code == 0
    assert_refused(run_pip(place.plugged, *words), _NO_HASH, place.address)


def make_source(folder: Path, *requires: str) -> Path:
    """Make a source tree of ``evil`` with these build requirements."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "evil"\nversion = "1.0"\n[build-system]\n'
        f'requires = {json.dumps(requires)}\nbuild-backend = "b"\nbackend-path = ["."]\n'
    )
    (folder / "b.py").write_text(
        "import pathlib\n"
        "def get_requires_for_build_wheel(config_settings=None): return []\n"
        "def prepare_metadata_for_build_wheel(folder, config_settings=None):\n"
        "    info = pathlib.Path(folder, 'evil-1.0.dist-info')\n"
        "    info.mkdir()\n"
        "    text = 'Metadata-Version: 2.1\\nName: evil\\nVersion: 1.0\\n'\n"
        "    (info / 'METADATA').write_text(text)\n"
        "    return info.name\n"
    )
    return folder


def test_a_version_control_system(place: Place, tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "x")):
        subprocess.run([*git, *words], cwd=source, check=True)
    place.is_refused("--no-index", f"evil @ git+{source.as_uri()}", because="version control")


@pytest.mark.parametrize("feature", ["fast-deps", "inprocess-build-deps", "venv-isolation"])
def test_what_a_build_requires(place: Place, tmp_path: Path, feature: str) -> None:
    source = make_source(tmp_path / "source", "evil")
    words = (source, "--use-feature", feature, "-i")
    place.is_refused(*words, place.index.url, because=_UNSIGNED)
    source = make_source(tmp_path / "good", "lib")
    done = place.download(place.plugged, source, *words[1:], place.trusted)
    assert done.code == 0, done.err


def test_pip_that_a_program_imports(place: Place) -> None:
    program = (
        "import sys; from pip._internal.cli.main import main; "
        "sys.exit(main(['download', '--no-deps', '-d', 'downloaded', 'evil', '-i', sys.argv[1]]))"
    )
    done = run(place.plain, place.plain.python, "-c", program, place.index.url)
    assert done.code == 0, done.err
    place.index.seen.clear()
    done = run(place.plugged, place.plugged.python, "-c", program, place.index.url)
    assert_refused(done, _UNSIGNED)
    assert not place.index.seen


def test_isolated_mode_is_no_way_past_it(place: Place) -> None:
    words = ("-I", "-m", "pip", "--isolated", "download", "-d", "downloaded", "evil", "-i",
             place.index.url)  # fmt: skip
    assert run(place.plain, place.plain.python, *words).code == 0
    assert_refused(run(place.plugged, place.plugged.python, *words), _UNSIGNED)


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_python_where_the_plugin_is_not_enabled(place: Place, by_variable: bool) -> None:
    other = str(place.plain.python)
    words = ("-m", "pip", *(() if by_variable else ("--python", other)), "download", "--no-deps",
             "-d", "downloaded", "evil", "-i", place.index.url)  # fmt: skip
    variables = {"PIP_PYTHON": other} if by_variable else {}
    assert run(place.plain, place.plain.python, *words, variables=variables).code == 0
    place.index.seen.clear()
    done = run(place.plugged, place.plugged.python, *words, variables=variables)
    assert_refused(done, f"the plugin is not enabled for {other}")
    assert not place.index.seen


def test_a_way_to_connect_that_the_plugin_does_not_know(place: Place, tmp_path: Path) -> None:
    # This module stands for a pip that fetches without its session.
    leak = tmp_path / "leak.py"
    leak.write_text(
        "__name__ = 'pip._internal.leak'\n"
        "def fetch(url):\n    import urllib.request\n    urllib.request.urlopen(url).read()\n"
    )
    program = (
        "import sys, pip._internal; names = {}; exec(open(sys.argv[1]).read(), names); "
        "names['fetch'](sys.argv[2])"
    )
    for machine in (place.plain, place.plugged):
        place.index.seen.clear()
        done = run(machine, machine.python, "-c", program, leak, place.address)
        assert (done.code == 0) == (machine is place.plain), done.err
        assert bool(place.index.seen) == (machine is place.plain)
    assert "by a way that securepip's plugin does not know" in done.err


def test_a_program_that_imports_pip_may_connect_where_it_likes(place: Place) -> None:
    program = (
        "import sys, urllib.request, pip._internal; urllib.request.urlopen(sys.argv[1]).read()"
    )
    done = run(place.plugged, place.plugged.python, "-c", program, place.address)
    assert done.code == 0, done.err


def test_an_upload_of_anything(place: Place) -> None:
    done = run_pip(place.plugged, "search", "evil", "-i", place.index.url)
    assert_refused(done, "whose answer could not be verified")


_ELSEWHERE = "https://packages.example.org/requirements.txt"


@pytest.mark.parametrize(
    "text",
    [
        "app[more]==2.0 ; python_version > '3'  # a comment",
        "app==2.0 \\\n    --hash=sha256:00",
        "# nothing",
        "-c constraints.txt",
        "--only-binary=:all:",
        "--index-url https://packages.example.org/simple/",
        "-c more.txt  # and more",
        "app==2.0 --hash=sha256:00 --hash sha256:01",
        "app (>=1, <3)",
    ],
)
def test_a_requirements_file_from_elsewhere_may_name_projects(text: str) -> None:
    check_requirements(_ELSEWHERE, text, req_file)


@pytest.mark.parametrize(
    "text",
    [
        "evil @ https://packages.example.org/evil-1.0-py3-none-any.whl#sha256=00",
        "https://packages.example.org/evil-1.0-py3-none-any.whl#sha256=00",
        "git+https://packages.example.org/evil",
        "./evil-1.0-py3-none-any.whl",
        "evil-1.0-py3-none-any.whl",
        "evil-1.0.tar.gz",
        "/opt",
        "..",
        "-e .",
        "--editable=.",
        "--find-links /tmp",
        "-f/tmp",
        "--index-url /tmp/simple",
        "--trusted-host packages.example.org",
        "-r file:///etc/hosts",
        "-r ${HOME}.txt",
        "app==${HOME}",
        "app \\\n @ file:///tmp/evil-1.0-py3-none-any.whl",
        "# a comment \\\n-e /tmp/evil",
        "app==1/../../tmp/evil",
        "app==1/../evil-1.0-py3-none-any.whl",
        "app == 1.zip",
        "app[/../evil]",
        "app --config-settings=--build-option=x",
        "app==1 --hash=sha256:00 --global-option=x",
        "-r more.txt -e /tmp/evil",
        "-c more.txt --find-links /tmp",
        "--only-binary=:all: -f /tmp",
        "--index-url https://packages.example.org/simple/ --find-links=/tmp",
    ],
)
def test_a_requirements_file_from_elsewhere_may_name_nothing_else(text: str) -> None:
    with pytest.raises(InstallationError, match="names more than projects"):
        check_requirements(_ELSEWHERE, text, req_file)


def test_a_requirements_file_from_elsewhere_is_read_and_looked_at(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "good.txt").write_text("app\n-c constraints.txt\n")
    (tmp_path / "constraints.txt").write_text("app<2\n")
    # A comment cannot be continued: the last line is a separate one.
    (tmp_path / "bad.txt").write_text(f"app\n# app \\\n{place.wheel}\n")
    with serve_hostile(tmp_path) as server:
        words = ("-i", place.trusted, "-r")
        done = place.download(place.plugged, *words, f"{server.url}good.txt")
        assert "app-1.0-py3-none-any.whl" in done.out, done.err
        done = place.download(place.plugged, *words, f"{server.url}bad.txt")
        assert_refused(done, f"{server.url}bad.txt names more than projects: '{place.wheel}'")


def test_what_the_user_names_on_this_machine_stays_their_own(place: Place) -> None:
    folder = place.wheel.parent
    for words in ((str(place.wheel),), ("evil", "--no-index", "--find-links", str(folder))):
        done = place.download(place.plugged, *words)
        assert done.code == 0, done.err


def test_the_switch_lets_everything_through_and_says_so_each_time(place: Place) -> None:
    switch = {"SECUREPIP_UNSAFELY_DISABLE_PACKAGE_VERIFICATION": "1"}
    done = place.download(place.plugged, "evil", "-i", place.index.url, **switch)
    assert done.code == 0
    assert "WARNING: package verification is switched off" in done.err
    assert "WARNING" in run_pip(place.plugged, "--version", **switch).err
    switch = dict.fromkeys(switch, "perhaps")
    assert_refused(place.download(place.plugged, "evil", "-i", place.index.url, **switch))


@pytest.mark.parametrize("what", ["index-url", "extra-index-url", "find-links", "no-index"])
def test_the_environments_own_file_decides_nothing(place: Place, what: str) -> None:
    folder = place.wheel.parent
    value = {"find-links": str(folder), "no-index": "true"}.get(what, place.index.url)
    for machine in (place.plain, place.plugged):
        machine.environment.joinpath("pip.conf").write_text(f"[global]\n{what} = {value}\n")
    # Both pips read it, because `PIP_CONFIG_FILE` is not set.
    variables = {"PIP_CONFIG_FILE": str(folder / "no.conf")}
    try:
        if what != "no-index":
            fooled = place.download(place.plain, "evil", **variables)
            assert ("evil-1.0" in fooled.out) == (fooled.code == 0)
            assert fooled.code == 0 or what == "extra-index-url", fooled.err
            done = place.download(place.plugged, "evil", **variables)
            assert_refused(done, "No matching distribution found for evil")
            assert "no trusted repository knows the project evil" in done.err
        place.index.seen.clear()
        done = place.download(place.plugged, "app", **variables)
        assert done.code == 0, done.err
        assert f"Not obeying {what} = " in done.err
        assert "pip.conf says" in done.err
        assert not place.index.seen
    finally:
        for machine in (place.plain, place.plugged):
            machine.environment.joinpath("pip.conf").unlink()


@pytest.mark.parametrize("password", ["p%2Fq%40x", "secr%3Ft", "p%23q"])
def test_no_password_of_an_address_is_printed(place: Place, password: str) -> None:
    index = place.index.url.replace("//", f"//alice:{password}@")
    done = place.download(place.plugged, "evil", "-i", index, "-vv")
    assert_refused(done, _UNSIGNED)
    for spelled in (password, unquote(password), quote(unquote(password), safe="")):
        assert spelled not in done.err + done.out
