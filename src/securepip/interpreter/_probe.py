"""What a Python says of itself: version, markers, wheel tags, and where it looks for distributions.

Rule: this file is also run as text by interpreters that have nothing of ours, from Python 3.10 on,
so it imports the standard library alone, plus the `packaging` folder that it is handed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import sysconfig
from importlib.machinery import PathFinder


def facts() -> dict[str, object]:
    """What the interpreter that runs this says of itself, in types that JSON has."""
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
    """The file that says that another tool manages the packages here (PEP 668), if there is one."""
    if sys.prefix != sys.base_prefix or hasattr(sys, "real_prefix"):
        return None  # a virtual environment
    # Without pathlib: nothing else here imports it, and that takes longer than to look.
    marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")  # noqa: PTH118 - so
    return marker if os.path.isfile(marker) else None  # noqa: PTH113 - so


def metadata_in_memory() -> list[str]:
    """The METADATA of distributions that are in no folder: a finder of their own offers them.

    Those in folders are read by who asks; there may be thousands.
    """
    # The finder of folders has none, and is nearly always the only one: importing what it would be
    # asked with takes a quarter of all the time until the answer.
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

    Not ``packaging.tags.sys_tags``: for other interpreters than CPython pip names the interpreter
    with its version (``pp310``) where that function does not (``pp3``).
    """
    from packaging import tags

    own = tags.cpython_tags if tags.interpreter_name() == "cp" else tags.generic_tags
    interpreter = tags.interpreter_name() + tags.interpreter_version()
    return [str(tag) for tag in (*own(), *tags.compatible_tags(interpreter=interpreter))]


def answer(packaging_folder: str) -> str:
    """The facts, as JSON, by the `packaging` of that folder whatever else is installed here.

    Byte code is not written there: what runs in this environment (a path file, ``sitecustomize``)
    may have put another compiler in its place, and securepip itself imports that folder.
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
