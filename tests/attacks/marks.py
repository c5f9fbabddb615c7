"""The mark ``attack``: which attack a test tries, and by which way in. The report counts these.

The laboratory's tests have the mark in their code; the catalogue lists the others.
"""

from __future__ import annotations

import pytest

from tests.attacks.catalogue import CATALOGUE

APPENDIX_A = {
    "arbitrary software": "a wheel of the attacker's, which every unsigned page lists",
    "rollback": "an older state, which was signed once",
    "indefinite freeze": "the same state again and again, while a fixed release is withheld",
    "endless data": "an answer that does not end",
    "slow retrieval": "an answer that is very slow, or does not come",
    "extraneous dependencies": "a dependency that the author never named",
    "mix-and-match": "files that were each signed, but not at the same time",
    "wrong software": "a signed file in the place of another",
    "malicious mirror": "a mirror that does not answer, or answers differently from the others",
    "key compromise": "some of the keys are stolen",
}
"""The ten attacks of PEP 458's Appendix A, as the user sees them."""

BEYOND = {
    "dependency confusion": "another repository offers the name of an internal project",
    "strange names": "homoglyphs, and names that are not normalized",
    "traversal": "a name that leads out of the folder that it belongs to",
    "redirects": "an answer that redirects: to files, to loopback, in circles",
    "leaked credentials": "a password that reaches another host, a log or a lock",
    "injection": "line ends and terminal codes in names and messages",
    "links in folders": "symbolic links in caches, environments and download folders",
    "swap after the check": "a file that is replaced after its check and before pip reads it",
    "poisoned caches": "other bytes in pip's cache, or in securepip's",
    "two readers": "an archive that two programs read differently",
    "hostile JSON and HTML": "depth, size, duplicate keys, huge numbers, strange encodings",
    "decompression bombs": "a small file that unpacks to a huge one",
    "clocks": "a clock that is slow or fast by days",
    "delegations": "circles of roles, and thousands of them",
    "several mirrors": "one of several mirrors is bad, stale, slow or dead",
    "hidden projects": "an answer that leaves out a project or a claim",
    "the user's surroundings": "folders, variables and files that try to disable checks",
    "past the gateway": "a tool inside a gateway that is told to connect to another server",
    "offline keys misled": "a state that a thief has prepared for a ceremony to sign",
    "forged signing papers": "transactions, bundles and claims from an attacker",
}
"""Attacks that PEP 458 does not list."""

KINDS = APPENDIX_A | BEYOND
PLAIN_PIP = "plain pip"
WAYS = (
    PLAIN_PIP,
    "install",
    "download",
    "lock",
    "build",
    "plugin",
    "gateway",
    "first use",
    "signing",
)
"""The ways in. An attack works on plain pip and must fail by all others; ``signing`` stands for the
signing side's commands."""

PIP_WITHSTANDS = {
    "wrong software": "reads the name and version in the wheel",
    "malicious mirror": "fails as well",
}
"""Attacks of the appendix that fail on plain pip, and why."""


def attack(kind: str, *ways: str) -> pytest.MarkDecorator:
    """Mark a test with the attack that it tries, and the ways in."""
    assert kind in KINDS, kind
    assert ways, "an attack has a way in"
    assert set(ways) <= set(WAYS), ways
    return pytest.mark.attack(kind, *ways)


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", "attack(kind, *ways): see tests/attacks/marks.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the catalogue, and pass all marks on to the report."""
    for item in items:
        path, _, rest = item.nodeid.partition("::")
        name = rest.split("::")[-1].partition("[")[0]
        for row in CATALOGUE:
            if row.has(path.removeprefix("tests/"), name):
                item.add_marker(attack(row.kind, *row.ways))
        for mark in item.iter_markers("attack"):
            kind, *ways = mark.args
            item.user_properties.append(("attack", [kind, ways]))
