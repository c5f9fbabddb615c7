"""Which indexes are asked: those that a trusted repository signs, and the user's own.

Rule: an index URL that a command names is one of three things. It stands for a trusted repository;
or it is a folder of this machine, which is the user's own as a ``--find-links`` folder is; or it is
refused. None of them is left out in silence. pip's default index, where no repository stands for
it, is what pip asks anyway: naming it asks all that is trusted, as naming none does. The plugin,
which cannot tell the two apart, does the same. What an environment says of itself decides nothing
here.
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
    """The indexes that one run asks.

    Attributes:
        places: Where the request wants to look.
        said: What requirements files say of indexes; those of other machines may name no folder.
    """

    places: Places
    said: FileOptions

    @property
    def none(self) -> bool:
        """Whether no index is asked at all (``--no-index``)."""
        return self.places.no_index or self.said.no_index

    @property
    def named(self) -> tuple[str, ...]:
        """The indexes that this run names, in pip's order: a file's word is the last."""
        first = self.said.index_url or self.places.index_url
        extra = (*self.places.extra_index_urls, *self.said.extra_index_urls)
        return (first, *extra) if first else extra

    @cached_property
    def own(self) -> tuple[str, ...]:
        """The folders of this machine among the indexes that this run names, in pip's order.

        Not those that stand for a trusted repository, whose signatures count there too. Nor those
        of pip's configuration: they were made for pip, perhaps by somebody else for all users of
        the machine, and whoever trusts a repository now does not think of them.
        """
        local = [] if self.none else [url for url in self.named if _is_local(url)]
        if not local:
            return ()
        trust = _read_trust()
        return tuple(url for url in local if trust.for_index(url) is None)

    @property
    def ask_repositories(self) -> bool:
        """Whether trusted repositories are asked: an ``--index-url`` replaces all others."""
        if self.none:
            return False
        if not (self.said.index_url or self.places.index_url):
            return True
        if any(url not in self.own for url in self.named):
            return True
        extra = self.places.configured[1:]
        return bool(extra) and any(_read_trust().for_index(url) is not None for url in extra)

    def asked_of(self, trust: Trust) -> Trust:
        """Of the trusted repositories those that the indexes stand for, in the same order.

        An index that nobody vouches for must not be left out in silence where this run names it:
        the user expects what is there to be looked at.

        Args:
            trust: Whom this machine believes.

        Raises:
            UntrustedError: One that this run names stands for none, and is not the user's own.
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
        found = [_vouched_for(trust, url) for url in others]
        found += [each for url in extra if (each := trust.for_index(url)) is not None]
        trust = trust.including(each.name for each in found)
        limited = bool(self.said.index_url or self.places.index_url)
        if first and not limited:
            default = trust.for_index(first)
            if default is not None:
                trust = trust.including([default.name])
                found.insert(0, default)
                limited = True
            else:
                console.say(
                    f"Not asking {redact(first)}, pip's index here: it stands for no repository "
                    "that this machine trusts (see `securepip trust list`)."
                )
        # Extra indexes alone are added to what is asked anyway: all that is trusted, as mapped.
        names = list(dict.fromkeys(each.name for each in found))
        return trust.limited_to(names) if limited and not for_all else trust

    @property
    def addresses(self) -> tuple[str, ...]:
        """The indexes of servers that this run, or pip's configuration, names."""
        if self.none:
            return ()
        urls = (*self.named, *self.places.configured)
        return tuple(url for url in urls if url and not _is_local(url))

    def say_where(self) -> None:
        """Where is looked, as pip says it, if it is not where is always looked; and where not."""
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
    """Whether it is the index that pip asks when it is told none, and no repository's own."""
    from securepip.formats.pip_configuration import default_index
    from securepip.trust import same_index

    return not _is_local(url) and trust.for_index(url) is None and same_index(url, default_index())


def _vouched_for(trust: Trust, url: str) -> TrustedRepository:
    from securepip.redaction import redact

    found = trust.for_index(url)
    if found is None:
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
    return found
