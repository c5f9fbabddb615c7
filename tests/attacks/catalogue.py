"""Which tests outside of the laboratory try which attack, by which way in.

A row is a module (its path below ``tests``), a kind of attack, the ways in, and names of tests
without ``test_``. A row without names is for all tests of the module.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """Tests of one module that try one kind of attack.

    Attributes:
        module: The path of the module, below ``tests`` and without ``.py``.
        kind: The kind of attack.
        ways: The ways in.
        tests: The names of the tests, without ``test_``; empty for all.
    """

    module: str
    kind: str
    ways: tuple[str, ...]
    tests: tuple[str, ...] = ()

    def has(self, path: str, name: str) -> bool:
        """Whether the row is for the test ``name`` of the module at ``path``."""
        return path == f"{self.module}.py" and (not self.tests or name[5:] in self.tests)


_PIP = ("plain pip",)
_INSTALL = ("install",)
_PLUGIN = ("plugin",)
_GATEWAY = ("gateway",)
_SIGNING = ("signing",)
_FIRST_USE = ("first use",)


def _row(module: str, kind: str, ways: tuple[str, ...], *tests: str) -> Row:
    return Row(module, kind, ways, tests)


CATALOGUE = (
    _row("attacks/test_changed_bytes", "arbitrary software", _INSTALL),
    _row("attacks/test_forged_index", "arbitrary software", _INSTALL),
    _row(
        "index/test_verified_index",
        "arbitrary software",
        _INSTALL,
        "one_changed_byte_anywhere_on_the_chain_is_refused_and_the_file_is_named",
        "a_file_of_another_length_is_refused",
    ),
    _row(
        "gateway/test_refusals",
        "arbitrary software",
        _GATEWAY,
        "what_was_changed_on_the_way_is_refused_with_the_reason",
    ),
    _row(
        "first_use/test_refusals",
        "arbitrary software",
        _FIRST_USE,
        "a_published_file_with_other_bytes_is_refused_until_a_person_accepts_it",
        "a_file_that_vanished_and_came_back_with_other_bytes_is_refused",
        "bytes_that_are_swapped_behind_an_unchanged_page_are_refused",
        "bytes_that_are_swapped_where_no_page_tells_a_sha256_are_refused",
        "a_memory_that_another_machine_has_made_binds_this_one",
    ),
    _row(
        "plugin/test_first_use",
        "arbitrary software",
        ("plugin", "first use"),
        "an_index_that_pip_is_told_is_believed_at_first_sight_where_the_user_wants_that",
    ),
    _row(
        "attacks/test_forged_build_requirements",
        "arbitrary software",
        ("build",),
        "pip_runs_a_forged_build_requirement_and_securepip_installs_and_runs_nothing",
        "an_author_cannot_have_a_build_run_what_nobody_signed",
    ),
    _row(
        "plugin/test_installing",
        "arbitrary software",
        ("plugin", "build"),
        "a_forged_build_requirement_runs_with_plain_pip_and_not_with_the_plugin",
    ),
    _row("lock/test_tampering", "arbitrary software", ("lock",)),
    _row("attacks/test_direct_addresses", "arbitrary software", _INSTALL),
    _row(
        "attacks/test_replays",
        "rollback",
        _INSTALL,
        "an_older_state_of_the_repository_fools_pip_and_is_refused",
        "trusting_a_repository_once_is_enough_to_notice_a_rollback",
    ),
    _row("resolver/test_older_releases", "rollback", _INSTALL),
    _row(
        "attacks/test_replays",
        "indefinite freeze",
        _INSTALL,
        "a_repository_that_has_expired_is_refused_with_its_url_and_what_to_do",
        "an_expired_state_that_was_good_when_it_came_is_not_used_without_the_server",
    ),
    _row(
        "attacks/test_changed_bytes",
        "endless data",
        _INSTALL,
        "endless_data_is_cut_off_after_what_may_be_there",
    ),
    _row(
        "updater/test_fetching_early",
        "endless data",
        _INSTALL,
        "an_endless_role_is_read_no_further_than_the_snapshot_says",
    ),
    _row("gateway/test_stuck_servers", "endless data", _GATEWAY),
    _row(
        "attacks/test_bad_servers",
        "slow retrieval",
        _INSTALL,
        "data_that_drips_is_given_up",
        "a_refusal_does_not_wait_for_what_else_is_under_way",
    ),
    _row("transport/test_what_an_answer_may_take", "slow retrieval", _INSTALL),
    _row("attacks/test_replays", "mix-and-match", _INSTALL, "old_metadata_among_new_is_refused"),
    _row(
        "attacks/test_hostile_signers",
        "extraneous dependencies",
        _INSTALL,
        "signed_metadata_that_is_not_the_metadata_of_the_wheel_is_refused",
        "metadata_that_is_not_there_must_still_be_that_of_the_wheel",
        "a_wheel_cannot_replace_its_verified_metadata_by_another_way",
    ),
    _row(
        "attacks/test_hostile_signers",
        "wrong software",
        _INSTALL,
        "a_page_cannot_offer_the_signed_file_of_another_project",
        "a_page_cannot_offer_the_signed_file_of_another_project_under_its_own_name",
        "a_file_whose_own_metadata_names_another_project_is_refused",
        "a_wheel_that_was_renamed_to_another_project_stops_the_install",
        "a_file_whose_own_metadata_names_another_version_is_refused",
    ),
    _row(
        "installer/test_build",
        "wrong software",
        ("build",),
        "a_build_that_makes_another_release_is_refused",
    ),
    _row(
        "attacks/test_bad_servers",
        "malicious mirror",
        _INSTALL,
        "a_file_that_the_server_does_not_have_is_named",
    ),
    _row(
        "signing/test_audit",
        "malicious mirror",
        _SIGNING,
        "two_mirrors_are_compared_over_the_network",
        "a_copy_that_was_tampered_with_proves_nothing",
    ),
    _row("attacks/tables/test_pep458_table_4", "key compromise", _INSTALL),
    _row("attacks/tables/test_pep480_table_1", "key compromise", _INSTALL),
    _row("attacks/tables/test_stolen_online_key", "key compromise", _INSTALL),
    _row("attacks/test_wrong_keys", "key compromise", _INSTALL),
    _row("attacks/test_claims_after_new_keys", "key compromise", _INSTALL),
    _row("signing/test_recovery", "key compromise", _SIGNING),
    _row(
        "trust/test_trust",
        "dependency confusion",
        _INSTALL,
        "repositories_are_asked_in_the_order_of_the_map_until_one_ends_the_search",
        "no_option_hands_a_bound_project_to_another_repository",
    ),
    _row(
        "index/test_verified_index",
        "dependency confusion",
        _INSTALL,
        "the_first_repository_that_knows_a_project_is_the_only_one_asked_for_it",
        "where_two_must_agree_only_what_both_signed_is_offered",
    ),
    _row(
        "plugin/test_bypasses",
        "dependency confusion",
        _PLUGIN,
        "an_option_that_leads_elsewhere",
        "a_variable_that_leads_elsewhere",
        "a_configuration_file_that_leads_elsewhere",
        "a_line_of_a_requirements_file_that_leads_elsewhere",
    ),
    _row(
        "signing_sync/test_sync",
        "dependency confusion",
        _SIGNING,
        "a_project_of_the_repository_itself_is_never_asked_for_elsewhere",
    ),
    _row(
        "first_use/test_refusals",
        "dependency confusion",
        _FIRST_USE,
        "a_project_whose_page_could_not_be_read_is_not_looked_up_elsewhere",
    ),
    _row("formats/test_names", "strange names", ("install", "lock", "gateway", "signing")),
    _row(
        "gateway/test_protocol",
        "strange names",
        _GATEWAY,
        "a_name_that_is_not_normalized_leads_to_the_one_that_is",
    ),
    _row(
        "signing/test_publishing",
        "strange names",
        _SIGNING,
        "a_file_name_that_differs_in_case_alone_is_refused",
    ),
    _row(
        "attacks/test_hostile_signers",
        "traversal",
        _INSTALL,
        "a_hostile_file_name_in_a_signed_page_is_refused",
        "a_page_from_a_server_cannot_make_us_read_files_of_this_machine",
    ),
    _row(
        "installer/test_attacks",
        "traversal",
        _INSTALL,
        "a_wheel_that_leaves_its_folders_is_refused_by_pip",
        "a_wheel_cannot_have_pip_remove_files_of_another_project",
    ),
    _row(
        "installer/test_unpacking",
        "traversal",
        ("build",),
        "an_sdist_that_leaves_its_folder_is_refused",
        "a_zip_file_that_leaves_its_folder_is_refused",
    ),
    _row(
        "trust/test_trust", "traversal", _INSTALL, "names_that_could_leave_the_folder_are_refused"
    ),
    _row(
        "signing/test_audit",
        "traversal",
        _SIGNING,
        "no_name_that_a_mirror_lists_leads_out_of_its_folder",
    ),
    _row(
        "attacks/test_bad_servers",
        "redirects",
        _INSTALL,
        "a_redirect_to_where_nothing_can_be_fetched_is_an_error_in_words",
    ),
    _row(
        "attacks/test_forged_index",
        "redirects",
        _INSTALL,
        "a_page_redirected_to_another_server_is_still_the_signed_page_or_nothing",
        "metadata_redirected_to_another_server_is_still_verified",
    ),
    _row("transport/test_hostile_answers", "redirects", _INSTALL),
    _row(
        "transport/test_transport",
        "redirects",
        _INSTALL,
        "a_redirect_to_a_file_of_this_machine_is_not_followed",
        "urls_that_cannot_or_must_not_be_fetched_are_refused",
    ),
    _row("transport/test_credentials", "leaked credentials", _INSTALL),
    _row("transport/test_no_password_is_shown", "leaked credentials", _INSTALL),
    _row(
        "plugin/test_bypasses",
        "leaked credentials",
        _PLUGIN,
        "no_password_of_an_address_is_printed",
    ),
    _row(
        "gateway/test_by_url",
        "leaked credentials",
        _GATEWAY,
        "a_name_and_password_are_of_no_account_and_come_back_nowhere",
    ),
    _row(
        "attacks/test_requirements_from_elsewhere",
        "leaked credentials",
        _INSTALL,
        "it_learns_no_secrets_of_the_environment",
    ),
    _row(
        "signing_sync/test_sync",
        "leaked credentials",
        _SIGNING,
        "credentials_are_used_and_never_published",
        "a_url_with_a_signature_or_an_expiry_is_refused",
    ),
    _row(
        "attacks/test_hostile_signers",
        "injection",
        _INSTALL,
        "what_a_terminal_would_obey_is_shown_as_text",
    ),
    _row(
        "gateway/test_protocol",
        "injection",
        _GATEWAY,
        "the_status_page_runs_nothing_that_a_server_says",
    ),
    _row("attacks/test_requirements_from_elsewhere", "injection", _INSTALL),
    _row(
        "first_use/test_refusals",
        "injection",
        _FIRST_USE,
        "a_memory_file_can_be_read_whatever_an_index_calls_its_files",
    ),
    _row("attacks/test_download_folder", "links in folders", ("download",)),
    _row(
        "installer/test_unpacking",
        "links in folders",
        ("build",),
        "links_and_modes_are_pips",
        "hard_links_count_with_what_they_link_to",
    ),
    _row(
        "formats/test_core_metadata",
        "links in folders",
        _INSTALL,
        "a_link_in_an_sdist_is_not_followed",
    ),
    _row(
        "installer/test_attacks",
        "swap after the check",
        _INSTALL,
        "a_store_file_that_changed_after_it_was_verified_is_refused",
        "a_file_that_was_not_planned_is_refused",
        "pip_installs_nothing_that_it_was_told_no_hash_of",
    ),
    _row(
        "installer/test_build",
        "swap after the check",
        ("build",),
        "an_sdist_that_changed_after_it_was_verified_never_runs",
    ),
    _row(
        "index/test_verified_index",
        "poisoned caches",
        _INSTALL,
        "a_damaged_store_is_mended_not_believed",
    ),
    _row(
        "installer/test_byte_code",
        "poisoned caches",
        _INSTALL,
        "byte_code_that_this_user_has_not_kept_there_never_runs",
        "a_folder_of_the_cache_that_others_may_write_to_is_not_used",
    ),
    _row("machine/test_private_folders", "poisoned caches", _INSTALL),
    _row(
        "plugin/test_installing",
        "poisoned caches",
        _PLUGIN,
        "a_wheel_that_was_built_before_is_not_taken_from_pips_cache",
    ),
    _row(
        "attacks/test_hostile_signers",
        "two readers",
        _INSTALL,
        "a_wheel_with_two_metadata_files_is_refused",
    ),
    _row(
        "installer/test_attacks",
        "two readers",
        _INSTALL,
        "two_files_of_one_name_are_refused",
        "a_file_of_metadata_may_be_there_twice_but_only_with_the_same_bytes",
    ),
    _row(
        "signing_claims/test_accepting",
        "two readers",
        _SIGNING,
        "two_members_of_one_name_are_refused",
    ),
    _row(
        "attacks/test_hostile_signers",
        "hostile JSON and HTML",
        _INSTALL,
        "a_signed_page_that_is_not_of_its_form_is_refused",
        "a_signed_page_that_is_no_json_object_is_refused",
        "a_signed_page_with_an_incomplete_file_is_refused",
        "a_requirement_whose_marker_has_no_meaning_is_an_error_in_words",
        "a_page_of_ten_thousand_files_is_read_in_seconds",
    ),
    _row(
        "formats/test_page",
        "hostile JSON and HTML",
        ("install", "signing", "first use"),
        "json_that_is_no_page_is_a_format_error_and_nothing_else",
        "bytes_that_are_no_page_are_a_format_error_and_nothing_else",
        "a_file_entry_that_is_not_of_its_form_is_refused",
    ),
    _row(
        "resolver/test_own_indexes", "hostile JSON and HTML", _INSTALL, "no_page_breaks_the_reader"
    ),
    _row("signing_sync/test_odd_servers", "hostile JSON and HTML", ("signing", "first use")),
    _row("lock/test_reading", "hostile JSON and HTML", ("lock",)),
    _row(
        "transport/test_transport",
        "decompression bombs",
        _INSTALL,
        "a_compressed_bomb_is_bounded_by_what_it_unpacks_to",
    ),
    _row(
        "installer/test_unpacking",
        "decompression bombs",
        ("build",),
        "an_sdist_is_unpacked_within_bounds",
        "an_archive_that_wants_a_large_memory_is_refused",
    ),
    _row("formats/test_hostile_distributions", "decompression bombs", ("install", "signing")),
    _row(
        "signing_claims/test_accepting",
        "decompression bombs",
        _SIGNING,
        "a_zip_bomb_is_read_no_further_than_what_is_expected",
        "a_bomb_that_was_signed_is_not_unpacked",
    ),
    _row("attacks/test_clocks", "clocks", _INSTALL),
    _row("attacks/test_names_of_roles", "delegations", _INSTALL),
    _row(
        "signing_claims/test_tree",
        "delegations",
        _INSTALL,
        "a_search_visits_fewer_roles_than_clients_allow",
    ),
    _row(
        "trust/test_trust",
        "delegations",
        _INSTALL,
        "whoever_answers_with_root_after_root_is_not_listened_to_for_ever",
    ),
    _row(
        "first_use/test_refusals",
        "several mirrors",
        _FIRST_USE,
        "a_consistently_forged_first_answer_is_refused_where_a_witness_shows_another",
        "a_file_that_a_witness_lacks_is_left_out_until_it_has_it",
    ),
    _row("attacks/test_swapped_bins", "hidden projects", _INSTALL),
    _row("index/test_disappearing", "hidden projects", _INSTALL),
    _row(
        "gateway/test_refusals",
        "hidden projects",
        _GATEWAY,
        "a_project_that_disappears_between_two_moments_is_not_unknown",
    ),
    _row(
        "first_use/test_refusals",
        "hidden projects",
        _FIRST_USE,
        "a_page_that_lost_most_of_its_files_is_refused_until_a_person_accepts_it",
    ),
    _row("attacks/test_surroundings", "the user's surroundings", _INSTALL),
    _row(
        "installer/test_attacks",
        "the user's surroundings",
        _INSTALL,
        "pip_fetches_nothing_that_a_wheel_points_to",
        "pip_obeys_no_variable_even_if_one_reaches_it",
        "nothing_around_the_user_changes_what_is_installed",
    ),
    _row(
        "plugin/test_bypasses",
        "the user's surroundings",
        _PLUGIN,
        "isolated_mode_is_no_way_past_it",
        "the_environments_own_file_decides_nothing",
        "a_python_where_the_plugin_is_not_enabled",
        "a_way_to_connect_that_the_plugin_does_not_know",
    ),
    _row("plugin/test_broken", "the user's surroundings", _PLUGIN),
    _row("attacks/test_connections_past_the_gateway", "past the gateway", _GATEWAY),
    _row("attacks/test_past_the_gateway", "past the gateway", _GATEWAY),
    _row("gateway/test_strangers", "past the gateway", _GATEWAY),
    _row("gateway/test_proxy", "past the gateway", _GATEWAY),
    _row("attacks/tables/test_offline_keys", "offline keys misled", _SIGNING),
    _row("attacks/test_strange_ceremonies", "offline keys misled", _SIGNING),
    _row("signing/test_strange_proposals", "offline keys misled", _SIGNING),
    _row("signing_claims/test_accepting", "forged signing papers", _SIGNING),
    _row("signing_claims/test_evidence", "forged signing papers", _SIGNING),
    _row("signing_claims/test_hostile_requests", "forged signing papers", _SIGNING),
    _row(
        "gateway/test_refusals",
        "swap after the check",
        _GATEWAY,
        "a_file_that_was_changed_in_the_store_since_it_was_sent_is_not_sent_again",
    ),
    _row(
        "gateway/test_many_clients",
        "swap after the check",
        _GATEWAY,
        "a_file_that_is_changed_or_lost_while_the_gateway_runs_is_fetched_again",
    ),
    _row(
        "gateway/test_many_clients",
        "poisoned caches",
        _GATEWAY,
        "a_file_in_the_store_is_hashed_when_this_gateway_first_serves_it",
    ),
    _row(
        "installer/test_build",
        "poisoned caches",
        ("build",),
        "only_what_an_own_run_has_built_counts_as_built_here",
    ),
    _row(
        "gateway/test_refusals",
        "injection",
        _GATEWAY,
        "what_a_server_puts_into_a_reason_breaks_no_answer",
    ),
    _row(
        "gateway/test_refusals",
        "dependency confusion",
        _GATEWAY,
        "a_file_that_another_repository_signed_for_another_project_is_not_served_for_this_one",
    ),
    _row(
        "gateway/test_by_url",
        "dependency confusion",
        _GATEWAY,
        "of_several_indexes_the_one_that_speaks_for_the_project_answers",
    ),
    _row(
        "first_use/test_several_indexes",
        "dependency confusion",
        _FIRST_USE,
        "the_first_index_that_knows_a_project_speaks_for_it",
        "an_index_that_nobody_believes_is_refused",
    ),
    _row(
        "first_use/test_several_indexes",
        "leaked credentials",
        _FIRST_USE,
        "the_password_of_any_index_reaches_its_server_and_nothing_that_is_shown_or_served",
    ),
    _row(
        "installer/test_build",
        "the user's surroundings",
        ("build",),
        "a_build_sees_nothing_of_its_surroundings",
    ),
    _row(
        "uploads/test_uploads",
        "arbitrary software",
        _SIGNING,
        "other_bytes_under_a_known_name_are_refused",
    ),
    _row(
        "signing_sync/test_sync",
        "arbitrary software",
        _SIGNING,
        "a_changed_file_stays_as_it_was_signed_while_everything_else_is_signed",
        "bytes_are_remembered_after_their_file_disappeared",
    ),
    _row(
        "signing_sync/test_sync",
        "hidden projects",
        _SIGNING,
        "a_page_that_loses_most_of_its_files_is_held_back",
        "a_page_is_never_emptied_by_its_index_and_a_name_never_forgotten",
        "a_project_that_its_index_forgets_is_held_back",
    ),
    _row(
        "signing_sync/test_dependencies",
        "extraneous dependencies",
        _SIGNING,
        "a_metadata_file_that_is_not_that_of_its_wheel_is_not_signed",
    ),
    _row("signing_sync/test_command", "endless data", _SIGNING, "a_page_without_an_end_is_refused"),
    _row(
        "uploads/test_forms",
        "endless data",
        _SIGNING,
        "a_file_that_is_too_large_is_refused_by_its_length_and_by_its_bytes",
    ),
    _row("uploads/test_forms", "slow retrieval", _SIGNING, "an_upload_that_drips_is_given_up"),
    _row(
        "uploads/test_uploads",
        "strange names",
        _SIGNING,
        "a_name_that_can_be_read_in_two_ways_is_of_the_project_that_the_file_says",
    ),
    _row("signing/test_serving", "traversal", _SIGNING, "no_path_leads_out_or_breaks_the_server"),
    # These tests first show that the attack works on plain pip.
    _row(
        "attacks/test_forged_index",
        "arbitrary software",
        _PIP,
        "pip_installs_a_consistently_forged_wheel_and_securepip_refuses_it",
        "a_release_that_nobody_signed_is_not_seen_on_unsigned_pages",
    ),
    _row(
        "attacks/test_forged_build_requirements",
        "arbitrary software",
        _PIP,
        "pip_runs_a_forged_build_requirement_and_securepip_installs_and_runs_nothing",
    ),
    _row(
        "plugin/test_installing",
        "arbitrary software",
        _PIP,
        "a_forged_build_requirement_runs_with_plain_pip_and_not_with_the_plugin",
    ),
    _row(
        "first_use/test_refusals",
        "arbitrary software",
        _PIP,
        "a_published_file_with_other_bytes_is_refused_until_a_person_accepts_it",
        "a_file_that_vanished_and_came_back_with_other_bytes_is_refused",
        "bytes_that_are_swapped_where_no_page_tells_a_sha256_are_refused",
        "a_memory_that_another_machine_has_made_binds_this_one",
    ),
    _row(
        "attacks/test_replays",
        "rollback",
        _PIP,
        "an_older_state_of_the_repository_fools_pip_and_is_refused",
    ),
    _row(
        "attacks/test_replays",
        "indefinite freeze",
        _PIP,
        "a_repository_that_has_expired_is_refused_with_its_url_and_what_to_do",
    ),
    _row(
        "attacks/test_forged_index",
        "extraneous dependencies",
        _PIP,
        "a_forged_dependency_makes_pip_install_it_and_securepip_refuse",
    ),
    _row(
        "attacks/test_wrong_keys",
        "key compromise",
        _PIP,
        "a_whole_repository_with_other_keys_fools_pip_and_is_refused",
    ),
    _row(
        "plugin/test_bypasses",
        "dependency confusion",
        _PIP,
        "an_option_that_leads_elsewhere",
        "a_variable_that_leads_elsewhere",
        "a_configuration_file_that_leads_elsewhere",
        "a_line_of_a_requirements_file_that_leads_elsewhere",
    ),
    _row(
        "attacks/test_forged_index",
        "redirects",
        _PIP,
        "a_page_redirected_to_another_server_is_still_the_signed_page_or_nothing",
    ),
    _row(
        "plugin/test_installing",
        "poisoned caches",
        _PIP,
        "a_wheel_that_was_built_before_is_not_taken_from_pips_cache",
    ),
    _row(
        "first_use/test_refusals",
        "several mirrors",
        _PIP,
        "a_consistently_forged_first_answer_is_refused_where_a_witness_shows_another",
    ),
    _row(
        "first_use/test_refusals",
        "hidden projects",
        _PIP,
        "a_page_that_lost_most_of_its_files_is_refused_until_a_person_accepts_it",
    ),
    _row(
        "attacks/test_surroundings",
        "the user's surroundings",
        _PIP,
        "what_an_environment_says_of_itself_brings_no_unsigned_file",
    ),
    _row(
        "plugin/test_bypasses",
        "the user's surroundings",
        _PIP,
        "isolated_mode_is_no_way_past_it",
        "a_python_where_the_plugin_is_not_enabled",
        "a_way_to_connect_that_the_plugin_does_not_know",
    ),
    _row(
        "attacks/test_connections_past_the_gateway",
        "past the gateway",
        _PIP,
        "an_address_in_signed_metadata_is_not_fetched",
    ),
)
"""All rows. A test may try more than one kind of attack."""
