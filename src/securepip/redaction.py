"""What may be shown to people: URLs without passwords and tokens, texts without escape sequences.

Rule: no other module decides this. The plugin also loads this module into the pip of other
environments, so it uses only the standard library of Python 3.10.
"""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?<=://)(\S*)@")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_WHOLE = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z0-9+.-]+://\S+")
# A text that merely begins with a dot or a tilde is not a path: a user name may begin so.
_PATH = re.compile(r"/|\.{1,2}([/\\]|$)|~[^:@/\\]*([/\\]|$)|[A-Za-z]:[/\\]")


def harmless(text: str) -> str:
    """``text`` with control characters escaped and passwords replaced.

    Messages quote servers, which could send escape sequences that hide an error or make it look
    like success. Messages also quote the user, who may have typed a password in a URL, and output
    ends up in public build logs.
    """
    text = redact_text(text)
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in text
    )


def redact_text(text: str) -> str:
    """``text``, with the passwords in its URLs replaced by ``****``, as pip does.

    A user name is shown if a password follows it; a user name alone may be a token.
    """
    return _ADDRESS.sub(_hidden, text) if "@" in text else text


def redact_addresses(text: str) -> str:
    """``text`` with each URL in it as ``redact`` shows it: for texts that are published."""
    return _WHOLE.sub(lambda found: redact(found[0]), text) if "://" in text else text


def redact(url: str) -> str:
    """``url`` without credentials and without its query, which may hold a token.

    ``url`` may be any text: a mistyped URL can hold a password too.
    """
    scheme, separator, rest = url.partition("://")
    # A text without a scheme can have "://" in its password.
    if not _SCHEME.fullmatch(scheme) or not separator:
        if _PATH.match(url) and not url.startswith("//"):
            return url
        scheme, separator, rest = "", url[:2] if url.startswith("//") else "", url
        rest = rest.removeprefix("//")
    rest = rest[_end_of_credentials(rest) :].partition("#")[0]
    path, query, _ = rest.partition("?")
    return f"{scheme}{separator}{path}{query and '?…'}"


def _hidden(found: re.Match[str]) -> str:
    rest = found[0]
    end = _end_of_credentials(rest)
    if not end:
        return rest
    user, colon, _ = rest[:end].partition(":")
    return f"{user}:****@" if colon else f"****@{rest[end:]}"


def _end_of_credentials(rest: str) -> int:
    """Where user name and password end in what follows ``://``; 0 if there are none.

    A slash, ``?``, ``#`` or ``@`` in a password should be percent-encoded; no URL parser finds a
    password in which it is not. So if there is a colon before an ``@``, everything before the last
    ``@`` counts as secret. At worst a message says less than it could.
    """
    last = rest.rfind("@")
    if ":" in rest[: max(last, 0)]:
        return last + 1
    return re.split(r"[/?#]", rest, maxsplit=1)[0].rfind("@") + 1
