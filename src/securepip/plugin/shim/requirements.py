"""Limits what a requirements file at a URL may say."""

from __future__ import annotations

import re
from typing import Any

from securepip.plugin.shim.inside import refusal
from securepip.redaction import redact

# A project with extras, a version, a marker and hashes. There may be no "@" and no slash, because
# pip takes "app==1/../../x" for a folder; and no other option, because `-e` names a folder or URL.
_PROJECT = re.compile(
    r"[A-Za-z0-9][\w.-]*\s*(\[[\w\s,.-]*\])?\s*([<>=!~;(]((?!\s-)[^/\\])*)?"
    r"(\s+--hash[=\s]\s*\w+:\w+)*",
    re.ASCII,
)
_ARCHIVE = re.compile(r"\.(whl|zip|tar|tgz|tbz|txz|tlz|gz|bz2|xz|lzma)\b", re.I)
# A line with one option and at most one value.
_LINES = re.compile(
    r"--pre|--prefer-binary|--require-hashes|--(no|only)-binary[=\s]\s*[^\s-]\S*"
    r"|(-i|--index-url|--extra-index-url)[=\s]\s*https?://\S+"
    r"|(-r|-c|--requirement|--constraint)[=\s]?\s*[^\s:-][^\s:]*"
)


def check_requirements(url: str, content: str, reader: Any) -> None:
    """Check that a requirements file at a URL only names projects, and uses no variables.

    Otherwise an attacker who changes the file on its way could name files on this machine, or have
    secrets from environment variables sent to a host of his.

    Args:
        url: The URL of the file.
        content: Its contents.
        reader: pip's own ``req_file`` module, which splits the contents into lines.

    Raises:
        InstallationError: It says more.
    """
    lines = reader.join_lines(enumerate(content.splitlines(), start=1))
    for _, line in reader.ignore_comments(lines):
        if line.startswith("-"):
            is_fine = bool(_LINES.fullmatch(line))
        else:
            is_archive = _ARCHIVE.search(line.partition(";")[0])
            is_fine = bool(_PROJECT.fullmatch(line)) and not is_archive
        if not is_fine or "${" in line:
            raise refusal(
                f"the requirements file {redact(url)} names more than projects: {line!r:.200}",
                "It is not on this machine, and nobody signs it: whoever changes it on its way "
                "could choose files and addresses. Fetch it, look at it, and name your copy.",
            )
