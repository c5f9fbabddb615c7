"""The rooms that decide, and their tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "src" / "securepip"


@dataclass(frozen=True)
class Room:
    """A part of the package.

    Attributes:
        places: Modules and folders, relative to the package.
        near: Files and folders of its own tests, relative to ``tests``: quick, and in one process.
        far: Other tests, which run whole commands. With ``--far``, they try the changes that the
            near tests do not notice.
    """

    places: tuple[str, ...]
    near: tuple[str, ...]
    far: tuple[str, ...]

    def modules(self) -> list[str]:
        """The modules, relative to the package."""
        found = []
        for place in self.places:
            path = SOURCES / place
            found += [path] if path.is_file() else sorted(path.rglob("*.py"))
        return [path.relative_to(SOURCES).as_posix() for path in found]


ROOMS = {
    "formats": Room(
        ("formats",),
        (
            "formats",
            "attacks/test_names_of_roles.py",
            "cli/test_configuration.py",
            "transport/test_no_password_is_shown.py",
        ),
        ("fuzzing", "index", "lock", "signing/test_publishing.py", "gateway/test_protocol.py"),
    ),
    "trust": Room(
        ("trust",),
        ("trust", "cli/test_trust.py"),
        ("machine", "attacks", "first_use"),
    ),
    "updater": Room(
        ("updater",),
        (
            "updater",
            "attacks/test_claims_after_new_keys.py",
            "signing_claims/test_clients.py",
        ),
        ("index/test_verified_index.py", "attacks", "machine"),
    ),
    "index": Room(
        ("index",),
        ("index",),
        ("attacks", "first_use", "signing_claims/test_clients.py", "cli/test_indexes.py"),
    ),
    "installer": Room(
        ("installer/handoff.py", "installer/build/unpack.py", "installer/record.py"),
        (
            "installer/test_unpacking.py",
            "installer/test_record.py",
            "installer/test_handing_over.py",
        ),
        ("installer", "fuzzing", "machine", "cli/test_install.py", "attacks/test_surroundings.py"),
    ),
    "plugin": Room(
        ("plugin/shim", "plugin/here.py"),
        ("plugin/test_inside_pip.py", "plugin/test_here.py", "plugin/test_joined.py"),
        ("plugin",),
    ),
    "gateway": Room(
        ("gateway/answers.py", "gateway/address.py"),
        (
            "gateway/test_address.py",
            "gateway/test_refusals.py",
            "gateway/test_answers.py",
            "gateway/test_by_url.py",
        ),
        ("gateway", "attacks/test_past_the_gateway.py"),
    ),
    "signing": Room(
        (
            "signing/repository/roles.py",
            "signing/repository/commit.py",
            "signing/keys",
            "signing/repository/state/ledger.py",
        ),
        (
            "signing/test_keys.py",
            "signing/test_key_rings.py",
            "signing/test_signers_memory_and_roles.py",
            "signing/test_memory.py",
            "signing/test_known.py",
            "signing/test_publishing.py",
            "signing/test_log.py",
            "signing/test_durable.py",
            "signing/test_many_bins.py",
            "signing/test_kept_roles.py",
            "signing_claims/test_keys.py",
        ),
        ("signing", "attacks/test_hostile_signers.py", "attacks/tables", "signing_sync"),
    ),
    "claims": Room(
        ("signing/claims",),
        (
            "signing_claims/test_accepting.py",
            "signing_claims/test_composing.py",
            "signing_claims/test_claiming.py",
            "signing_claims/test_hostile_requests.py",
            "signing_claims/test_evidence.py",
            "signing_claims/test_keys.py",
            "signing_claims/test_each_check.py",
        ),
        ("signing_claims", "attacks/test_names_of_roles.py", "attacks/tables", "fuzzing"),
    ),
    "transport": Room(
        ("transport",),
        ("transport",),
        ("attacks/test_bad_servers.py", "updater", "index", "gateway/test_stuck_servers.py"),
    ),
    "first use": Room(
        ("first_use/__init__.py", "first_use/accept.py", "first_use/refusals.py"),
        (
            "first_use/test_words.py",
            "first_use/test_naming.py",
            "first_use/test_accepting.py",
            "first_use/test_refusals.py",
        ),
        ("first_use",),
    ),
    "resolver": Room(
        ("resolver/search/satisfied.py", "resolver/requirements/parse.py"),
        ("resolver/test_parsing.py", "resolver/test_resolving.py", "resolver/test_requirements.py"),
        ("resolver", "attacks/test_direct_addresses.py"),
    ),
}
