"""Scenes of users who install: trusted state, cache, environment."""

from __future__ import annotations

import csv
import json
import shutil
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path

import pip

from tests.faults.scenes import Scene
from tests.support.machine import Finished
from tests.support.wheels import make_wheel


class Install(Scene):
    """``install`` on a machine that has seen an older state of the repository."""

    def prepare(self) -> None:
        made = self.make_repository("repository")
        self.bench.serve(self.work / "repository")
        self.machine.trust(made, self.bench.url)
        assert self.machine.install("--dry-run", "app").code == 0
        shutil.copytree(made.folder, self.work / "older")
        made.add(make_wheel(self.work / "built", "app", "2.0", requires=["lib"]))
        made.repository.ledger.close()

    def run(self) -> Finished:
        return self.machine.install("app")

    def look(self) -> None:
        state = self.machine.folder / "data" / "trust" / "made"
        assert (state / "root.json").is_file()
        for role, least in (("timestamp", 2), ("snapshot", 2), ("targets", 1), ("bins", 1)):
            document = json.loads((state / "metadata" / f"{role}.json").read_bytes())
            assert document["signed"]["version"] >= least, role
        assert "app" in (state / "metadata" / "projects-seen").read_text().split()
        for name, genuine in (("app", "2.0"), ("lib", "1.0")):
            assert self.machine.version_of(name) in (None, genuine)

    def look_at_end(self) -> None:
        assert self.machine.version_of("app") == "2.0"
        assert self.machine.version_of("lib") == "1.0"
        for record in self.machine.site_packages.glob("*.dist-info/RECORD"):
            for path, digest, _ in csv.reader(record.open(newline="")):
                # A run that is killed may leave its row; pip removes such a package all the same.
                if digest and not path.endswith("/REQUESTED"):
                    data = (self.machine.site_packages / path).read_bytes()
                    found = urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
                    assert digest == f"sha256={found}", path

    @property
    def but(self) -> tuple[Path, ...]:
        return (self.work / "repository", self.work / "older")


class ReplayedInstall(Install):
    """``install`` from a mirror that shows an older state than the machine has seen."""

    code = 3

    def prepare(self) -> None:
        super().prepare()
        assert self.machine.install("--dry-run", "app").code == 0

    def run(self) -> Finished:
        self.bench.serve(self.work / "older")
        return self.machine.install("app")

    def again(self) -> Finished:
        self.bench.serve(self.work / "repository")
        return self.machine.install("--dry-run", "app")

    def look_at_end(self) -> None:
        self.look()

    def look(self) -> None:
        super().look()
        state = self.machine.folder / "data" / "trust" / "made" / "metadata"
        assert json.loads((state / "timestamp.json").read_bytes())["signed"]["version"] == 3
        assert self.machine.version_of("app") is None


class Plugin(Scene):
    """``plugin enable``."""

    def prepare(self) -> None:
        package = Path(pip.__file__).parent
        for one in (package, package.with_name(f"pip-{pip.__version__}.dist-info")):
            (self.machine.site_packages / one.name).symlink_to(one)
        assert self.machine.run("trust", "list").code == 0

    def run(self) -> Finished:
        return self.machine.run("plugin", "enable", "--python", self.machine.python)

    def look(self) -> None:
        """No damaged plugin is started."""
        names = {path.name for path in self.machine.site_packages.iterdir()}
        starts = {"securepip-plugin.pth", "securepip-plugin-start.start"} & names
        if starts:
            assert {"_securepip_plugin.py", "_securepip_plugin_start.py"} <= names, names

    def look_at_end(self) -> None:
        self.look()
        names = {path.name for path in self.machine.site_packages.iterdir()}
        assert "securepip-plugin.pth" in names
        assert not [name for name in names if name.startswith(".securepip-")]
