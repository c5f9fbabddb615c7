"""One tree of errors, each able to explain itself to a person.

The rule: an error that reaches a user says what was being done and with which file or URL
(``what``), what that may mean (``meaning``) and what to do next (``remedy``). The exit code is
part of the type, so that no caller has to decide it.

No error holds a password: the constructor passes each text through ``redact_text``, because the
error may be shown in a terminal, a log or a gateway's answer.
"""

from __future__ import annotations

from securepip.redaction import redact_text


class SecurepipError(Exception):
    """An error that is shown to a person without a traceback (exit code 1).

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
    """The command line, or another input, cannot be understood (exit code 2)."""

    exit_code = 2


class RequirementError(UsageError):
    """A requirement, or a requirements file, cannot be read or honoured (exit code 1, as pip's)."""

    exit_code = 1


class VerificationError(SecurepipError):
    """Somebody or something served what was not signed (exit code 3). Nothing is installed."""

    exit_code = 3


class UntrustedError(SecurepipError):
    """No repository that this machine trusts speaks for the project in question."""


class TransportError(SecurepipError):
    """A file could not be fetched.

    Args:
        url: The address, without user name and password.
        status: The HTTP status; None if there was no answer.
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
    """There was no answer at all: no such host, no connection, or a server that says nothing."""


class TooSlowError(TransportError):
    """All answers of one piece of work together took longer than its ``Allowance``."""


class TooLargeError(TransportError):
    """An answer was longer than announced or allowed, and was dropped.

    If signed metadata announced the length, the caller makes a ``VerificationError`` of it.
    """


class FormatError(SecurepipError):
    """A page, a file name, a path or a metadata file does not conform to its specification."""


class BrokenDistributionError(FormatError):
    """A file is not a readable wheel or sdist."""


class RepositoryUnavailableError(SecurepipError):
    """A trusted repository did not answer."""


class QuarantinedError(SecurepipError):
    """The index has quarantined a project because it may do harm (PEP 792)."""


class ResolutionError(SecurepipError):
    """No set of distributions satisfies the requirements."""


class ConflictError(ResolutionError):
    """Requirements contradict each other; ``meaning`` lists them."""


class InstallationError(SecurepipError):
    """pip, or the target's interpreter, failed after everything had been verified."""


class RefusedError(SecurepipError):
    """What a project's maintainers submitted is not acceptable (exit code 3).

    None of it is published.
    """

    exit_code = 3


class RepositoryStateError(SecurepipError):
    """The signing side cannot go on: keys are missing, a lock is held, or the state is damaged."""


class NotARepositoryError(RepositoryStateError):
    """The folder is not one that a repository is signed in; it may be a copy of what one serves."""
