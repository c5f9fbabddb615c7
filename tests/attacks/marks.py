"""Which attack a test tries, and by which way in: the attack report counts them.

The laboratory's tests carry the mark themselves; the catalogue names the others.
"""

from __future__ import annotations

import pytest

from tests.attacks.catalogue import CATALOGUE

APPENDIX_A = {
    "arbitrary software": "a wheel of the attacker's, with every unsigned page telling of it",
    "rollback": "an older state, which was signed once",
    "indefinite freeze": "the same state for ever, while a fixed release is withheld",
    "endless data": "an answer that does not end",
    "slow retrieval": "an answer that trickles, or does not come",
    "extraneous dependencies": "a dependency that the author never named",
    "mix-and-match": "files that were each signed, but never at one time",
    "wrong software": "a signed file in the place of another",
    "malicious mirror": "a mirror that has no answer, or another answer than the others",
    "key compromise": "some of the keys are stolen",
}
"""The ten attacks of PEP 458's Appendix A, and how they look to who is attacked."""

BEYOND = {
    "dependency confusion": "another repository offers the name of an internal project",
    "strange names": "homoglyphs, and names that are not normalized",
    "traversal": "a name that leads out of the folder that it belongs into",
    "redirects": "an answer that sends elsewhere: to files, to loopback, in circles",
    "leaked credentials": "a password that reaches another host, a log or a lock",
    "injection": "line ends and terminal codes in names and messages",
    "links in folders": "symbolic links in caches, environments and download folders",
    "swap after the check": "a file that is exchanged between its check and pip",
    "poisoned caches": "other bytes in pip's cache, or in ours",
    "two readers": "archives that two programs read differently",
    "hostile JSON and HTML": "depth, size, duplicate keys, huge numbers, strange encodings",
    "decompression bombs": "little that unpacks to very much",
    "clocks": "a clock that is set back, or forth",
    "delegations": "circles of roles, and thousands of them",
    "several mirrors": "one of several places is bad, stale, slow or dead",
    "hidden projects": "an answer that passes over a project or a claim",
    "the user's surroundings": "folders, variables and files that try to switch checks off",
    "past the gateway": "a tool inside a gateway that is told to ask somebody else",
    "offline keys misled": "a prepared state that a ceremony is to sign",
    "forged signing papers": "transactions, bundles and claims of an attacker",
}
"""Attacks that the PEP does not list."""

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
"""The ways in that somebody attacks. By the first the attack works, and by no other; the last is
the signing side's own commands."""

PIP_WITHSTANDS = {
    "wrong software": "reads name and version in the wheel",
    "malicious mirror": "fails as well",
}
"""Attacks of the appendix that plain pip does not fall for, and why not."""


def attack(kind: str, *ways: str) -> pytest.MarkDecorator:
    """Mark a test with the attack that it tries, and the ways by which it tries it."""
    assert kind in KINDS, kind
    assert ways, "an attack comes some way"
    assert set(ways) <= set(WAYS), ways
    return pytest.mark.attack(kind, *ways)


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "attack(kind, *ways): see tests/attacks/marks.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what the catalogue names, and write all marks where the report finds them."""
    for item in items:
        path, _, rest = item.nodeid.partition("::")
        name = rest.split("::")[-1].partition("[")[0]
        for row in CATALOGUE:
            if row.has(path.removeprefix("tests/"), name):
                item.add_marker(attack(row.kind, *row.ways))
        for mark in item.iter_markers("attack"):
            kind, *ways = mark.args
            item.user_properties.append(("attack", [kind, ways]))
