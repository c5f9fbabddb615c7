"""A file of TOML tables, read within bounds; what is not of the documented form names its place.

Rule: these files come from projects, and projects come from anybody. Whatever one holds, the answer
is a requirement or a ``RequirementError`` that names the file and the entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from securepip.errors import RequirementError
from securepip.formats.toml import parse_toml
from securepip.resolver import UserRequirement, parse_requirement

MAX_BYTES = 16 << 20
"""Of one file; the longest locks that people have are a third of that."""


@dataclass(frozen=True)
class Table:
    """One table of a file.

    Attributes:
        where: The file, and the entry in it, for messages.
        values: What it holds.
    """

    where: str
    values: Mapping[str, object]

    def text(self, key: str) -> str:
        """The text under ``key``; "" where there is none.

        Raises:
            RequirementError: It is something else.
        """
        found = self.values.get(key, "")
        if not isinstance(found, str):
            raise self.wrong(f"{key} is not a text")
        return found

    def texts(self, key: str) -> list[str]:
        """The list of texts under ``key``; of nothing, none.

        Raises:
            RequirementError: It is something else.
        """
        found = self.values.get(key, [])
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise self.wrong(f"{key} is not a list of texts")
        return list(found)

    def table(self, key: str) -> Table:
        """The table under ``key``; an empty one where there is none.

        Raises:
            RequirementError: It is something else.
        """
        found = self.values.get(key, {})
        if not isinstance(found, dict):
            raise self.wrong(f"{key} is not a table")
        return Table(f"{self.where}, {key}", found)

    def packages(self, key: str) -> Iterator[Table]:
        """The tables of the list under ``key``, each named after its ``name``.

        Raises:
            RequirementError: It is something else, or one of them has no name.
        """
        found = self.values.get(key, [])
        if not isinstance(found, list):
            raise self.wrong(f"{key} is not a list of tables")
        for number, values in enumerate(found, 1):
            if not isinstance(values, dict):
                raise self.wrong(f"{key} number {number} is not a table")
            if not Table(f"{self.where}, {key} number {number}", values).text("name"):
                raise self.wrong(f"{key} number {number} has no name")
            yield Table(f"{self.where}, {key} {values['name']!r:.100}", values)

    def locked(self, url: str = "") -> UserRequirement:
        """The package that this table locks, by its ``name`` and ``version``.

        Args:
            url: Where it comes from, if that is no index.

        Raises:
            RequirementError: There is no such requirement.
        """
        name, version = self.text("name"), self.text("version")
        if url:
            return self.requirement(f"{name} @ {url}")
        return self.requirement(f"{name}=={version}" if version else name)

    def requirement(self, text: str) -> UserRequirement:
        """``text``, with this place as its source; it is only read, an address is not judged.

        Raises:
            RequirementError: It is none.
        """
        return parse_requirement(text, self.where, must_be_verifiable=False)

    def wrong(self, what: str) -> RequirementError:
        """An error that names this place."""
        return RequirementError(
            f"{self.where}: {what}.",
            remedy="Have the tool that wrote the file write it again; nothing was signed.",
        )


def read_bytes(path: str) -> bytes:
    """The bytes of a file.

    Raises:
        RequirementError: It cannot be read, or is too large.
    """
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - the message quotes it as it is written
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise RequirementError(f"Could not open requirements file: {error}") from None
    if len(data) > MAX_BYTES:
        raise RequirementError(f"{path}: it is larger than {MAX_BYTES >> 20} MB.")
    return data


def parse_tables(path: str, data: bytes) -> Table:
    """The tables of a file.

    Raises:
        RequirementError: It is not TOML.
    """
    # The parser meets what strangers wrote: whatever it raises, the file is what is wrong.
    try:
        return Table(path, parse_toml(data.decode("utf-8-sig")))
    except Exception as error:
        said = f"{str(error) or type(error).__name__:.300}"
        raise RequirementError(f"Failed to parse TOML in {path!r}: {said}") from None
