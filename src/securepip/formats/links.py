"""The links of an HTML page, read in a time that its length bounds.

The parser of the standard library looks again and again through what it cannot make sense of, up
to the end of the page: a few hundred kilobytes kept it busy for hours. So it gets a page piece by
piece, and a page with a tag, comment or script that is longer than any of an index is none.

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
    """What a page of links says.

    Attributes:
        base: The address that links start from, as the page writes it; None for its own.
        anchors: The attributes of each link, in the order of the page.
        meta: The first content of each ``pypi:…``, without that prefix.

    Args:
        text: The page.

    Raises:
        FormatError: It is not HTML that an index would write.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.base: str | None = None
        self.anchors: list[Attributes] = []
        self.meta: dict[str, str] = {}
        try:
            for start in range(0, len(text), _PIECE):
                self.feed(text[start : start + _PIECE])
                # What it waits for the end of. It is not told that the page ends: it would look
                # for another beginning in all of the rest, from each character anew.
                if len(self.rawdata) > _LONGEST:
                    raise FormatError(f"a tag, a comment or a script of more than {_LONGEST} bytes")
        except AssertionError as error:  # so the library says that something is no HTML
            raise FormatError(str(error)) from None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each tag."""
        attributes = dict(attrs)
        name = attributes.get("name") or ""
        if tag == "base" and self.base is None:
            self.base = attributes.get("href")
        elif tag == "a" and attributes.get("href"):
            self.anchors.append(attributes)
        elif tag == "meta" and name.startswith("pypi:"):
            self.meta.setdefault(name.removeprefix("pypi:"), attributes.get("content") or "")


def decode_page(body: bytes, encoding: str | None) -> str:
    """The text of a page; names and addresses are ASCII in any encoding that pages have.

    Args:
        body: The page.
        encoding: What its server says, if it does. Of another than the usual ones nobody knows how
            long it would take to decode.
    """
    try:
        name = codecs.lookup(encoding or "utf-8").name
    except LookupError:
        name = "utf-8"
    return body.decode(name if name in _ENCODINGS else "utf-8", "replace")
