"""The list of all projects, for clients that do not verify (PEP 503, PEP 691)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from packaging.utils import NormalizedName

from securepip.formats.page import API_VERSION


def to_html(projects: Sequence[NormalizedName]) -> bytes:
    """The PEP 503 form."""
    links = "".join(f'<a href="{escape(name)}/">{escape(name)}</a><br>\n' for name in projects)
    return (
        "<!DOCTYPE html>\n<html>\n<head>\n"
        f'<meta name="pypi:repository-version" content="{API_VERSION}">\n'
        f"<title>Simple index</title>\n</head>\n<body>\n{links}</body>\n</html>\n"
    ).encode()


def to_json(projects: Sequence[NormalizedName]) -> bytes:
    """The PEP 691 form."""
    document = {
        "meta": {"api-version": API_VERSION},
        "projects": [{"name": name} for name in projects],
    }
    return json.dumps(document, separators=(",", ":")).encode()
