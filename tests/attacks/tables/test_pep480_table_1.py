"""PEP 480, Table 1: attacks possible by compromising certain combinations of role keys.

``unclaimed`` of the PEP is ``bins`` here, and the bins that it delegates to. ``app`` is claimed,
``fresh`` is recently claimed, ``other`` is not claimed.

| stolen                                            | malicious | freeze       | inconsistency  |
| timestamp                                         | NO        | YES, limited | NO             |
| snapshot                                          | NO        | NO           | NO             |
| timestamp, snapshot                               | NO        | YES, limited | YES, limited   |
| targets, claimed, recently-claimed, unclaimed or  |           |              |                |
| project, alone                                    | NO        | not          | applicable     |
| timestamp, snapshot, project                      | YES       | YES, limited | YES, limited   |
| timestamp, snapshot, and recently-claimed or      | YES, not  |              |                |
| unclaimed                                         | of claimed| YES, limited | YES, limited   |
| timestamp, snapshot, and targets or claimed       | YES       | YES, limited | YES, limited   |
| root                                              | YES       | YES          | YES            |
"""

from __future__ import annotations

import pytest

from tests.attacks.tables.conftest import Attack

FRONT = ("timestamp", "snapshot")
REFUSED = ["refused", "refused"]

ALONE = [
    ("targets", "app"),
    ("claimed", "app"),
    ("recently-claimed", "fresh"),
    ("bins", "other"),
    ("bin-n", "other"),
    ("project", "app"),
]
"""The role whose key is stolen, and a project that it can sign for."""


class TestTimestamp:
    @pytest.mark.parametrize(
        ("project", "via"), [("app", "project"), ("other", "bin-n"), ("fresh", "recently-claimed")]
    )
    def test_malicious_updates_no(self, attack: Attack, project: str, via: str) -> None:
        assert attack.malicious_update(["timestamp"], project, via) == "refused"

    def test_freeze_attack_yes(self, attack: Attack) -> None:
        assert attack.freeze(["timestamp"], 10) == "1.0"

    def test_freeze_attack_limited_by_the_earliest_expiry(self, attack: Attack) -> None:
        assert attack.freeze(["timestamp"], 20) == "refused"

    @pytest.mark.parametrize("old", ["app", "other"])
    def test_metadata_inconsistency_attacks_no(self, attack: Attack, old: str) -> None:
        new = "other" if old == "app" else "app"
        assert attack.inconsistency(["timestamp"], old, new) == REFUSED


class TestSnapshot:
    @pytest.mark.parametrize(("project", "via"), [("app", "project"), ("other", "bin-n")])
    def test_malicious_updates_no(self, attack: Attack, project: str, via: str) -> None:
        assert attack.malicious_update(["snapshot"], project, via) in ("refused", "2.0")

    def test_freeze_attack_no(self, attack: Attack) -> None:
        assert attack.freeze(["snapshot"], 10) == "refused"

    @pytest.mark.parametrize("old", ["app", "other"])
    def test_metadata_inconsistency_attacks_no(self, attack: Attack, old: str) -> None:
        new = "other" if old == "app" else "app"
        assert attack.inconsistency(["snapshot"], old, new) == REFUSED


class TestTimestampAndSnapshot:
    @pytest.mark.parametrize(
        ("project", "via"), [("app", "project"), ("other", "bin-n"), ("fresh", "recently-claimed")]
    )
    def test_malicious_updates_no(self, attack: Attack, project: str, via: str) -> None:
        assert attack.malicious_update(FRONT, project, via) == "refused"

    def test_freeze_attack_yes(self, attack: Attack) -> None:
        assert attack.freeze(FRONT, 20) == "1.0"

    def test_freeze_attack_limited_by_the_earliest_expiry(self, attack: Attack) -> None:
        assert attack.freeze(FRONT, 45) == "refused"

    @pytest.mark.parametrize("old", ["app", "other"])
    def test_metadata_inconsistency_attacks_yes(self, attack: Attack, old: str) -> None:
        new = "other" if old == "app" else "app"
        assert attack.inconsistency(FRONT, old, new) == ["1.0", "2.0"]


@pytest.mark.parametrize(("role", "project"), ALONE)
class TestOneOfTheOthersAlone:
    def test_malicious_updates_no(self, attack: Attack, role: str, project: str) -> None:
        assert attack.malicious_update([role], project, role) in ("refused", "2.0")

    def test_freeze_attack_needs_timestamp_and_snapshot(
        self, attack: Attack, role: str, project: str
    ) -> None:
        assert attack.freeze([role], 10, project) == "refused"

    def test_metadata_inconsistency_attacks_need_timestamp_and_snapshot(
        self, attack: Attack, role: str, project: str
    ) -> None:
        new = "fresh" if project != "fresh" else "other"
        assert attack.inconsistency([role], project, new, role) == REFUSED


class TestTimestampAndSnapshotAndProject:
    stolen = (*FRONT, "project")

    def test_malicious_updates_yes(self, attack: Attack) -> None:
        assert attack.malicious_update(self.stolen, "app", "project") == "9.0"

    def test_malicious_updates_of_this_project_alone(self, attack: Attack) -> None:
        assert attack.malicious_update(self.stolen, "other", "bin-n") == "refused"

    def test_freeze_attack_yes(self, attack: Attack) -> None:
        assert attack.freeze(self.stolen, 20, "app") == "1.0"

    def test_freeze_attack_limited_by_the_earliest_expiry(self, attack: Attack) -> None:
        assert attack.freeze(self.stolen, 45, "app") == "refused"

    def test_metadata_inconsistency_attacks_yes(self, attack: Attack) -> None:
        assert attack.inconsistency(self.stolen, "app", "other", "project") == ["1.0", "2.0"]


@pytest.mark.parametrize(
    ("role", "via", "project"),
    [
        ("recently-claimed", "recently-claimed", "fresh"),
        ("recently-claimed", "recently-claimed", "other"),
        ("bins", "bins", "other"),
        ("bin-n", "bin-n", "other"),
    ],
)
class TestTimestampAndSnapshotAndRecentlyClaimedOrUnclaimed:
    def test_malicious_updates_yes(self, attack: Attack, role: str, via: str, project: str) -> None:
        assert attack.malicious_update((*FRONT, role), project, via) == "9.0"

    def test_malicious_updates_not_of_projects_delegated_by_claimed(
        self, attack: Attack, role: str, via: str, project: str
    ) -> None:
        assert attack.malicious_update((*FRONT, role), "app", via) == "2.0"

    def test_freeze_attack_yes(self, attack: Attack, role: str, via: str, project: str) -> None:
        assert attack.freeze((*FRONT, role), 20, project) == "1.0"

    def test_freeze_attack_limited_by_the_earliest_expiry(
        self, attack: Attack, role: str, via: str, project: str
    ) -> None:
        assert attack.freeze((*FRONT, role), 45, project) == "refused"

    def test_metadata_inconsistency_attacks_yes(
        self, attack: Attack, role: str, via: str, project: str
    ) -> None:
        assert attack.inconsistency((*FRONT, role), project, "app", via) == ["1.0", "2.0"]


@pytest.mark.parametrize("role", ["targets", "claimed"])
class TestTimestampAndSnapshotAndTargetsOrClaimed:
    @pytest.mark.parametrize("project", ["app", "fresh", "other"])
    def test_malicious_updates_yes(self, attack: Attack, role: str, project: str) -> None:
        assert attack.malicious_update((*FRONT, role), project, role) == "9.0"

    def test_freeze_attack_yes(self, attack: Attack, role: str) -> None:
        assert attack.replaced_past((*FRONT, role), 45, "app", role) == "1.0"

    def test_freeze_attack_limited_by_the_earliest_expiry(self, attack: Attack, role: str) -> None:
        assert attack.replaced_past((*FRONT, role), 400, "app", role) == "refused"

    def test_metadata_inconsistency_attacks_yes(self, attack: Attack, role: str) -> None:
        assert attack.inconsistency((*FRONT, role), "app", "other", role) == ["1.0", "2.0"]


class TestRoot:
    @pytest.mark.parametrize("project", ["app", "fresh", "other"])
    def test_malicious_updates_yes(self, attack: Attack, project: str) -> None:
        assert attack.malicious_update(["root"], project, "root") == "9.0"

    @pytest.mark.parametrize("days", [45, 400])
    def test_freeze_attack_yes(self, attack: Attack, days: int) -> None:
        assert attack.replaced_past(["root"], days, "app", "root") == "1.0"

    def test_metadata_inconsistency_attacks_yes(self, attack: Attack) -> None:
        assert attack.inconsistency(["root"], "app", "other") == ["1.0", "2.0"]
