"""Describes the interpreter that runs it: version, markers, wheel tags, and its import path.

Rule: interpreters without securepip, from Python 3.10 on, also run this file. So it imports only
the standard library, and ``packaging`` from a folder that it is given.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import sysconfig
from importlib.machinery import PathFinder


def facts() -> dict[str, object]:
    """The facts about the interpreter that runs this, in types that JSON has."""
    from packaging.markers import default_environment

    return {
        "version": list(sys.version_info[:3]),
        "markers": dict(default_environment()),
        "tags": compatible_tags(),
        "path": [entry for entry in sys.path if entry],
        "purelib": sysconfig.get_path("purelib"),
        "platlib": sysconfig.get_path("platlib"),
        "in_memory": metadata_in_memory(),
        "externally_managed": externally_managed(),
    }


def externally_managed() -> str | None:
    """The path of the ``EXTERNALLY-MANAGED`` file (PEP 668); None if there is none."""
    if sys.prefix != sys.base_prefix or hasattr(sys, "real_prefix"):
        return None  # a virtual environment
    # Nothing else here imports pathlib, and importing it takes longer than this look-up.
    marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")  # noqa: PTH118
    return marker if os.path.isfile(marker) else None  # noqa: PTH113


def metadata_in_memory() -> list[str]:
    """The METADATA of distributions that are in no folder, which other import finders offer.

    securepip itself reads the distributions in folders, of which there may be thousands.
    """
    # `PathFinder` finds those in folders, and is nearly always the only finder. Then
    # `importlib.metadata` is not imported, which would take a quarter of the time of the answer.
    others = [finder for finder in sys.meta_path if finder is not PathFinder]
    finders = [getattr(finder, "find_distributions", None) for finder in others]
    if not any(finders):
        return []
    import importlib.metadata

    context = importlib.metadata.DistributionFinder.Context(path=[])
    found = [one for find in finders if find is not None for one in find(context)]
    texts = [one.read_text("METADATA") for one in found if not hasattr(one, "_path")]
    return [text for text in texts if text]


def compatible_tags() -> list[str]:
    """The wheel tags that pip would accept here, best first.

    ``packaging.tags.sys_tags`` is not used: for an interpreter other than CPython it has ``pp3``
    where pip has ``pp310``.
    """
    from packaging import tags

    own = tags.cpython_tags if tags.interpreter_name() == "cp" else tags.generic_tags
    interpreter = tags.interpreter_name() + tags.interpreter_version()
    return [str(tag) for tag in (*own(), *tags.compatible_tags(interpreter=interpreter))]


def answer(packaging_folder: str) -> str:
    """The facts, as JSON, determined with the ``packaging`` in that folder.

    Nothing writes byte code to that folder, from which securepip itself imports: code of this
    environment (a ``.pth`` file, ``sitecustomize``) could write malicious byte code there.
    """
    _forget_packaging()
    spec = importlib.util.spec_from_file_location(
        "packaging",
        packaging_folder + "/__init__.py",
        submodule_search_locations=[packaging_folder],
    )
    if spec is None or spec.loader is None:
        raise ImportError(packaging_folder)
    module = importlib.util.module_from_spec(spec)
    sys.modules["packaging"] = module
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
        return json.dumps(facts())
    finally:
        sys.dont_write_bytecode = writes
        _forget_packaging()


def main(packaging_folder: str) -> None:
    """Print the facts."""
    print(answer(packaging_folder))


def _forget_packaging() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "packaging"]:
        del sys.modules[name]
