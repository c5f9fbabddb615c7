"""The messages about a plan and its files, in pip's words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.errors import ResolutionError
from securepip.formats.words import counted

if TYPE_CHECKING:
    from securepip.index import VerifiedFile
    from securepip.resolver.plan import Plan, SatisfiedRequirement


def names(plan: Plan, *, as_written: bool = False) -> str:
    """``name-version`` of every planned file, in pip's order.

    Args:
        plan: The plan.
        as_written: Use the names as the metadata spells them, as pip does in a dry run.
    """
    from securepip.formats.core_metadata import parse_core_metadata

    return " ".join(
        sorted(
            f"{parse_core_metadata(one.core_metadata).name if as_written else one.name}"
            f"-{one.version}"
            for one in plan.install
        )
    )


def shown(path: Path) -> str:
    """A path as pip shows it: relative, if it is below the current folder."""
    try:
        return f".{os.sep}{path.relative_to(Path.cwd())}"
    except ValueError:
        return str(path)


def say_satisfied(satisfied: Sequence[SatisfiedRequirement]) -> None:
    """Print the requirements that installed releases satisfy."""
    for one in satisfied:
        wanted_by = f" (from {one.comes_from})" if one.comes_from else ""
        console.say(
            f"Requirement already satisfied: {one.requirement} in {one.location}"
            f"{wanted_by} ({one.version})"
        )


def say_verified(files: Sequence[VerifiedFile]) -> None:
    """Print which files were verified, and who signed them; nothing where there are no files."""
    for file in files:
        console.say(f"  {file.filename} sha256:{file.sha256} from {file.url}", level=1)
    if files:
        size = sum(file.size for file in files)
        signers = ", ".join(sorted({file.repository for file in files}))
        what = counted(len(files), "file")
        console.say(f"Verified {what} ({size / 1e6:.1f} MB), signed by {signers}")


def say_unsigned(plan: Plan) -> None:
    """Print which local files, which are not signed, were taken instead of signed ones."""
    for planned in plan.install:
        if planned.beats_signed is not None:
            console.say(
                f"Using {planned.file.filename}, local and not signed, for {planned.project}; "
                f"{planned.beats_signed} is signed"
            )


def say_broken(broken: Sequence[str]) -> None:
    """Print the requirements that are no longer met, under pip's well-known message."""
    console.show_error(
        ResolutionError(
            "pip's dependency resolver does not currently take into account all the packages that "
            "are installed. This behaviour is the source of the following dependency conflicts.",
            meaning="\n".join(broken),
        )
    )
