"""One tree of errors, each able to explain itself to a person.

The rule: an error that reaches a user says what was being done and with which file or URL
(``what``), what that may mean (``meaning``) and what to do next (``remedy``). The exit code is
part of the type, so that no caller has to decide it.

No error holds a password: each text goes through ``redact_text`` when the error is made, wherever
it is shown later (a terminal, a log, the answer of a gateway).
"""

from __future__ import annotations

from securepip.redaction import redact_text


class SecurepipError(Exception):
    """Something that a person is told about, without a traceback.

    Args:
        what: What happened: the thing that was fetched or read, from where, and what is wrong.
        meaning: What that may mean. May be empty.
        remedy: What to do next. May be empty.
    """

    exit_code = 1

    def __init__(self, what: str, *, meaning: str = "", remedy: str = "") -> None:
        self.what, self.meaning, self.remedy = map(redact_text, (what, meaning, remedy))
        super().__init__(self.what)

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.meaning, self.remedy) if part)


class UsageError(SecurepipError):
    """The command line asks for something that has no meaning (exit code 2)."""

    exit_code = 2


class RequirementError(UsageError):
    """A requirement, or a requirements file, cannot be read or honoured (exit code 1, as pip's)."""

    exit_code = 1


class VerificationError(SecurepipError):
    """Somebody or something served what was not signed (exit code 3). Nothing is installed."""

    exit_code = 3


class UntrustedError(SecurepipError):
    """Nobody whom this machine believes speaks for what is asked."""


class TransportError(SecurepipError):
    """A file could not be fetched.

    Args:
        url: The address, without user name and password.
        status: The HTTP status, or None when there was no answer.
    """

    def __init__(
        self,
        what: str,
        *,
        url: str,
        status: int | None = None,
        meaning: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(what, meaning=meaning, remedy=remedy)
        self.url = redact_text(url)
        self.status = status


class UnreachableError(TransportError):
    """There was no answer at all: no such host, no connection, or silence."""


class TooSlowError(TransportError):
    """All answers of one piece of work together took too long: nothing more is asked for it."""


class TooLargeError(TransportError):
    """An answer was longer than what was announced or allowed: it was dropped unread.

    Whether that is a failed verification depends on who announced the length; the caller knows.
    """


class FormatError(SecurepipError):
    """A page, a file name, a path or a metadata file is not of the form its specification asks."""


class BrokenDistributionError(FormatError):
    """A wheel or sdist cannot be read as one: it is damaged, or was never one."""


class RepositoryUnavailableError(SecurepipError):
    """A trusted repository did not answer, or what it answers has expired."""


class QuarantinedError(SecurepipError):
    """An index holds a project back, because it may do harm (PEP 792)."""


class ResolutionError(SecurepipError):
    """No set of distributions satisfies the requirements."""


class ConflictError(ResolutionError):
    """Requirements contradict each other; ``meaning`` lists them."""


class InstallationError(SecurepipError):
    """pip, or the interpreter it installs for, failed after everything had been verified."""


class RefusedError(SecurepipError):
    """What a project's maintainers handed in lacks a property that it must have (exit code 3).

    Nothing of it is published.
    """

    exit_code = 3


class RepositoryStateError(SecurepipError):
    """The signing side cannot go on: keys missing, a lock held, a repository in an odd state."""


class NotARepositoryError(RepositoryStateError):
    """Nobody signs in this folder: it may be a copy of what another one serves."""
