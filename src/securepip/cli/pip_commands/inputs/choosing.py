"""Turns the options that say how to choose releases and files into the resolver's types."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from securepip.cli.pip_commands.requests import PipRequest
    from securepip.resolver import ResolveOptions


def resolve_options(request: PipRequest) -> ResolveOptions:
    """The resolver's options, as far as all three commands set them in the same way.

    Raises:
        UsageError: The value of ``--no-binary`` or a similar option begins with a dash.
    """
    from securepip.resolver import FormatControl, ReleaseControl, ResolveOptions

    choosing = request.choosing
    formats, releases = FormatControl(), ReleaseControl()
    for option, value in choosing.formats:
        add = formats.with_no_binary if option == "--no-binary" else formats.with_only_binary
        formats = add(value)
    for option, value in choosing.releases:
        all_of = option == "--all-releases"
        releases = (releases.with_all_releases if all_of else releases.with_only_final)(value)
    return ResolveOptions(
        prereleases=choosing.prereleases,
        no_deps=choosing.no_deps,
        only_deps=choosing.only_deps,
        require_hashes=request.named.require_hashes,
        ignore_requires_python=choosing.ignore_requires_python,
        uploaded_prior_to=choosing.uploaded_prior_to,
        formats=formats,
        releases=releases,
        prefer_binary=choosing.prefer_binary,
        allow_older_releases=choosing.allow_older_releases,
        find_links=request.places.find_links,
    )
