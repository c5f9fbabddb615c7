"""``securepip trust list``: the trusted repositories, and which pips on this machine verify."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.formats.words import counted

if TYPE_CHECKING:
    from securepip.plugin.environment import Environment
    from securepip.trust import Trust, TrustedRepository

_NOBODY = (
    "No repository is trusted yet. Begin with `securepip trust first-use`, or add one with "
    "`securepip trust add`."
)


@dataclass(frozen=True)
class Listed:
    """A trusted repository in the list.

    Attributes:
        name: The user's name for it.
        address: Its address, without a password; for first use, that of the index.
        kind: ``first use`` or ``operator``: who signs it.
        projects: The names or patterns of the projects that it is asked for, or ``*``; empty if it
            is asked only when a command names its index.
        agreeing: How many repositories have to agree, including this one.
        sign_themselves: How many of its projects sign for themselves, as far as is known.
        fresh_until: When the last seen metadata expires (UTC, ISO 8601); None if nothing was seen
            yet, and for first use, which this machine renews itself.
        last_news: When something new was last seen (UTC, ISO 8601); None for never.
        alone: Those of ``projects`` for which no other repository is asked after it.
        after: The repositories that are asked before it for any project.
        mirrors: The addresses of its mirrors, without passwords.
    """

    name: str
    address: str
    kind: str
    projects: tuple[str, ...]
    agreeing: int
    sign_themselves: int
    fresh_until: str | None
    last_news: str | None
    alone: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()


def list_all(trust: Trust, pythons: Sequence[str], *, as_json: bool) -> int:
    """Print the trusted repositories, and for each Python with a pip whether that pip verifies.

    Raises:
        UsageError: One of ``pythons`` is no interpreter.
    """
    from securepip.plugin.here import environments_here

    listed = [_listed(repository, trust) for repository in trust.repositories]
    environments = environments_here(pythons)
    if as_json:
        document = {
            "repositories": [asdict(one) for one in listed],
            "any_index": trust.any_index is not None,
            "pythons": [
                {"python": str(one.python), "pip": str(one.pip), "plugin": one.is_enabled}
                for one in environments
            ],
        }
        console.say_machine(json.dumps(document, indent=2))
        return 0
    if not listed:
        console.say(_NOBODY)
    for one in listed:
        _say(one)
    if trust.any_index is not None:
        console.say("Any other index that a command names is protected by first use, too.")
    _say_pythons(environments, protected=bool(listed or trust.any_index))
    return 0


def _listed(repository: TrustedRepository, trust: Trust) -> Listed:
    from securepip.transport import redact
    from securepip.updater.state import count_project_roles, describe_state

    entries = [one for one in trust.mapping if repository.name in one.repositories]
    patterns = dict.fromkeys(path for entry in entries for path in entry.paths)
    first_use = repository.first_use
    roles = {role.name: role for role in describe_state(repository.state)}
    news = None
    if "timestamp" in roles:
        seconds = (repository.state / "timestamp.json").stat().st_mtime
        news = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
    until = min((role.expires for role in roles.values()), default=None)
    return Listed(
        repository.name,
        redact(first_use.index_url if first_use else repository.location),
        "first use" if first_use else "operator",
        tuple(dict.fromkeys(_project(pattern) for pattern in patterns)),
        max((entry.threshold for entry in entries), default=1),
        count_project_roles(repository.state),
        until.isoformat(timespec="seconds") if until and not first_use else None,
        news,
        bound_to(trust, repository.name),
        _asked_before(trust, repository.name),
        tuple(map(redact, repository.mirrors)),
    )


def bound_to(trust: Trust, name: str) -> tuple[str, ...]:
    """The projects or patterns for which no repository is asked after the one called ``name``."""
    ends = (one for one in trust.mapping if name in one.repositories and one.terminating)
    return tuple(dict.fromkeys(_project(path) for one in ends for path in one.paths))


def _asked_before(trust: Trust, name: str) -> tuple[str, ...]:
    """The repositories that are asked for any project before the one called ``name``."""
    before: dict[str, None] = {}
    for one in trust.mapping:
        if "*" in one.paths:
            if name in one.repositories:
                return tuple(before)
            before |= dict.fromkeys(one.repositories)
    return ()


def _project(pattern: str) -> str:
    """The project in a pattern of target paths; the pattern itself if it names none."""
    parts = pattern.split("/")
    return parts[1] if len(parts) == 3 and parts[0] in ("simple", "packages") else pattern


def _say(one: Listed) -> None:
    console.say(f"{one.name}  {one.address}")
    if one.kind == "first use":
        console.say("  signed:  first use: on this machine, as it was seen first")
    else:
        console.say("  signed:  by those who run it")
    if one.sign_themselves:
        console.say(
            f"           {counted(one.sign_themselves, 'project')} of it signed by the maintainers"
        )
    if one.mirrors:
        console.say(f"  mirrors: {', '.join(one.mirrors)}")
    reach = ", ".join(_reach(project, one) for project in one.projects)
    if one.agreeing > 1:
        reach += f", where {one.agreeing} repositories agree"
    console.say(f"  for:     {reach or 'nothing, unless a command names its index'}")
    console.say(f"  fresh:   {_freshness(one)}")


def _reach(project: str, one: Listed) -> str:
    """Which projects a repository is asked for, and whether others are asked too."""
    if project != "*":
        return f"{project} (nobody else)" if project in one.alone else project
    return (
        f"any project that {' or '.join(one.after)} does not know" if one.after else "any project"
    )


def _freshness(one: Listed) -> str:
    news = f"last news {_moment(one.last_news)}" if one.last_news else "nothing was seen of it yet"
    if one.kind == "first use":
        return f"this machine renews it; {news}" if one.last_news else news
    if one.fresh_until is None:
        return f"{news}; `securepip trust refresh {one.name}` asks it"
    left = datetime.fromisoformat(one.fresh_until) - datetime.now(timezone.utc)
    if left.total_seconds() < 0:
        return (
            f"no: what was seen last has expired {_moment(one.fresh_until)}; "
            f"`securepip trust refresh {one.name}` asks for newer"
        )
    until = f"{counted(left.days, 'day')} left" if left.days else "less than a day left"
    return f"until {_moment(one.fresh_until)} ({until}); {news}"


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M UTC")


def _say_pythons(environments: Sequence[Environment], *, protected: bool) -> None:
    if not environments:
        console.say("No Python with a pip was found: `securepip install` is the way to install.")
        return
    console.say("pip itself (`securepip install` verifies always):")
    for one in environments:
        if one.is_enabled:
            state = (
                "plugin on: verifies" if protected else "plugin on: refuses all, nobody is trusted"
            )
        else:
            state = "plugin off: verifies nothing"
        console.say(f"  {one.python}  pip {one.pip}  {state}")
    if any(not one.is_enabled for one in environments):
        console.say("`securepip plugin enable --python PYTHON` switches it on.")
