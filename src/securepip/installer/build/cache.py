"""Built wheels, and the folder of the cache that keeps them.

Rule: no signature covers a built wheel. A cached one is used only with the mark that a run of this
user made for it (``dirs.Seal``), over the ingredients that it was built from, its name, its version
and its digest. If the wheel, or the whole cache, comes from somebody else, it is built again.

A wheel appears in the cache in one step, because another process may look for it at any time. If
the cache cannot be written, the next run has to build again, and nothing fails.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from packaging.utils import NormalizedName
from packaging.version import Version

from securepip.dirs import Seal, check_private, own_seal, private_folder, replace_file
from securepip.errors import SecurepipError
from securepip.formats.digests import Sha256, sha256_of_stream
from securepip.formats.distribution import WHEEL_SUFFIX, parse_distribution
from securepip.index.types import UserDirectory, UserFile, VerifiedFile

_MARK = "mark"
_MAX_ANSWER_BYTES = 1 << 20
_SEAL = object()
_log = logging.getLogger(__name__)

Source = VerifiedFile | UserFile | UserDirectory
"""What a wheel is built from."""


@dataclass(frozen=True)
class BuiltWheel:
    """A wheel that was built here.

    Attributes:
        filename: Its file name.
        path: Its path in the cache, or in the folder of the build. It is hashed again when it is
            copied.
        sha256: Its digest when it was built.
        size: Its length in bytes.
        source: What it was built from.
        is_new: Whether this run built it, and did not take it from the cache.
        seal: Proof that this module made it.
    """

    filename: str
    path: Path
    sha256: Sha256
    size: int
    source: Source
    is_new: bool = field(compare=False, default=True)
    seal: object = field(repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("only a build makes a BuiltWheel")


class WheelCache:
    """Keeps built wheels, by the digest of their ingredients, and the answers of build backends.

    Args:
        folder: ``<cache>/wheels``; made when something is kept.
        seal: Returns the user's seal; called on first use. Without a seal nothing is kept.
    """

    def __init__(self, folder: Path, seal: Callable[[], Seal | None] = own_seal) -> None:
        self._folder = folder
        self._own_seal = seal
        self._disabled = False

    def find(self, ingredients: str, source: Source) -> BuiltWheel | None:
        """The wheel that this user built from the same ingredients before; None if there is none.

        Args:
            ingredients: The digest of everything that decides what is built.
            source: What it was built from.
        """
        place = self._place(ingredients)
        if self._seal is None or not place.is_dir():
            return None
        try:
            check_private(place)
            (path,) = place.glob(f"*{WHEEL_SUFFIX}")
            found = self._own(path, self._seal)
        except SecurepipError as error:
            self._disable(error.what)
            return None
        except (OSError, ValueError):
            return None
        if found is None:
            return None
        return BuiltWheel(path.name, path, *found, source, is_new=False, seal=_SEAL)

    def built(self, project: NormalizedName, version: Version) -> Iterator[Path]:
        """The wheels of a release that this user built, from any ingredients."""
        if self._seal is None:
            return
        for path in sorted(self._folder.glob(f"*/*/*{WHEEL_SUFFIX}")):
            name = parse_distribution(path.name, project)
            if name is None or name.version != version:
                continue
            try:
                check_private(path.parent)
                found = self._own(path, self._seal)
            except (OSError, ValueError, SecurepipError):
                continue
            if found is not None:
                yield path

    def _own(self, path: Path, seal: Seal) -> tuple[Sha256, int] | None:
        """The digest and length of a kept wheel; None if its mark is not this user's.

        Raises:
            OSError: The wheel or its mark cannot be read.
            ValueError: The mark is not ASCII.
        """
        mark = (path.parent / _MARK).read_text(encoding="ascii")
        with path.open("rb") as stream:
            sha256, size = sha256_of_stream(stream)
        facts = _wheel_facts(path.parent.name, path.name, sha256)
        return (sha256, size) if seal.proves(mark, *facts) else None

    def keep(self, wheel: Path, ingredients: str, source: Source) -> BuiltWheel:
        """Move a new wheel into the cache. If that is not possible, it stays where it is."""
        built = built_wheel(wheel, source)
        if self._seal is None or self._disabled:
            return built
        mark = self._seal.mark(*_wheel_facts(ingredients, wheel.name, built.sha256))
        try:
            path = _move_in(wheel, self._place(ingredients), mark)
        except (OSError, SecurepipError) as error:
            self._disable(f"{self._folder} cannot be written: {error}")
            return built
        return BuiltWheel(wheel.name, path, built.sha256, built.size, source, seal=_SEAL)

    def has_answers(self, what: str) -> bool:
        """Whether an answer of that source's backend was kept."""
        return self._answers(what).is_dir()

    def answer(self, what: str, static: str) -> list[str] | None:
        """The build requirements that a backend asked for before; None if they are not known.

        Args:
            what: The digest of the source and its settings.
            static: The digest of what was installed in the build environment at that time.
        """
        try:
            with (self._answers(what) / static).open("rb") as stream:
                document = json.loads(stream.read(_MAX_ANSWER_BYTES))
            requirements, mark = document["requires"], document["mark"]
            known = all(isinstance(each, str) for each in (mark, *requirements))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        if self._seal is None or not known:
            return None
        is_ours = self._seal.proves(mark, "build requirements", what, static, *requirements)
        return list(requirements) if is_ours else None

    def keep_answer(self, what: str, static: str, requirements: list[str]) -> None:
        """Keep the build requirements that a backend asked for; the arguments as for ``answer``."""
        if self._seal is None or self._disabled:
            return
        mark = self._seal.mark("build requirements", what, static, *requirements)
        document = {"requires": requirements, "mark": mark}
        try:
            folder = private_folder(self._answers(what))
            replace_file(folder / static, json.dumps(document).encode())
        except (OSError, SecurepipError) as error:
            self._disable(f"{self._folder} cannot be written: {error}")

    @cached_property
    def _seal(self) -> Seal | None:
        try:
            for folder in (self._folder, self._folder / "answers"):
                check_private(folder)
        except SecurepipError as error:
            self._disable(str(error))
            return None
        return self._own_seal()

    def _place(self, ingredients: str) -> Path:
        return self._folder / ingredients[:2] / ingredients

    def _answers(self, what: str) -> Path:
        return self._folder / "answers" / what

    def _disable(self, reason: str) -> None:
        if not self._disabled:
            _log.warning("%s\nBuilt wheels are not kept for the next time.", reason)
        self._disabled = True


def built_wheel(wheel: Path, source: Source) -> BuiltWheel:
    """A new wheel, in the folder where it was built."""
    with wheel.open("rb") as stream:
        sha256, size = sha256_of_stream(stream)
    return BuiltWheel(wheel.name, wheel, sha256, size, source, seal=_SEAL)


def _wheel_facts(ingredients: str, filename: str, sha256: Sha256) -> tuple[str, ...]:
    """The facts of a wheel's mark. The file name says project and version."""
    return ("built wheel", ingredients, filename, sha256)


def _move_in(wheel: Path, place: Path, mark: str) -> Path:
    private_folder(place.parent.parent)
    private_folder(place.parent)
    # In one step: another process may look for it, and this one may be killed.
    prepared = Path(tempfile.mkdtemp(dir=place.parent, prefix="new-"))  # mode 0700
    try:
        replace_file(prepared / wheel.name, wheel.read_bytes())
        replace_file(prepared / _MARK, mark.encode())
        try:
            prepared.replace(place)
        except OSError:
            # There is one already: a damaged one, or one that another process has just made.
            shutil.rmtree(place, ignore_errors=True)
            prepared.replace(place)
    except BaseException:
        shutil.rmtree(prepared, ignore_errors=True)
        raise
    return place / wheel.name
