"""The types of a report: distributions, their status, and the findings.

Rule: each finding has an exit code, and the run ends with the highest of them. 1: something differs
from what was installed, or should be replaced. 3: something is not what was signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from packaging.utils import NormalizedName

from securepip.formats.digests import Sha256

DIFFERENT = 1
NOT_SIGNED = 3


class Status(Enum):
    """What an installed distribution was found to be."""

    SIGNED = "signed"
    """It was compared with a signed wheel."""
    BUILT = "built"
    """It was built on this machine from a source distribution that is signed."""
    WITH_PYTHON = "with-python"
    """It was compared with the wheel that comes with the interpreter (``ensurepip``)."""
    EDITABLE = "editable"
    """The user's own folder, installed with ``-e``."""
    LOCAL = "local"
    """The user's own file or folder."""
    DIRECT = "direct-url"
    """It was installed from an address that the user named."""
    UNSIGNED = "unsigned"
    """No trusted repository has signed its project."""
    WITHDRAWN = "withdrawn"
    """Its project is signed, but this release is not, or no longer."""
    UNCHECKED = "unchecked"
    """It could not be compared with anything."""
    MISSING = "not-installed"
    """It was asked for and is not installed."""


class Kind(Enum):
    """The kinds of findings."""

    CHANGED = "changed"
    MISSING = "missing"
    ADDED = "added"
    RECORD = "record"
    BYTE_CODE = "byte-code"
    OUTSIDE = "outside"
    YANKED = "yanked"
    QUARANTINED = "quarantined"
    WITHDRAWN = "withdrawn"
    UNSIGNED = "unsigned"
    REFUSED = "refused"
    UNCHECKED = "unchecked"
    NOT_INSTALLED = "not-installed"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """A difference, or a note about something that could not be compared.

    Attributes:
        kind: The kind of finding.
        what: The description for the user.
        path: The file that it is about, or None.
        exit_code: The least exit code of the run: 0, 1 or 3.
    """

    kind: Kind
    what: str
    path: Path | None = None
    exit_code: int = DIFFERENT


@dataclass(frozen=True)
class Checked:
    """An installed distribution, and what was found.

    Attributes:
        project: The normalized name of its project.
        version: Its version, according to its metadata.
        location: The folder that it is installed in.
        status: What it was found to be.
        findings: What is wrong with it.
        repository: The trusted repository that signed the file it was compared with; "" for none.
        filename: The wheel that it was compared with; "" for none.
        sha256: The digest of that wheel; "" for none.
        installer: The program that installed it, according to its metadata.
        source: The address or path that the user named; "" for none.
        files: How many files were compared.
    """

    project: NormalizedName
    version: str
    location: str
    status: Status
    findings: tuple[Finding, ...] = ()
    repository: str = ""
    filename: str = ""
    sha256: Sha256 | str = ""
    installer: str = ""
    source: str = ""
    files: int = 0


@dataclass(frozen=True)
class Report:
    """The result for a whole environment.

    Attributes:
        python: The environment's interpreter.
        distributions: The distributions that were asked for, or all.
        strays: Findings about files that belong to no distribution.
    """

    python: Path
    distributions: tuple[Checked, ...]
    strays: tuple[Finding, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: all is as it was signed; 1: there are differences; 3: something was not signed."""
        findings = [finding for one in self.distributions for finding in one.findings]
        return max((finding.exit_code for finding in (*findings, *self.strays)), default=0)
