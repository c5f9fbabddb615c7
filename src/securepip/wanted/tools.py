"""The projects that tools install for themselves, besides what people ask them to install.

Rule: a project is in the table if the tool installs it by itself: into the environments that it
makes, as a default build requirement (PEP 517), or beside itself. The dependencies of these
projects are not in the table; ``--with-dependencies`` follows them like all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from securepip.errors import UsageError

_SEEDS = ("pip", "setuptools", "wheel")
"""What virtualenv installs into an environment, and a build without ``[build-system]`` requires."""

_BACKENDS = (
    "flit-core", "hatch-fancy-pypi-readme", "hatch-vcs", "hatchling", "maturin", "meson-python",
    "pbr", "pdm-backend", "poetry-core", "scikit-build-core", "setuptools", "setuptools-rust",
    "setuptools-scm", "uv-build", "wheel",
)  # fmt: skip

TOOLS: Mapping[str, tuple[str, ...]] = {
    "build": ("build", *_SEEDS),
    "build-backends": _BACKENDS,
    "hatch": (
        "hatch", "hatchling", "uv", "virtualenv", "coverage", "coverage-enable-subprocess",
        "pytest", "pytest-mock", "pytest-randomly", "pytest-rerunfailures", "pytest-xdist[psutil]",
        "ruff", *_SEEDS,
    ),
    "nox": ("nox", "virtualenv", "uv", *_SEEDS),
    "pdm": ("pdm", "pdm-backend", "virtualenv", *_SEEDS),
    "pip": _SEEDS,
    "pip-tools": ("pip-tools", *_SEEDS),
    "pipx": ("pipx", "uv", *_SEEDS),
    "poetry": ("poetry", "poetry-core", "poetry-plugin-export", "virtualenv", *_SEEDS),
    "pre-commit": ("pre-commit", "virtualenv", *_SEEDS),
    "tox": ("tox", "virtualenv", "tox-uv", *_SEEDS),
    "uv": ("uv", "uv-build", *_SEEDS),
    "virtualenv": ("virtualenv", *_SEEDS),
}  # fmt: skip
"""Requirements by the name of the tool."""


def fetched_by(tools: Sequence[str]) -> list[str]:
    """The tools themselves, and the projects that they install for themselves.

    Raises:
        UsageError: One of them is not in the table.
    """
    unknown = [tool for tool in tools if tool not in TOOLS]
    if unknown:
        raise UsageError(
            f"--tools: {', '.join(map(repr, unknown))} is not known",
            remedy=f"Known are {', '.join(TOOLS)}. Name what another tool fetches as projects.",
        )
    return list(dict.fromkeys(name for tool in tools for name in TOOLS[tool]))
