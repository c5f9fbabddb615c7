"""In which form a project's page is sent: PEP 691, version and format selection."""

from __future__ import annotations

from securepip.formats.page import HTML_TYPE, JSON_TYPE

PLAIN_HTML = "text/html; charset=utf-8"
_LATEST_JSON = "application/vnd.pypi.simple.latest+json"
_LATEST_HTML = "application/vnd.pypi.simple.latest+html"


def negotiate(accept: str) -> str:
    """The content type of a page: JSON where it is asked for by name, HTML for everybody else."""
    json_weight = max(weight(accept, JSON_TYPE), weight(accept, _LATEST_JSON))
    named_html = max(weight(accept, HTML_TYPE), weight(accept, _LATEST_HTML))
    plain_html = weight(accept, "text/html")
    if json_weight > 0 and json_weight >= max(named_html, plain_html):
        return JSON_TYPE
    return HTML_TYPE if named_html > plain_html else PLAIN_HTML


def weight(header: str, wanted: str) -> float:
    """The quality value that a header such as ``Accept`` gives to ``wanted``, by name; else 0."""
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
