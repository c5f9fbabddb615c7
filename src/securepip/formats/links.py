"""Reads the links of an HTML page, in time proportional to its length.

The parser of the standard library scans the rest of the page again and again for the end of what it
cannot parse: a hostile page of a few hundred kilobytes kept it busy for hours. So the parser gets
the page in pieces, and a page with a very long tag, comment or script is refused.

Sources: PEP 503 (links), PEP 629 and 792 (``<meta name="pypi:…">``).
"""

from __future__ import annotations

import codecs
from html.parser import HTMLParser

from securepip.errors import FormatError

_PIECE = 64 << 10
_LONGEST = 256 << 10
_ENCODINGS = frozenset({"utf-8", "ascii", "iso8859-1", "cp1252"})

Attributes = dict[str, str | None]


class Links(HTMLParser):
    """The links of a page.

    Attributes:
        base: The URL that relative links start from (``<base>``), as written; None for the page's.
        anchors: The attributes of each link, in the order of the page.
        meta: For each ``<meta name="pypi:…">``, the first content, by the name without ``pypi:``.

    Args:
        text: The page.

    Raises:
        FormatError: It is not HTML, or has a tag, comment or script that is too long.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.base: str | None = None
        self.anchors: list[Attributes] = []
        self.meta: dict[str, str] = {}
        try:
            for start in range(0, len(text), _PIECE):
                self.feed(text[start : start + _PIECE])
                # `rawdata` is what the parser has not finished. `close` is not called, because it
                # would scan that rest again from each of its characters.
                if len(self.rawdata) > _LONGEST:
                    raise FormatError(f"a tag, a comment or a script of more than {_LONGEST} bytes")
        except AssertionError as error:  # the library raises it for invalid HTML
            raise FormatError(str(error)) from None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """``HTMLParser`` calls this for each tag."""
        attributes = dict(attrs)
        name = attributes.get("name") or ""
        if tag == "base" and self.base is None:
            self.base = attributes.get("href")
        elif tag == "a" and attributes.get("href"):
            self.anchors.append(attributes)
        elif tag == "meta" and name.startswith("pypi:"):
            self.meta.setdefault(name.removeprefix("pypi:"), attributes.get("content") or "")


def decode_page(body: bytes, encoding: str | None) -> str:
    """The text of a page.

    Args:
        body: The page.
        encoding: The encoding that the server names. An unusual one is taken for UTF-8, because
            some codecs are slow on hostile input; file names and URLs are ASCII in all of them.
    """
    try:
        name = codecs.lookup(encoding or "utf-8").name
    except LookupError:
        name = "utf-8"
    return body.decode(name if name in _ENCODINGS else "utf-8", "replace")
