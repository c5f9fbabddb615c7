"""The nouns of a check: what was looked at, what it was found to be, and what is wrong with it.

Rule: each finding says by itself which exit code it asks for; the whole run ends with the highest.
1: something differs from what was installed, or should be replaced. 3: it is not what was signed.
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
    """What an installed distribution is."""

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
    """From an address that the user named."""
    UNSIGNED = "unsigned"
    """Nobody whom this machine believes has signed it."""
    WITHDRAWN = "withdrawn"
    """Its project is signed; this release is not, or not any more."""
    UNCHECKED = "unchecked"
    """It could not be compared with anything."""
    MISSING = "not-installed"
    """It was asked for and is not there."""


class Kind(Enum):
    """What is wrong."""

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
    """One thing that is not as it should be.

    Attributes:
        kind: What is wrong.
        what: The same in words.
        path: The file that it is about, or None.
        exit_code: What it asks the run to end with: 0, 1 or 3.
    """

    kind: Kind
    what: str
    path: Path | None = None
    exit_code: int = DIFFERENT


@dataclass(frozen=True)
class Checked:
    """An installed distribution, and what was found.

    Attributes:
        project: Its project.
        version: Its version, as it says it.
        location: The folder that it is installed in.
        status: What it is.
        findings: What is wrong with it.
        repository: The trusted repository that signed what it was compared with; "" for none.
        filename: The distribution that it was compared with; "" for none.
        sha256: The digest of that; "" for none.
        installer: Who installed it, as it says.
        source: The address or path that the user named; "" where none was.
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
    """What was found in an environment.

    Attributes:
        python: Its interpreter.
        distributions: Each distribution that was asked for.
        strays: What lies beside the distributions and belongs to none of them.
    """

    python: Path
    distributions: tuple[Checked, ...]
    strays: tuple[Finding, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: all is as it was signed; 1: there are differences; 3: something was not signed."""
        found = [finding for one in self.distributions for finding in one.findings]
        return max((finding.exit_code for finding in (*found, *self.strays)), default=0)
