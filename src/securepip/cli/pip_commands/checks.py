"""Refuses contradictory requests, with pip's messages and in pip's order."""

from __future__ import annotations

from pathlib import Path

from securepip.cli import console
from securepip.cli.pip_commands.inputs.choosing import resolve_options
from securepip.cli.pip_commands.requests import InstallRequest, PipRequest
from securepip.errors import SecurepipError

# Values of --use-feature that pip warns of. The other values have no effect: securepip always
# works in that way.
_ALWAYS_ENABLED = frozenset({"truststore", "no-binary-enable-wheel-cache", "build-constraint"})


def check(request: PipRequest) -> None:
    """Refuse the combinations of options that pip refuses.

    Raises:
        SecurepipError: Two options contradict each other, or nothing is asked for.
    """
    if isinstance(request, InstallRequest):
        _check_destination(request)
    _check_only_deps(request)
    named, choosing, builds = request.named, request.choosing, request.builds
    if builds.constraints and not builds.isolated:
        raise SecurepipError("--build-constraint cannot be used with --no-build-isolation.")
    if choosing.prereleases and choosing.releases:
        raise SecurepipError("--pre cannot be used with --all-releases or --only-final.")
    if named.require_hashes and named.no_require_hashes:
        raise SecurepipError("--require-hashes and --no-require-hashes are mutually exclusive")
    always = sorted(_ALWAYS_ENABLED & set(request.features))
    if always:
        console.warn(f"The following features are always enabled: {', '.join(always)}. ")
    if "legacy-resolver" in request.deprecated:
        console.say("Not using the legacy resolver: there is one resolver, that of pip today.")
    if request.target.is_overridden:
        _check_target(request)
    if len(named.scripts) > 1:
        raise SecurepipError("--requirements-from-script can only be given once")
    if not (named.words or named.editables or named.requirements or named.groups or named.scripts):
        links = " ".join(request.places.find_links)
        hint = (
            f'(maybe you meant "securepip {request.command} {links}"?)'
            if links
            else f'(see "securepip {request.command} --help")'
        )
        raise SecurepipError(f"You must give at least one requirement to {request.command} {hint}")


def _check_destination(request: InstallRequest) -> None:
    place = request.destination
    if place.user and place.folder is not None:
        raise SecurepipError("Can not combine '--user' and '--target'")
    if place.user and place.prefix is not None:
        raise SecurepipError(
            "Can not combine '--user' and '--prefix' as they imply different installation locations"
        )
    if place.folder is not None and Path(place.folder).exists() and not Path(place.folder).is_dir():
        raise SecurepipError("Target path exists but is not a directory, will not continue.")


def _check_only_deps(request: PipRequest) -> None:
    conflicts = [
        text
        for text, given in (
            ("'--no-deps'", request.choosing.no_deps),
            ("'--use-deprecated legacy-resolver'", "legacy-resolver" in request.deprecated),
            ("'--requirement'", request.named.requirements),
            ("'--requirements-from-script'", request.named.scripts),
            ("'--group'", request.named.groups),
        )
        if given
    ]
    if request.choosing.only_deps and conflicts:
        if len(conflicts) > 1:
            conflicts[-1] = f"or {conflicts[-1]}"
        raise SecurepipError(
            f"Cannot use '--only-dependencies' in combination with {', '.join(conflicts)}."
        )


def _check_target(request: PipRequest) -> None:
    """Refuse builds where another target is named: a build only fits the machine it runs on."""
    formats = resolve_options(request).formats
    wheels_only = formats.second == {":all:"} and not formats.first
    if not (wheels_only or request.choosing.no_deps):
        raise SecurepipError(
            "When restricting platform and interpreter constraints using --python-version, "
            "--platform, --abi, or --implementation, either --no-deps must be set, or "
            "--only-binary=:all: must be set and --no-binary must not be set (or must be set to "
            ":none:)."
        )
    if (
        isinstance(request, InstallRequest)
        and not request.dry_run
        and not request.destination.folder
    ):
        raise SecurepipError(
            "Can not use any platform or abi specific options unless installing via '--target' "
            "or using '--dry-run'"
        )
