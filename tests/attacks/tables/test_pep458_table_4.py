"""PEP 458, Table 4: attacks possible by compromising certain combinations of role keys.

| stolen                     | malicious updates | freeze attack | metadata inconsistency attacks |
| targets OR bins            | NO: timestamp and snapshot need to cooperate                      |
| timestamp, snapshot, bin-n | YES, limited by the earliest expiry of what was not stolen        |
| root                       | YES                                                               |
"""

from __future__ import annotations

import pytest

from tests.attacks.tables.conftest import Attack

ONLINE = ("timestamp", "snapshot", "bin-n")


@pytest.mark.parametrize("role", ["targets", "bins"])
class TestTargetsOrBins:
    def test_malicious_updates_no(self, attack: Attack, role: str) -> None:
        assert attack.malicious_update([role], "other", role) == "refused"

    def test_freeze_attack_no(self, attack: Attack, role: str) -> None:
        assert attack.freeze([role], 10) == "refused"

    def test_metadata_inconsistency_attacks_no(self, attack: Attack, role: str) -> None:
        assert attack.inconsistency([role], "other", "app", role) == ["refused"] * 2


class TestTimestampAndSnapshotAndBinN:
    def test_malicious_updates_yes(self, attack: Attack) -> None:
        assert attack.malicious_update(ONLINE, "other", "bin-n") == "9.0"

    def test_freeze_attack_yes(self, attack: Attack) -> None:
        assert attack.freeze(ONLINE, 20) == "1.0"

    @pytest.mark.parametrize("days", [45, 400])
    def test_freeze_attack_limited_by_the_earliest_expiry(self, attack: Attack, days: int) -> None:
        assert attack.freeze(ONLINE, days) == "refused"

    def test_metadata_inconsistency_attacks_yes(self, attack: Attack) -> None:
        assert attack.inconsistency(ONLINE, "other", "app") == ["1.0", "2.0"]


class TestRoot:
    def test_malicious_updates_yes(self, attack: Attack) -> None:
        assert attack.malicious_update(["root"], "other", "root") == "9.0"

    @pytest.mark.parametrize("days", [20, 400])
    def test_freeze_attack_yes(self, attack: Attack, days: int) -> None:
        assert attack.replaced_past(["root"], days, "other", "root") == "1.0"

    def test_metadata_inconsistency_attacks_yes(self, attack: Attack) -> None:
        assert attack.inconsistency(["root"], "other", "app") == ["1.0", "2.0"]
