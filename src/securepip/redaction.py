"""What may be shown: of an address no password, nor what may be a token; of a text no command.

Rule: this is the one place that decides it. The plugin takes it along into the pip of other
environments, so it uses nothing but the standard library of Python 3.9.
"""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?<=://)(\S*)@")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_WHOLE = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z0-9+.-]+://\S+")
# A dot or a tilde alone makes no path: a user name may begin with it.
_PATH = re.compile(r"/|\.{1,2}([/\\]|$)|~[^:@/\\]*([/\\]|$)|[A-Za-z]:[/\\]")


def harmless(text: str) -> str:
    """``text`` without what a terminal obeys, and without passwords.

    Names and answers of servers are part of it: an escape sequence could hide an error, or make it
    look like success. So are words of the user's, which may hold the password of an address; what
    is printed ends in the public logs of builds.
    """
    text = redact_text(text)
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in text
    )


def redact_text(text: str) -> str:
    """``text``, with the passwords of the addresses in it replaced, as pip does.

    A user name is shown where a password follows it; alone it may be a token.
    """
    return _ADDRESS.sub(_hidden, text) if "@" in text else text


def redact_addresses(text: str) -> str:
    """``text`` with each address in it as ``redact`` shows it: for others to read."""
    return _WHOLE.sub(lambda found: redact(found[0]), text) if "://" in text else text


def redact(url: str) -> str:
    """``url`` as it may be shown: no credentials, no query (which may hold a token).

    It need not be an address: what somebody mistyped can hold a password too.
    """
    scheme, separator, rest = url.partition("://")
    # "://" can also stand in a password, of what has no scheme.
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
    """Where user name and password end in what follows ``://``; 0 where there are none.

    A slash, ``?``, ``#`` or ``@`` in a password should be encoded. Where it is not, or where
    somebody has decoded it, no parser of addresses finds the password. So wherever there is a
    colon before an ``@``, all before the last ``@`` counts as secret; at worst a message says less.
    """
    last = rest.rfind("@")
    if ":" in rest[: max(last, 0)]:
        return last + 1
    return re.split(r"[/?#]", rest, maxsplit=1)[0].rfind("@") + 1
