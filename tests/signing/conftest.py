"""What holds for all tests of the signing side."""

from __future__ import annotations

import os

import pytest

from securepip.signing.keys import encrypted
from tests.signing.ceremonies import Ceremony
from tests.support.machine import Machine


@pytest.fixture(autouse=True)
def nobody_pulls_the_plug(monkeypatch: pytest.MonkeyPatch) -> None:
    """No flush of all disks: it can take seconds, and matters only when the power fails."""
    monkeypatch.setattr(os, "sync", lambda: None)


@pytest.fixture
def quick_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess costs next to nothing: what it costs, ``test_key_rings`` holds."""
    monkeypatch.setattr(encrypted, "_COST", 16)


@pytest.fixture
def ceremony(machine: Machine) -> Ceremony:
    """A server, and three key holders."""
    return Ceremony(machine)
