"""Reads TOML files up to a limit of size, and reports the place of what is not valid in them.

Rule: these files come from projects of unknown authors. Whatever a file contains, the result is
requirements, or a ``RequirementError`` that names the file and the entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from securepip.errors import RequirementError
from securepip.formats.toml import parse_toml
from securepip.resolver import UserRequirement, parse_requirement

MAX_BYTES = 16 << 20
"""The largest file that is read; the largest locks in use are a third of that."""


@dataclass(frozen=True)
class Table:
    """One table of a file.

    Attributes:
        where: The file and the entry in it, for messages.
        values: The values by key.
    """

    where: str
    values: Mapping[str, object]

    def text(self, key: str) -> str:
        """The text under ``key``; "" if there is none.

        Raises:
            RequirementError: The value is not a text.
        """
        value = self.values.get(key, "")
        if not isinstance(value, str):
            raise self.wrong(f"{key} is not a text")
        return value

    def texts(self, key: str) -> list[str]:
        """The list of texts under ``key``; an empty one if there is none.

        Raises:
            RequirementError: The value is not a list of texts.
        """
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.wrong(f"{key} is not a list of texts")
        return list(value)

    def table(self, key: str) -> Table:
        """The table under ``key``; an empty one if there is none.

        Raises:
            RequirementError: The value is not a table.
        """
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(f"{key} is not a table")
        return Table(f"{self.where}, {key}", value)

    def packages(self, key: str) -> Iterator[Table]:
        """The tables in the list under ``key``; their ``name`` is in the place for messages.

        Raises:
            RequirementError: The value is not a list of tables, or one of them has no name.
        """
        entries = self.values.get(key, [])
        if not isinstance(entries, list):
            raise self.wrong(f"{key} is not a list of tables")
        for number, values in enumerate(entries, 1):
            if not isinstance(values, dict):
                raise self.wrong(f"{key} number {number} is not a table")
            if not Table(f"{self.where}, {key} number {number}", values).text("name"):
                raise self.wrong(f"{key} number {number} has no name")
            yield Table(f"{self.where}, {key} {values['name']!r:.100}", values)

    def locked(self, url: str = "") -> UserRequirement:
        """The requirement for the package that this table locks, by ``name`` and ``version``.

        Args:
            url: Its address, if it does not come from an index.

        Raises:
            RequirementError: The name, version or address is not valid.
        """
        name, version = self.text("name"), self.text("version")
        if url:
            return self.requirement(f"{name} @ {url}")
        return self.requirement(f"{name}=={version}" if version else name)

    def requirement(self, text: str) -> UserRequirement:
        """Parse a requirement, with this place as its source; whether it may be used is not judged.

        Raises:
            RequirementError: It is not a valid requirement.
        """
        return parse_requirement(text, self.where, must_be_verifiable=False)

    def wrong(self, what: str) -> RequirementError:
        """Make an error that names this place."""
        return RequirementError(
            f"{self.where}: {what}.",
            remedy="Have the tool that wrote the file write it again; nothing was signed.",
        )


def read_bytes(path: str) -> bytes:
    """Read a file of at most ``MAX_BYTES``.

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
    """Parse the TOML tables of a file.

    Raises:
        RequirementError: It is not valid TOML.
    """
    # The parser may raise anything on malformed input: then the file is not valid.
    try:
        return Table(path, parse_toml(data.decode("utf-8-sig")))
    except Exception as error:
        reason = f"{str(error) or type(error).__name__:.300}"
        raise RequirementError(f"Failed to parse TOML in {path!r}: {reason}") from None
