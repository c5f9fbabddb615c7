"""The target environment: its markers, its wheel tags, and its installed distributions.

Rule: everything here is about the *target* interpreter, not the one that runs securepip. The values
are those that pip would find there; the target needs no pip.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePath
from typing import TypedDict, cast

import packaging
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from securepip.errors import ResolutionError, UsageError
from securepip.interpreter import _probe
from securepip.interpreter.find import meant_interpreter

_log = logging.getLogger(__name__)
_PROBE_SECONDS = 60
_OLDEST_PYTHON = (3, 10)
"""The oldest Python that pip and ``packaging``, which run in the target, support."""
# In the syntax of any Python. `-c` puts the current folder first in the path. It is removed before
# anything is imported, so that nothing in it runs or counts as installed.
_PROGRAM = f"""
import sys
del sys.path[0]
if sys.version_info >= {_OLDEST_PYTHON}:
    exec(sys.argv[1])
    main(sys.argv[2])
else:
    print('{{"version": [%d, %d, %d]}}' % sys.version_info[:3])
"""
# Does what `site` does, without running code in start-up files: `securepip verify` checks these
# files, and a malicious one could falsify the answer. Folders that they name are added.
_WITHOUT_START_UP = """
import os, site
def addsitedir(folder, known_paths=None, *rest, **more):
    known = set() if known_paths is None else known_paths
    folders = [folder]
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        names = []
    for name in names:
        if name.endswith('.pth') and not name.startswith('.'):
            try:
                with open(os.path.join(folder, name), 'rb') as stream:
                    lines = stream.read(1 << 20).decode('utf-8', 'replace').splitlines()
            except OSError:
                continue
            folders += [os.path.join(folder, line.rstrip()) for line in lines
                        if line.strip() and not line.startswith(('#', 'import ', 'import\t'))
                        and chr(0) not in line]
    for each in folders:
        if os.path.isdir(each) and each not in sys.path:
            sys.path.append(each)
    return known
site.addsitedir = addsitedir
site.execsitecustomize = site.execusercustomize = lambda: None
site.main()
"""
# What `email` parses as header fields, and the fields that are needed here. `email` ignores a
# "From " line anywhere.
_HEAD = re.compile(r"(?:(?:From |[!-9;-~]*:|[ \t]).*\n?)*")
_FIELD = re.compile(
    r"^(?:Name|Version|Requires-Dist|Provides-Extra):.*\n?(?:[ \t].*\n?)*", re.MULTILINE | re.I
)
# The user's settings for the user site. Other PYTHON* variables are for the interpreter that runs
# securepip: its PYTHONHOME or PYTHONPATH would break another one.
_KEPT_VARIABLES = frozenset({"PYTHONNOUSERSITE", "PYTHONUSERBASE"})
# A requirement that is certainly valid and whose whole marker is one extra: it need not be parsed.
# Any other is parsed, because pip refuses a distribution with an invalid requirement.
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_NUMBERS = r"[0-9]{1,9}(?:\.[0-9]{1,9})"
_CLAUSE = rf"(?:(?:[<>]=?|[=!]=)[ ]*{_NUMBERS}*|[=!]=[ ]*{_NUMBERS}*\.\*|~=[ ]*{_NUMBERS}+)"
_OF_AN_EXTRA = re.compile(
    rf"{_NAME}[ ]*(?:\[[ ]*{_NAME}[ ]*(?:,[ ]*{_NAME}[ ]*)*\][ ]*)?"
    rf"(\()?[ ]*(?:{_CLAUSE}[ ]*(?:,[ ]*{_CLAUSE}[ ]*)*)?(?(1)\)[ ]*);"
    r"""[ ]*extra[ ]*==[ ]*(["'])([A-Za-z0-9._-]+)\2"""
)


class _Facts(TypedDict):
    version: list[int]
    markers: dict[str, str]
    tags: list[str]
    path: list[str]
    purelib: str
    platlib: str
    in_memory: list[str]
    externally_managed: str | None


class _InMemory(importlib.metadata.Distribution):
    """A distribution that an import finder offers and that is in no folder.

    Args:
        text: Its METADATA.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def read_text(self, filename: str) -> str | None:
        return self._text if filename == "METADATA" else None

    def locate_file(self, path: str | os.PathLike[str]) -> Path:
        raise FileNotFoundError(path)


class _Fields(importlib.metadata.Distribution):
    """A distribution whose METADATA has only the fields that are needed here.

    The other fields and the description take most of the time of parsing.

    Args:
        source: The whole distribution.
    """

    def __init__(self, source: importlib.metadata.Distribution) -> None:
        self._whole = source

    def read_text(self, filename: str) -> str | None:
        text = self._whole.read_text(filename)
        # "" is the metadata of an old egg-info that is a file.
        if text is None or filename not in ("METADATA", "PKG-INFO", ""):
            return text
        if "\r" in text:  # it was not read from a file, which would translate line ends
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        head = _HEAD.match(text)
        return "".join(_FIELD.findall(head[0] if head else ""))

    def locate_file(self, path: str | os.PathLike[str]) -> Path:
        return Path(str(self._whole.locate_file(path)))


@dataclass(frozen=True, eq=False)
class InstalledDistribution:
    """A distribution that is installed in the target. Its metadata is read on first use.

    Attributes:
        project: The normalized name.
        location: The folder it is installed in, or ``<memory>``.
    """

    project: NormalizedName
    location: str
    _source: importlib.metadata.Distribution

    @cached_property
    def _fields(self) -> importlib.metadata.Distribution:
        return _Fields(self._source)

    @cached_property
    def version(self) -> Version:
        """Its version.

        Raises:
            ResolutionError: It has none, or an invalid one.
        """
        text = _version_in_folder_name(self._source) or self._metadata_field("Version") or ""
        try:
            return Version(text)
        except InvalidVersion:
            raise self._unusable(f"has an invalid version: {text!r}") from None

    @cached_property
    def requires_dist(self) -> tuple[Requirement, ...]:
        """Its requirements, markers and extras included.

        Raises:
            ResolutionError: A requirement is not valid.
        """
        return self._parsed(self._written)

    def requires(self, extras: Collection[NormalizedName]) -> tuple[Requirement, ...]:
        """As ``requires_dist``, without most requirements of extras that are not in ``extras``.

        Those are two thirds of all requirements, and are recognised without being parsed.
        """
        of_others = _OF_AN_EXTRA.fullmatch
        return self._parsed(
            line
            for line in self._written
            if not (found := of_others(line)) or canonicalize_name(found[3]) in extras
        )

    @cached_property
    def _written(self) -> tuple[str, ...]:
        return tuple(line.strip() for line in self._fields.requires or ())

    def _parsed(self, lines: Iterable[str]) -> tuple[Requirement, ...]:
        try:
            return tuple(map(_requirement, lines))
        except InvalidRequirement as error:
            raise self._unusable(f"has an invalid requirement: {error}") from None

    @cached_property
    def extras(self) -> frozenset[NormalizedName]:
        """The extras it provides."""
        lines = self._fields.metadata.get_all("Provides-Extra") or ()
        return frozenset(canonicalize_name(str(line)) for line in lines)

    @cached_property
    def editable(self) -> bool:
        """Whether it is an editable install (PEP 610)."""
        try:
            direct_url = json.loads(self._source.read_text("direct_url.json") or "{}")
            return bool(direct_url["dir_info"]["editable"])
        except (ValueError, KeyError, TypeError):
            return False

    @property
    def entry(self) -> Path | None:
        """The folder or file of its metadata; None for a distribution in memory."""
        found = _metadata_folder(self._source)
        return found if isinstance(found, Path) else None

    @property
    def folder(self) -> Path | None:
        """Its ``.dist-info`` folder; None if it was installed in an older form."""
        entry = self.entry
        return entry if entry and entry.suffix == ".dist-info" and entry.is_dir() else None

    @cached_property
    def installer(self) -> str:
        """The tool that installed it, by its INSTALLER file; "" if there is none."""
        return (self._source.read_text("INSTALLER") or "").strip()

    def _metadata_field(self, name: str) -> str | None:
        values = self._fields.metadata.get_all(name)
        return str(values[0]) if values else None

    def _unusable(self, why: str) -> ResolutionError:
        return ResolutionError(
            f"The installed distribution {self.project} in {self.location} {why}.",
            remedy=f"Uninstall it: pip uninstall {self.project}",
        )


@dataclass(frozen=True)
class TargetEnvironment:
    """A Python environment that distributions are chosen for.

    Attributes:
        python: The interpreter.
        version: Its full version, three numbers.
        markers: The PEP 508 environment, without ``extra``.
        tags: The wheel tags it accepts, best first.
        path: The folders in which it looks for installed distributions, in that order.
        purelib: The folder for pure Python distributions.
        platlib: The folder for other distributions.
        in_memory: The METADATA of installed distributions that are in no folder.
        externally_managed: Its ``EXTERNALLY-MANAGED`` file (PEP 668); None if it has none.
    """

    python: Path
    version: Version
    markers: Mapping[str, str]
    tags: tuple[Tag, ...]
    path: tuple[str, ...]
    purelib: Path
    platlib: Path
    in_memory: tuple[str, ...] = ()
    externally_managed: Path | None = None

    @cached_property
    def installed(self) -> Mapping[NormalizedName, InstalledDistribution]:
        """The installed distributions; of two of one project, the one that is found first."""
        found: dict[NormalizedName, InstalledDistribution] = {}
        for location in self.path:
            if location.endswith(".whl"):
                continue  # the distribution in a wheel on the path is not installed
            for distribution in _installed(_distributions_in(location)):
                found.setdefault(distribution.project, distribution)
        for distribution in _installed(map(_InMemory, self.in_memory)):
            found.setdefault(distribution.project, distribution)
        return found

    def accepts_python(self, specifier: str | None) -> bool:
        """Whether a ``Requires-Python`` admits this environment. As in pip, an invalid one does."""
        if not specifier:
            return True
        try:
            return SpecifierSet(specifier).contains(self.version, prereleases=True)
        except ValueError:  # not valid, or with a number that is too long for Python
            return True


def probe(
    python: str | None = None,
    answer: Callable[[], bytes | None] | None = None,
    *,
    start_up: bool = True,
) -> TargetEnvironment:
    """Describe a target environment.

    Args:
        python: An interpreter, or the folder of a virtual environment, as for ``pip --python``.
            None means as in ``meant_interpreter``.
        answer: Returns what a process of that interpreter has said already (``Pip.facts``). If that
            is None, a process is started for the answer.
        start_up: Whether that process runs the environment's start-up files (``.pth`` files,
            ``sitecustomize``), as other programs do. Malicious ones could hide distributions, so
            ``securepip verify`` does without. For the interpreter that runs this, they have run.

    Raises:
        UsageError: It is neither, does not run, or is older than Python 3.10; or, where none is
            named, none is meant.
    """
    interpreter = meant_interpreter(python)
    if interpreter is None:
        return _environment(sys.executable, _own_facts())
    answered = answer() if answer is not None else None
    facts = cast(_Facts, json.loads(answered)) if answered else _ask(interpreter, start_up)
    return _environment(interpreter, facts)


def _own_facts() -> _Facts:
    facts = cast(_Facts, _probe.facts())
    # `python -m securepip` puts the current folder first in the path; it holds nothing installed.
    here = os.path.realpath(Path.cwd())
    facts["path"] = [entry for entry in facts["path"] if os.path.realpath(entry) != here]
    return facts


def _ask(interpreter: str, start_up: bool) -> _Facts:
    variables = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_VARIABLES or not name.startswith(("PYTHON", "__PYVENV"))
    }
    source = Path(_probe.__file__).read_text(encoding="utf-8")
    options = ["-B"] if start_up else ["-B", "-S"]
    if not start_up:
        before, future, after = source.partition("from __future__ import annotations\n")
        source = f"{before}{future}import sys\n{_WITHOUT_START_UP}{after}"
    try:
        answer = subprocess.run(
            [interpreter, *options, "-c", _PROGRAM, source, str(Path(packaging.__file__).parent)],
            env=variables,
            capture_output=True,
            check=True,
            timeout=_PROBE_SECONDS,
        )
        facts = json.loads(answer.stdout.decode().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        stderr = getattr(error, "stderr", None) or b""
        raise UsageError(
            f"{interpreter} does not run as a Python interpreter: {_why_not(error)}",
            meaning=stderr.decode(errors="replace").strip()[-500:],
            remedy="--python takes an interpreter, or the folder of a virtual environment.",
        ) from None
    if "tags" not in facts:
        version = ".".join(map(str, facts["version"]))
        oldest = ".".join(map(str, _OLDEST_PYTHON))
        raise UsageError(
            f"{interpreter} is Python {version}: securepip installs for {oldest} and newer."
        )
    return cast(_Facts, facts)


def _why_not(error: Exception) -> str:
    """Why a program is no Python, without the whole source that ``subprocess`` would show."""
    if isinstance(error, subprocess.CalledProcessError):
        return f"it ended with exit code {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it did not answer within {_PROBE_SECONDS} seconds"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it does not say which Python it is"


def _environment(interpreter: str, facts: _Facts) -> TargetEnvironment:
    marker = facts["externally_managed"]
    return TargetEnvironment(
        python=Path(interpreter),
        version=Version(".".join(map(str, facts["version"]))),
        markers=facts["markers"],
        tags=tuple(Tag(*tag.split("-")) for tag in facts["tags"]),
        path=tuple(facts["path"]),
        purelib=Path(facts["purelib"]),
        platlib=Path(facts["platlib"]),
        in_memory=tuple(facts["in_memory"]),
        externally_managed=Path(marker) if marker else None,
    )


def _distributions_in(location: str) -> Iterator[importlib.metadata.Distribution]:
    # Only the finder for folders: other finders of this process do not know the target.
    context = importlib.metadata.DistributionFinder.Context(path=[location])
    return iter(importlib.metadata.MetadataPathFinder.find_distributions(context))


def _installed(
    sources: Iterable[importlib.metadata.Distribution],
) -> Iterator[InstalledDistribution]:
    for source in sources:
        folder = _metadata_folder(source)
        try:
            name = _name_in_folder_name(source) or source.metadata["Name"]
            project = canonicalize_name(name)
        except (TypeError, AttributeError, KeyError, OSError, ValueError):
            _log.warning("Skipping %s due to invalid metadata entry 'name'", folder)
            continue
        yield InstalledDistribution(project, str(folder.parent) if folder else "<memory>", source)


@lru_cache(maxsize=4096)
def _requirement(line: str) -> Requirement:
    return Requirement(line)


def _metadata_folder(source: importlib.metadata.Distribution) -> PurePath | None:
    # Not public, but there is no other way to learn where it was found. pip does the same.
    return getattr(source, "_path", None)


def _split_folder_name(source: importlib.metadata.Distribution) -> Sequence[str]:
    folder = _metadata_folder(source)
    if folder is None:
        return ()
    stem, _, suffix = folder.name.rpartition(".")
    return stem.split("-") if suffix in ("dist-info", "egg-info") else ()


def _name_in_folder_name(source: importlib.metadata.Distribution) -> str | None:
    # Much faster than reading the metadata of every installed distribution.
    parts = _split_folder_name(source)
    return parts[0] if parts else None


def _version_in_folder_name(source: importlib.metadata.Distribution) -> str | None:
    folder, parts = _metadata_folder(source), _split_folder_name(source)
    if folder is None or not folder.name.endswith(".dist-info") or len(parts) != 2:
        return None
    return parts[1]
