"""Explains why there is no solution, in pip's phrases, which people know and search for.

Rule: the reason that a person can act on comes first: another Python, a project that no repository
has, a single requirement that nothing satisfies, and only then a conflict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName
from resolvelib.structs import RequirementInformation

from securepip.errors import ConflictError, ResolutionError
from securepip.formats.words import counted
from securepip.index.types import Speaker
from securepip.resolver.candidates.catalogue import Catalogue
from securepip.resolver.candidates.graph import (
    AnyRequirement,
    Candidate,
    ExactRequirement,
    FileCandidate,
    PythonCandidate,
    PythonRequirement,
    UnsignedRequirement,
)

Cause = RequirementInformation[AnyRequirement, Candidate]


class DistributionNotFound(ResolutionError):  # noqa: N818 - pip's name, which people look for
    """Nothing satisfies a single requirement, or nobody knows its project."""


class UnknownProjectError(DistributionNotFound):
    """No trusted repository has a project that is asked for.

    Args:
        what: As in ``SecurepipError``.
        project: The normalized name.
        required_by: The projects that require it, normalized; empty if only the user does.
        asked: The repositories that were asked.
    """

    def __init__(
        self,
        what: str,
        *,
        project: NormalizedName,
        required_by: tuple[NormalizedName, ...],
        asked: Sequence[Speaker],
    ) -> None:
        wanted = f"{_join(required_by)} requires it. " if required_by else ""
        super().__init__(
            what,
            meaning=f"{wanted}{_who_has_nothing(project, asked)}",
            remedy=_how_to_get(project, asked, is_typed=not required_by),
        )
        self.project = project
        self.required_by = required_by


def _who_has_nothing(project: NormalizedName, asked: Sequence[Speaker]) -> str:
    each = [
        f"the index {one.address}" if one.is_own else f"the repository {one.name} ({one.address})"
        for one in asked
    ]
    if not each:
        return f"No repository that this machine trusts may speak for {project}."
    if len(each) == 1:
        return f"T{each[0][1:]} has no project of that name."
    return f"None of {_join(each)} has a project of that name."


def _those_who_run(asked: Sequence[Speaker]) -> str:
    names = [one.name for one in asked if not one.is_own]
    return f"those who run {_join(names)}" if names else ""


def _what_is_listed(asked: Sequence[Speaker]) -> str:
    withdrawn = (
        " One that was there before may have been withdrawn."
        if any(not one.is_own for one in asked)
        else ""
    )
    return f"Those are all versions that are signed today and fit this Python.{withdrawn}"


def _how_to_get(project: NormalizedName, asked: Sequence[Speaker], *, is_typed: bool) -> str:
    """What the user can do about a project that no repository has."""
    ask = _those_who_run(asked)
    if not asked:
        return "See `securepip trust list`; README says how to trust a repository, or an index."
    spelling = "Check the spelling." if is_typed else ""
    if not ask:
        return spelling or "Ask its authors, or take a version that does not need it."
    right = "If the name is right, ask" if is_typed else "Ask"
    command = f"`securepip repo sync DIR {project} --with-dependencies`"
    return f"{spelling} {right} {ask} to add it, with {command}.".lstrip()


def explain_conflict(
    causes: Sequence[Cause],
    catalogue: Catalogue,
    constraints: Mapping[NormalizedName, SpecifierSet],
    python: PythonCandidate,
) -> ResolutionError:
    """The error to raise if resolvelib found no solution.

    Args:
        causes: resolvelib's causes.
        catalogue: What is available.
        constraints: The versions that constraints admit.
        python: The target interpreter.
    """
    wrong_python = [
        (cause.requirement, cause.parent)
        for cause in causes
        if isinstance(cause.requirement, PythonRequirement)
        and not cause.requirement.is_satisfied_by(python)
    ]
    if wrong_python:
        return _another_python(wrong_python, python)
    for cause in causes:
        if (
            catalogue.asks_index
            and not isinstance(cause.requirement, PythonRequirement)
            and _is_unknown(cause, catalogue)
        ):
            return _unknown_project(cause, causes, catalogue)
    single = causes[0].requirement
    if len(causes) == 1 and single.project not in constraints:
        return _nothing_matches(causes[0], catalogue)
    return _conflict(causes, catalogue, constraints)


def explain_too_deep(rounds: int) -> ResolutionError:
    """The error to raise if resolvelib gave up after so many rounds."""
    return ResolutionError(
        f"Dependency resolution exceeded its maximum depth ({rounds} rounds).",
        meaning="There may be a solution, but it is too far away from the newest versions.",
        remedy="Pin some of the requirements to versions that you know to work together.",
    )


def _is_unknown(cause: Cause, catalogue: Catalogue) -> bool:
    project = cause.requirement.project
    if isinstance(cause.requirement, (UnsignedRequirement, ExactRequirement)):
        return False
    return catalogue.installed_distribution(project) is None and not catalogue.knows(project)


def _another_python(
    causes: Sequence[tuple[PythonRequirement, Candidate | None]], python: PythonCandidate
) -> ResolutionError:
    if len(causes) == 1:
        requirement, parent = causes[0]
        name = "" if parent is None else parent.identifier
        return ResolutionError(
            f"Package {name!r} requires a different Python: "
            f"{python.version} not in {str(requirement.specifier)!r}"
        )
    lines = [
        f"{str(requirement.specifier)!r} (required by {parent.describe() if parent else ''})"
        for requirement, parent in causes
    ]
    return ResolutionError(
        "\n".join([f"Packages require a different Python. {python.version} not in:", *lines])
    )


def _unknown_project(
    cause: Cause, causes: Sequence[Cause], catalogue: Catalogue
) -> UnknownProjectError:
    project = cause.requirement.project
    parents = {
        one.parent.project
        for one in causes
        if one.parent is not None and one.requirement.project == project
    }
    return UnknownProjectError(
        _could_not_find(cause, catalogue),
        project=project,
        required_by=tuple(sorted(parents)),
        asked=catalogue.speakers_for(project),
    )


def _nothing_matches(cause: Cause, catalogue: Catalogue) -> ResolutionError:
    requirement = cause.requirement
    if isinstance(requirement, UnsignedRequirement):
        return ResolutionError(
            f"No matching distribution found for {requirement.text}",
            meaning="It names a URL. No trusted repository signs that, so nothing could "
            "prove that it is what its authors made.",
            remedy=_exclude(cause.parent),
        )
    offers = catalogue.offers(requirement.project)
    notes = []
    yanked = sorted({o.version for o in offers.files if o.file.yanked is not None})
    if yanked:
        notes.append(f"Ignored the following yanked versions: {', '.join(map(str, yanked))}")
    if offers.python_mismatches:
        notes.append(
            "Ignored the following versions that require a different python version: "
            + "; ".join(offers.python_mismatches)
        )
    if not notes and not offers.files and catalogue.knows(requirement.project):
        notes.append(_why_none_fits(offers.passed_over))
    hint = ""
    if requirement.text == "requirements.txt":
        hint = (
            "HINT: You are attempting to install a package literally named "
            '"requirements.txt". Consider using the "-r" option to install what it lists.'
        )
    if not (hint or notes) and offers.files:
        asked = catalogue.speakers_for(requirement.project)
        notes.append(_what_is_listed(asked))
        newest = max(offered.version for offered in offers.files)
        hint = f"Ask for one of them ({requirement.project}=={newest})"
        hint += f", or ask {_those_who_run(asked)}." if _those_who_run(asked) else "."
    return DistributionNotFound(
        _could_not_find(cause, catalogue), meaning="\n".join(notes), remedy=hint
    )


def _why_none_fits(passed_over: Sequence[str]) -> str:
    if not passed_over:
        return "Its page lists no file. What was there before may have been withdrawn."
    return (
        f"It has {counted(len(passed_over), 'file')}, and none that fits this Python, its platform "
        f"and what --only-binary, --no-binary and --uploaded-prior-to say. The last is "
        f"{passed_over[-1]}."
    )


def _could_not_find(cause: Cause, catalogue: Catalogue) -> str:
    requirement = cause.requirement
    by = "" if cause.parent is None else f" (from {cause.parent.identifier})"
    versions = {
        o.version for o in catalogue.offers(requirement.project).files if o.file.yanked is None
    }
    listed = ", ".join(map(str, sorted(versions))) or "none"
    final = "final " if catalogue.prereleases(requirement.project) is False else ""
    return (
        f"Could not find a {final}version that satisfies the requirement {requirement.text}{by} "
        f"(from versions: {listed})\nERROR: No matching distribution found for {requirement.text}"
    )


def _conflict(
    causes: Sequence[Cause],
    catalogue: Catalogue,
    constraints: Mapping[NormalizedName, SpecifierSet],
) -> ResolutionError:
    triggers = sorted({_trigger(cause) for cause in causes})
    lines = []
    for requirement, parent in causes:
        who = "The user requested" if parent is None else f"{_named(parent)} depends on"
        lines.append(f"    {who} {requirement.describe()}")
    constrained = {cause.requirement.project for cause in causes} & set(constraints)
    lines += [
        f"    The user requested (constraint) {project}{constraints[project]}"
        for project in sorted(constrained)
    ]
    without = sorted(
        {c.requirement.identifier for c in causes if not _has_candidates(c, catalogue)}
    )
    if without:
        lines += [
            "",
            "Additionally, some packages in these conflicts have no matching distributions "
            "available for your environment:",
            *(f"    {identifier}" for identifier in without),
        ]
    return ConflictError(
        f"Cannot install {_join(triggers)} because these package versions have conflicting "
        "dependencies.",
        meaning="\n".join(["The conflict is caused by:", *lines]),
        remedy="To fix this you could try to:\n"
        "1. loosen the range of package versions you've specified\n"
        "2. remove package versions to allow securepip to attempt to solve the dependency conflict",
    )


def _has_candidates(cause: Cause, catalogue: Catalogue) -> bool:
    requirement = cause.requirement
    if isinstance(requirement, (PythonRequirement, ExactRequirement)):
        return True
    if catalogue.installed_distribution(requirement.project) is not None:
        return True
    return any(
        offered.file.yanked is None for offered in catalogue.offers(requirement.project).files
    )


def _trigger(cause: Cause) -> str:
    """What caused a requirement, if possible in the words of the command line."""
    requirement, parent = cause
    if parent is None:
        return requirement.describe()
    if isinstance(parent, FileCandidate) and parent.asked_by.comes_from:
        first = parent.asked_by.comes_from.split("->", 1)[0]
        return first if first.startswith(("-r ", "-c ")) else _bare_name(first)
    return f"{parent.identifier}=={parent.version}"


def _bare_name(text: str) -> str:
    found = re.match(r"[\w.-]+", text)
    return found[0] if found else text


def _named(candidate: Candidate) -> str:
    return f"{candidate.identifier} {candidate.version}"


def _exclude(parent: Candidate | None) -> str:
    return "" if parent is None else f"Exclude what asks for it: {parent.project}!={parent.version}"


def _join(parts: Iterable[str]) -> str:
    parts = list(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)
