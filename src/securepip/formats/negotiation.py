"""Chooses the content type of a project's page (PEP 691, version and format selection)."""

from __future__ import annotations

from securepip.formats.page import HTML_TYPE, JSON_TYPE

PLAIN_HTML = "text/html; charset=utf-8"
_LATEST_JSON = "application/vnd.pypi.simple.latest+json"
_LATEST_HTML = "application/vnd.pypi.simple.latest+html"


def negotiate(accept: str) -> str:
    """The content type for an ``Accept`` header: JSON if the header names it, else HTML."""
    json_weight = max(weight(accept, JSON_TYPE), weight(accept, _LATEST_JSON))
    named_html = max(weight(accept, HTML_TYPE), weight(accept, _LATEST_HTML))
    plain_html = weight(accept, "text/html")
    if json_weight > 0 and json_weight >= max(named_html, plain_html):
        return JSON_TYPE
    return HTML_TYPE if named_html > plain_html else PLAIN_HTML


def weight(header: str, wanted: str) -> float:
    """The quality value of ``wanted`` in a header such as ``Accept``; 0 if it is not named."""
    for item in header.split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name.lower() == wanted:
            for parameter in parameters:
                if parameter.lower().startswith("q="):
                    try:
                        return float(parameter[2:])
                    except ValueError:
                        return 0.0
            return 1.0
    return 0.0
