"""Reads which projects are named in requirements files, lock files, scripts and by tools."""

from securepip.wanted.groups import read_groups
from securepip.wanted.read import split_files
from securepip.wanted.script import ScriptMetadata, read_script_metadata
from securepip.wanted.tools import TOOLS, fetched_by

__all__ = [
    "TOOLS",
    "ScriptMetadata",
    "fetched_by",
    "read_groups",
    "read_script_metadata",
    "split_files",
]
