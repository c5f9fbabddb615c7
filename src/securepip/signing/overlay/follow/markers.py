"""Decides whether any environment in use can need a requirement, by its marker.

Rule: when in doubt, a requirement counts. A project is signed because a requirement leads to it. A
marker that no Python since 3.9 satisfies on any platform leads nowhere: otherwise the metadata of
one project could have hundreds of projects signed that nobody ever installs. A variable that this
module does not know, such as the release of a kernel, counts as satisfied.

An environment is a Python version, a system, a machine and an implementation. The environments of
one Python version are the bits of a number, so that ``and`` and ``or`` of markers are ``&`` and
``|``. A marker of hundreds of terms costs only hundreds of such operations.

Source: the dependency specifiers specification, "Environment Markers" (PEP 508).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from itertools import product

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

_MINORS = range(9, 21)
_PATCHES = (0, 99)
_MENTIONED = re.compile(r"\b3\.(\d{1,2})\.(\d{1,3})\b", re.ASCII)
_MAX_MENTIONED = 64

# The combinations of `os_name`, `sys_platform` and `platform_system`.
_SYSTEMS = (
    ("posix", "linux", "Linux"),
    ("posix", "darwin", "Darwin"),
    ("nt", "win32", "Windows"),
    ("posix", "cygwin", "CYGWIN_NT-10.0"),
    ("posix", "android", "Android"),
    ("posix", "ios", "iOS"),
    ("posix", "ios", "iPadOS"),
    ("posix", "emscripten", "Emscripten"),
    ("posix", "wasi", "wasi"),
    ("posix", "freebsd14", "FreeBSD"),
    ("posix", "openbsd7", "OpenBSD"),
    ("posix", "netbsd10", "NetBSD"),
    ("posix", "dragonfly6", "DragonFly"),
    ("posix", "sunos5", "SunOS"),
    ("posix", "aix", "AIX"),
    ("posix", "haiku1", "Haiku"),
    ("java", "java21", "Java"),
)
_MACHINES = (
    *("x86_64", "amd64", "AMD64", "WIN32", "win32", "x86", "i386", "i486", "i586", "i686"),
    *("aarch64", "arm64", "ARM64", "arm", "armv5tel", "armv6l", "armv7l", "armv8l"),
    *("ppc", "ppc64", "ppc64le", "s390x", "riscv64", "loongarch64", "mips", "mips64", "sparc64"),
    *("wasm32", "wasm64", "iPhone13,2", "iPad8,6"),
)
_IMPLEMENTATIONS = (
    ("cpython", "CPython"),
    ("pypy", "PyPy"),
    ("graalpy", "GraalVM"),
    ("micropython", "MicroPython"),
    ("rustpython", "RustPython"),
    ("ironpython", "IronPython"),
    ("jython", "Jython"),
)
_PYTHON_VARIABLES = ("python_version", "python_full_version")
_PLATFORM_VARIABLES = (
    "os_name",
    "sys_platform",
    "platform_system",
    "platform_machine",
    "implementation_name",
    "platform_python_implementation",
)
_PLATFORMS = tuple(
    (*system, machine, *implementation)
    for system, machine, implementation in product(_SYSTEMS, _MACHINES, _IMPLEMENTATIONS)
)
_ALL = (1 << len(_PLATFORMS)) - 1
_NONE = 0
_LONGEST = 4000
"""A longer marker counts as never true: no author writes one, and it takes long to evaluate."""


def counts(requirement: Requirement, extras: Iterable[NormalizedName]) -> bool:
    """Whether some environment needs ``requirement`` when its project is wanted with ``extras``."""
    if requirement.marker is None:
        return True
    text = str(requirement.marker)
    return len(text) <= _LONGEST and any(_can_hold(text, extra) for extra in ("", *extras))


@lru_cache(maxsize=4096)
def _can_hold(text: str, extra: str) -> bool:
    try:
        # `packaging` has no public access to a marker's parts; Poetry and PDM read this one too.
        tree = Marker(text)._markers
        return any(_where(tree, python, extra) for python in _pythons(text))
    except InvalidMarker:
        # A literal with a quote cannot be written as text again. No platform has such a name.
        return False


def _pythons(text: str) -> Iterator[str]:
    """Full Python versions: the first and last of each minor version, and those in ``text``."""
    if not any(variable in text for variable in _PYTHON_VARIABLES):
        yield f"3.{_MINORS[0]}.0"
        return
    for minor in _MINORS:
        for patch in _PATCHES:
            yield f"3.{minor}.{patch}"
    for minor_text, patch_text in _MENTIONED.findall(text)[:_MAX_MENTIONED]:
        if int(minor_text) >= _MINORS[0]:
            for patch in (int(patch_text) - 1, int(patch_text), int(patch_text) + 1):
                yield f"3.{int(minor_text)}.{max(patch, 0)}"


def _where(node: object, python: str, extra: str) -> int:
    """The platforms on which ``node`` is true with ``python``, one bit for each."""
    if isinstance(node, tuple):
        left, operator, right = node
        # A term about the platform is evaluated once for all Python versions.
        about_python = str(left) in _PYTHON_VARIABLES or str(right) in _PYTHON_VARIABLES
        return _where_term(
            left.serialize(),
            operator.serialize(),
            right.serialize(),
            python if about_python else "",
            extra,
        )
    if not isinstance(node, list):
        return _ALL
    # `and` binds closer than `or`: a list is a sequence of `and` groups with `or` between them.
    platforms, group = _NONE, _ALL
    for part in node:
        if part == "or":
            platforms, group = platforms | group, _ALL
        elif part != "and":
            group &= _where(part, python, extra)
    return platforms | group


@lru_cache(maxsize=65536)
def _where_term(left: str, operator: str, right: str, python: str, extra: str) -> int:
    # As in `packaging`: the left side is the variable if it can be one; the other is a literal.
    sides = [side for side in (left, right) if not side.startswith(('"', "'"))]
    if not sides:
        return _ALL if _holds(_parse(f"{left} {operator} {right}"), {}) else _NONE
    variable = sides[0]
    if variable == "extra":
        literal = left if variable == right else right
        value = canonicalize_name(literal.strip("\"'"))
        holds = {"==": value == extra, "!=": value != extra}.get(operator, True)
        return _ALL if holds else _NONE
    term = _parse(f"{left} {operator} {right}")
    if variable in _PYTHON_VARIABLES:
        version = ".".join(python.split(".")[:2])
        environment = {"python_version": version, "python_full_version": python}
        return _ALL if _holds(term, environment) else _NONE
    if variable not in _PLATFORM_VARIABLES:
        return _ALL
    platforms = _NONE
    for possible, bits in _bits_of(variable).items():
        if _holds(term, {variable: possible}):
            platforms |= bits
    return platforms


_parse = lru_cache(maxsize=4096)(Marker)


@cache
def _bits_of(variable: str) -> Mapping[str, int]:
    """The platforms for each value of a platform variable, one bit for each platform."""
    column = _PLATFORM_VARIABLES.index(variable)
    bits: dict[str, int] = {}
    for position, platform in enumerate(_PLATFORMS):
        bits[platform[column]] = bits.get(platform[column], _NONE) | 1 << position
    return bits


def _holds(term: Marker, environment: dict[str, str]) -> bool:
    try:
        return term.evaluate({"extra": "", **environment})
    except Exception:
        # Python or `packaging` refuses the comparison. With pip, it stops the install.
        return False
