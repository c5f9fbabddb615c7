"""``securepip trust first-use`` and ``trust accept-change``: this machine signs what it sees first.

The help says what this does not protect against: the first answer of the index is believed.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import (
    Commands,
    Network,
    add_network_options,
    add_why,
    network_of,
    new_command,
    parse_age,
)
from securepip.errors import RepositoryStateError, UsageError

if TYPE_CHECKING:
    from securepip.trust import FirstUseRules

_ABOUT = """\
Protects this machine at once, with nobody's help. From now on it remembers, and signs, what an
index shows it first, and refuses what changes later: a file that it has seen can never come back
with other contents, whoever answers (the index, a mirror or a proxy). You install as before.

Recommended: --min-age 3d. Most malicious releases are found, and taken away, within days.

What it does not do: it believes the index at first sight. Whoever can forge the very first answer
is believed; --witness makes that hard. (The dates that --min-age goes by are the index's own.) A
repository that others sign (`securepip trust add`) does not have this gap.

Give the command once for each index, and again to change its rules: what you leave out is no rule
any more.
"""

_ABOUT_ACCEPTING = """\
Accepts a change that first use has refused: other contents of a FILE that this machine has seen,
or a page of a PROJECT that has lost most of its files. Ask the project first: published files
never change. The refusal prints this command, with the name to give.
"""


@dataclass(frozen=True)
class FirstUseRequest:
    """``securepip trust first-use``.

    Attributes:
        name: The user's name for the repository; None for the host of the index.
        index_url: The index; None for the one that pip on this machine uses.
        min_age: Files younger than this are left out.
        witnesses: Other indexes that must show the same sha256.
        memory: A file that shares what was seen with other machines.
        any_index: Whether every index that a command names is believed at first sight; None leaves
            that as it is.
        network: How servers are reached.
    """

    name: str | None = None
    index_url: str | None = None
    min_age: timedelta | None = None
    witnesses: tuple[str, ...] = ()
    memory: Path | None = None
    any_index: bool | None = None
    network: Network = field(default_factory=Network)


def add_to(commands: Commands) -> tuple[argparse.ArgumentParser, ...]:
    """Add the commands to those of ``trust``."""
    first = new_command(commands, "first-use", "protect this machine at once, with nobody's help")
    first.formatter_class = argparse.RawDescriptionHelpFormatter
    first.description = _ABOUT
    first.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="what you want to call it (default: the host of the index)",
    )
    first.add_argument(
        "--index-url", metavar="URL", help="the index (default: the one that pip here uses)"
    )
    first.add_argument(
        "--min-age", type=parse_age, metavar="AGE",
        help="leave out files that were uploaded more recently: 3d (recommended), 12h, 2w",
    )  # fmt: skip
    first.add_argument(
        "--witness", action="append", default=[], metavar="URL",
        help="another index or mirror that must show the same bytes for what is new here; may be "
        "repeated",
    )  # fmt: skip
    first.add_argument(
        "--memory", type=Path, metavar="FILE",
        help="a text file of what was seen, for machines that start from nothing each time (CI)",
    )  # fmt: skip
    first.add_argument(
        "--any-index", action=argparse.BooleanOptionalAction, default=None,
        help="protect every other index, too, that a command or pip's configuration names",
    )  # fmt: skip
    first.set_defaults(run=_first_use)
    add_network_options(first)

    accept = new_command(commands, "accept-change", "accept a change that first use has refused")
    accept.formatter_class = argparse.RawDescriptionHelpFormatter
    accept.description = _ABOUT_ACCEPTING
    accept.add_argument("what", metavar="FILE|PROJECT", help="as the refusal named it")
    accept.add_argument(
        "--repository", metavar="NAME", help="only what this one has refused, of several"
    )
    add_why(accept)
    accept.set_defaults(run=_accept)
    add_network_options(accept)
    return first, accept


def _first_use(arguments: argparse.Namespace) -> int:
    return first_use(
        FirstUseRequest(
            name=arguments.name,
            index_url=arguments.index_url,
            min_age=arguments.min_age,
            witnesses=tuple(arguments.witness),
            memory=None if arguments.memory is None else arguments.memory.absolute(),
            any_index=arguments.any_index,
            network=network_of(arguments),
        )
    )


def _accept(arguments: argparse.Namespace) -> int:
    return accept_change(arguments.what, network_of(arguments), arguments.why, arguments.repository)


def first_use(request: FirstUseRequest) -> int:
    """Make this machine's own repository over an index and trust it, or change its rules.

    Raises:
        UsageError: The name is taken, or the index or a witness cannot be asked safely.
        SecurepipError: The repository cannot be made.
    """
    from securepip.first_use.memory_file import read_memory
    from securepip.first_use.setup import protect
    from securepip.transport import redact
    from securepip.trust import FirstUseRules, TrustStore

    url = request.index_url or _default_index()
    rules = FirstUseRules(request.min_age, request.witnesses, request.memory)
    if request.memory is not None:
        read_memory(request.memory)
    store = TrustStore.of_user()
    hosts = request.network.trusted_hosts
    protected = protect(url, rules, store, trusted_hosts=hosts, name=request.name)
    if request.any_index is not None:
        store.set_any_index(rules if request.any_index else None)
    name = protected.repository.name
    if protected.is_new:
        console.say(f"Protected from now on: {redact(url)} ({name}).")
        console.say("What this machine has seen there cannot be changed unnoticed any more.")
    else:
        console.say(f"Protected already: {redact(url)} ({name}). These rules count from now on.")
    if not protected.is_new or rules != FirstUseRules():
        console.say(f"Rules: {in_words(rules)}")
    if rules == FirstUseRules():
        console.say("Tip: `--min-age 3d` leaves out what nobody has had time to look at.")
    if protected.is_new and len(store.read().repositories) > 1:
        console.say("`securepip trust list` says which index is asked for which projects.")
    if request.any_index:
        console.say("Every other index that a command names is protected by the same rules.")
    elif request.any_index is False:
        console.say("No other index is protected when a command names it: it is refused.")
    return 0


def accept_change(
    what: str, network: Network, words: str = "", repository: str | None = None
) -> int:
    """Accept what first use has refused: other bytes of a file, or a page that lost its files.

    Args:
        what: The name of the file or the project, as in the refusal.
        network: How servers are reached.
        words: The reason that the user gives, for the log.
        repository: Only what the repository of this name has refused; None for all.

    Raises:
        UsageError: There is no such repository, or several have refused different things.
        RepositoryStateError: Nothing of that name was refused.
        SecurepipError: The index, which is asked for a file's new bytes, did not answer.
    """
    from securepip.first_use.accept import accept
    from securepip.formats.distribution import is_distribution
    from securepip.trust import TrustStore

    trust = TrustStore.of_user().read()
    named = trust.repositories if repository is None else [trust.named(repository)]
    own = [each for each in named if each.first_use is not None]
    if not own:
        raise UsageError(
            "this machine signs for no index itself",
            remedy="`securepip repo accept-change` is for a repository that you run.",
        )
    urls = [each.first_use.index_url for each in own if each.first_use is not None]
    options = network.transport(urls).options
    accepted = accept(own, what, options, words)
    if not accepted:
        raise RepositoryStateError(
            f"nothing about {what} was refused",
            remedy="Name it as the refusal does: a file, or a project.",
        )
    names = ", ".join(each.repository for each in accepted)
    sha256 = next((each.sha256 for each in accepted if each.sha256 is not None), None)
    if sha256 is not None:
        console.say(f"Accepted {what}, with the sha256 {sha256} ({names}).")
    elif is_distribution(what):
        console.say(f"No bytes of {what} were refused.")
        console.say(f"What servers had said of it is asked again ({names}).")
    else:
        console.say(f"Accepted {what}, as it is shown now ({names}).")
    return 0


def _default_index() -> str:
    from securepip.signing.overlay.upstream.pip_configuration import read_pip_configuration

    indexes = read_pip_configuration().indexes
    if not indexes:
        raise UsageError(
            "pip here is configured to use no index", remedy="Name one: --index-url URL"
        )
    return indexes[0]


def in_words(rules: FirstUseRules) -> str:
    """The rules, as a sentence."""
    from securepip.first_use.refusals import age_in_words
    from securepip.transport import redact

    parts = []
    if rules.min_age is not None:
        parts.append(f"files younger than {age_in_words(rules.min_age)} are left out")
    if rules.witnesses:
        shown = ", ".join(map(redact, rules.witnesses))
        parts.append(f"a new file must be the same at {shown}")
    if rules.memory is not None:
        parts.append(f"what was seen is kept in {rules.memory}")
    return f"{'; '.join(parts) or 'whatever the index shows first is believed'}."
