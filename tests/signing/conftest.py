"""Fixtures of the signing side's tests."""

from __future__ import annotations

import pytest

from securepip.signing.keys import encrypted
from tests.signing.ceremonies import Ceremony
from tests.support.machine import Machine


@pytest.fixture
def quick_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make passphrases cheap to check. ``test_key_rings`` tests their true cost."""
    monkeypatch.setattr(encrypted, "_COST", 16)


@pytest.fixture
def ceremony(machine: Machine) -> Ceremony:
    """A server, and three key holders."""
    return Ceremony(machine)
