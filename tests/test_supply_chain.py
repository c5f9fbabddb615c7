"""What securepip itself is made of: locked by digests, built the same twice, and listed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHECKOUT = Path(__file__).parents[1]
LOCK = tomllib.loads((CHECKOUT / "pylock.toml").read_text())
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lock as requirements for pip."""
    script = CHECKOUT / "scripts" / "locked.py"
    place = tmp_path_factory.mktemp("locked") / "locked.txt"
    place.write_text(subprocess.check_output([sys.executable, script], text=True))
    return place


def test_the_lock_has_what_the_project_asks_for_and_a_digest_for_every_file() -> None:
    versions: dict[str, list[str]] = {}
    for package in LOCK["packages"]:
        versions.setdefault(canonicalize_name(package["name"]), []).append(package["version"])
        files = [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
        assert files
        for file in files:
            assert len(file["hashes"]["sha256"]) == 64
            assert set(file["path"].split("/")[:-1]) == {"wheels"}, "the lock names no server"
            assert "url" not in file
    needed = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"]
    for requirement in map(Requirement, needed):
        found = versions[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in found), requirement


def test_every_requirement_of_the_lock_has_hashes(locked: Path) -> None:
    lines = locked.read_text().splitlines()
    assert len(lines) == len(LOCK["packages"])
    assert all(" --hash=sha256:" in line for line in lines)


def test_a_release_is_the_same_twice_and_its_parts_are_listed(tmp_path: Path) -> None:
    script = CHECKOUT / "scripts" / "release"
    for name in ("one", "other"):
        subprocess.run([sys.executable, script, tmp_path / name], check=True, capture_output=True)
    made = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert [Path(name).suffix for name in made] == [".whl", ".gz", ".json"]
    for name in made:
        one, other = (tmp_path / folder / name for folder in ("one", "other"))
        assert one.read_bytes() == other.read_bytes(), name
    text = (tmp_path / "one" / "securepip.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert "pkg:pypi/tuf@" in text


@pytest.mark.registry
def test_no_part_has_a_known_vulnerability(locked: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "-r", locked, "--disable-pip", "--timeout", "10"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if "Traceback" in done.stderr or "could not be audited" in done.stdout.lower():
        pytest.skip("no database of vulnerabilities answers here")
    assert done.returncode == 0, done.stdout
