"""Decides which indexes are asked: those that stand for a trusted repository, and local folders.

Rule: an index URL that a command names is one of these, and none is ignored silently:

- it stands for a trusted repository;
- it is a folder of this machine, which is the user's own, like a ``--find-links`` folder;
- it is pip's default index, and no repository stands for it: all trusted repositories are asked, as
  where no index is named. The plugin does the same, because it cannot tell these two cases apart;
- anything else is refused.

The ``pip.conf`` of an environment has no influence here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.errors import UntrustedError

if TYPE_CHECKING:
    from securepip.cli.pip_commands.requests import Places
    from securepip.resolver import FileOptions
    from securepip.trust import Trust, TrustedRepository


@dataclass(frozen=True)
class Indexes:
    """The indexes of one run.

    Attributes:
        places: The places that the request names.
        said: The options in requirements files; those fetched from an address may name no folder.
    """

    places: Places
    said: FileOptions

    @property
    def none(self) -> bool:
        """Whether no index may be asked at all (``--no-index``)."""
        return self.places.no_index or self.said.no_index

    @property
    def named(self) -> tuple[str, ...]:
        """The indexes that this run names, in pip's order; requirements files override options."""
        first = self.said.index_url or self.places.index_url
        extra = (*self.places.extra_index_urls, *self.said.extra_index_urls)
        return (first, *extra) if first else extra

    @cached_property
    def own(self) -> tuple[str, ...]:
        """The folders of this machine among the indexes that this run names, in pip's order.

        Files there need no signature, so two kinds of folder are left out: those that stand for a
        trusted repository, whose signatures are checked, and those in pip's configuration. Somebody
        else may have configured these for all users of the machine, before anything was verified.
        """
        local = [] if self.none else [url for url in self.named if _is_local(url)]
        if not local:
            return ()
        trust = _read_trust()
        return tuple(url for url in local if trust.for_index(url) is None)

    @property
    def ask_repositories(self) -> bool:
        """Whether trusted repositories are asked: not if ``--index-url`` names a folder instead."""
        if self.none:
            return False
        if not (self.said.index_url or self.places.index_url):
            return True
        if any(url not in self.own for url in self.named):
            return True
        extra = self.places.configured[1:]
        return bool(extra) and any(_read_trust().for_index(url) is not None for url in extra)

    def limited(self, trust: Trust) -> Trust:
        """Limit the trusted repositories to those that the indexes stand for, in the same order.

        An index that this run names must not be ignored silently: the user expects files from it.

        Args:
            trust: All repositories that this machine trusts.

        Raises:
            UntrustedError: An index that this run names stands for no trusted repository, and is
                not a folder of the user's own.
        """
        from securepip.redaction import redact

        if self.none:
            return trust
        first, *extra = self.places.configured
        for_all = [url for url in self.named if _stands_for_all(trust, url)]
        for url in for_all:
            console.say(
                f"Not asking {redact(url)}, pip's default index, for which nobody signs, but the "
                "repositories that this machine trusts (see `securepip trust list`)."
            )
        others = [url for url in self.named if url not in (*self.own, *for_all)]
        meant = [_vouched_for(trust, url) for url in others]
        meant += [each for url in extra if (each := trust.for_index(url)) is not None]
        trust = trust.including(each.name for each in meant)
        limited = bool(self.said.index_url or self.places.index_url)
        if first and not limited:
            default = trust.for_index(first)
            if default is not None:
                trust = trust.including([default.name])
                meant.insert(0, default)
                limited = True
            else:
                console.say(
                    f"Not asking {redact(first)}, pip's index here: it stands for no repository "
                    "that this machine trusts (see `securepip trust list`)."
                )
        # Without --index-url, extra indexes only add to the trusted repositories: no limit.
        names = list(dict.fromkeys(each.name for each in meant))
        return trust.limited_to(names) if limited and not for_all else trust

    @property
    def addresses(self) -> tuple[str, ...]:
        """The indexes on servers that this run or pip's configuration names."""
        if self.none:
            return ()
        urls = (*self.named, *self.places.configured)
        return tuple(url for url in urls if url and not _is_local(url))

    def say_where(self) -> None:
        """Print the named indexes and links, in pip's words, and what is not obeyed or ignored."""
        from securepip.redaction import redact

        for option, value in self.places.named_by_environment:
            shown = " ".join(map(redact, value.split()))
            console.say(
                f"Not obeying {option} = {shown}, which the environment's own pip.conf says: name "
                f"it on the command line (--{option}) if you want it."
            )
        indexes, links = self.named, (*self.places.find_links, *self.said.find_links)
        if self.none:
            console.say("Ignoring indexes: all, and the trusted repositories", level=1)
            indexes = ()
        if not (indexes or links):
            return
        for url in indexes:
            if ":" not in url and not Path(url).exists():
                console.warn(f'The index url "{url}" seems invalid, please provide a scheme.')
        for kind, urls in (("indexes", indexes), ("links", links)):
            if urls:
                console.say(f"Looking in {kind}: " + ", ".join(redact(url) for url in urls))


def _is_local(url: str) -> bool:
    # A one-letter scheme is a drive of Windows.
    return url.lower().startswith("file:") or not re.match(
        r"[a-z][a-z0-9+.-]+:", url, re.IGNORECASE
    )


def _read_trust() -> Trust:
    from securepip.trust import TrustStore

    return TrustStore.of_user().read()


def _stands_for_all(trust: Trust, url: str) -> bool:
    """Whether it is pip's default index, and stands for no single repository."""
    from securepip.formats.pip_configuration import default_index
    from securepip.trust import same_index

    return not _is_local(url) and trust.for_index(url) is None and same_index(url, default_index())


def _vouched_for(trust: Trust, url: str) -> TrustedRepository:
    from securepip.redaction import redact

    repository = trust.for_index(url)
    if repository is None:
        shown = redact(url)
        raise UntrustedError(
            f"The index {shown} stands for no repository that this machine trusts.",
            meaning="Nobody signs what it offers, so nothing could be verified.",
            remedy="To believe it at first sight, and to refuse what it changes afterwards:\n"
            f"  securepip trust first-use --index-url {shown}\n"
            "If a repository that you trust signs it, say so when you add it:\n"
            f"  securepip trust add NAME LOCATION --root-sha256 FINGERPRINT "
            f"--index-url {shown}\n"
            "Or leave the index out: on the command line and in the requirements file.",
        )
    return repository
