"""Writes ``status/index.html``, which shows the state of a repository to people with a browser.

Rule: the page is not signed, and says so; clients never read it. Text from a project or from the
log is escaped. The cost of the page does not grow with the repository's history: counts are looked
up, and only new log entries are read. If the page cannot be written, the command that has published
still succeeds.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from html import escape
from importlib.resources import files
from string import Template

from securepip.formats.layout import METADATA_DIR, STATUS_DIR
from securepip.formats.words import counted, in_units
from securepip.signing.page.lately import Command, Lately
from securepip.signing.publish.status import RoleStatus, role_statuses
from securepip.signing.repository.commit import now
from securepip.signing.repository.config import Config
from securepip.signing.repository.repository import HTML_NAME, Repository
from securepip.signing.repository.roles import TIMESTAMP_NAME
from securepip.signing.repository.state.known import Counts

_WEEKS = 26
_log = logging.getLogger(__name__)
_ROLES = {
    "root": "names all other keys",
    "timestamp": "says which snapshot is the newest",
    "snapshot": "says which version of each list is current",
    "targets": "says who signs for which projects",
    "claimed": "projects that sign for themselves",
    "recently-claimed": "the same, not yet confirmed with the offline keys",
    "bins": "divides all other projects into lists",
    "bin-n": "the lists of files",
}


@contextmanager
def kept_up(repository: Repository) -> Iterator[Repository]:
    """Write the page again at the end of the block, if the log has grown by then."""
    before = repository.log.size()
    try:
        yield repository
    finally:
        if repository.log.size() != before:
            write(repository)


def write(repository: Repository) -> None:
    """Write the page. A failure is only a warning, because the publication itself has succeeded."""
    try:
        # With the lock, the command that writes last has also read the newest state.
        with repository.state.lock():
            page = render(repository, now())
            repository.storage.write(f"{STATUS_DIR}/{HTML_NAME}", page.encode())
            repository.storage.settle()
    except Exception as error:  # the command has succeeded, whatever goes wrong here
        _log.warning("The status page was not written: %s", error or repr(error))
        _log.debug("Why it was not", exc_info=True)


def introduce(repository: Repository, name: str | None, url: str | None) -> Config:
    """Set the name and URL of a repository that the page shows, and write the page.

    Args:
        repository: The repository.
        name: Its name; None to keep the present one.
        url: Its URL; None to keep the present one.

    Returns:
        The new settings.

    Raises:
        RepositoryStateError: The settings cannot be written.
    """
    with repository.lock():
        before = repository.config
        config = replace(
            before,
            name=before.name if name is None else name,
            url=before.url if url is None else url,
        )
        if config != before:
            repository.config = config
            repository.state.keep_settings(config)
    write(repository)
    return config


def render(repository: Repository, moment: datetime) -> str:
    """The page as HTML. The lock must be held.

    Raises:
        RepositoryStateError: What is on disk is not what was signed.
        sqlite3.Error: The ledger cannot be read.
    """
    counts, lately = repository.known().counts(), Lately(repository)
    config = repository.state.settings()  # read again: another command may have changed them
    lately.follow()
    monday = moment.date() - timedelta(days=moment.weekday())
    weeks = [monday - timedelta(weeks=back) for back in reversed(range(_WEEKS))]
    template = files("securepip.signing.page").joinpath("page.html").read_text("utf-8")
    return Template(template).substitute(
        title=escape(config.name or "A signed package repository"),
        moment=f"{moment:%Y-%m-%d %H:%M} UTC",
        sizes="\n".join(_sizes(counts)),
        roles="\n".join(_role(role, moment) for role in role_statuses(repository, counts)),
        lately="\n".join(_lately(lately.commands())),
        trust=_trust(config),
        downloads="\n".join(_downloads(repository)),
        chart=_chart(weeks, lately.weeks(weeks[0]), moment.date()),
    )


def _trust(config: Config) -> str:
    """The command with which people trust the repository, and what they have to fill in."""
    name, url = config.name or "NAME", config.url or "ADDRESS"
    placeholders = [
        *([] if config.name else ["NAME is a name of your choice"]),
        *([] if config.url else ["ADDRESS is that of this page without <code>status/</code>"]),
    ]
    what = f"On your machine, once. {' and '.join(placeholders)}".rstrip(". ")
    line = f"securepip trust add {name} {shlex.quote(url)} \\\n  --root-sha256 {config.root_sha256}"
    return f"<p>{what}:</p>\n<pre>{escape(line)}</pre>"


def _sizes(counts: Counts) -> Iterator[str]:
    for number, what in (
        (counts.projects, counted(counts.projects, "project")),
        (counts.files, counted(counts.files, "file")),
        (counts.claims, counted(counts.claims, "signs for itself", "sign for themselves")),
    ):
        yield f"<li><strong>{number}</strong> {escape(what.partition(' ')[2])}</li>"


def _role(role: RoleStatus, moment: datetime) -> str:
    left = max(0, (role.expires.date() - moment.date()).days)
    what = escape(_ROLES.get(role.name, ""))
    return (
        f'<tr><th scope="row">{escape(role.name)}<small>{what}</small></th>'
        f"<td>{role.threshold} of {role.key_count}</td>"
        f"<td>{counted(left, 'day')}<small>until "
        f'<time datetime="{role.expires:%Y-%m-%d}">{role.expires:%Y-%m-%d}</time></small></td>'
        "</tr>"
    )


def _lately(commands: Sequence[Command]) -> Iterator[str]:
    for each in commands:
        number = each.publications
        times = f" <small>{counted(number, 'publication')}</small>" if number > 1 else ""
        why = f"<p>{escape(each.words)}</p>" if each.words else ""
        yield (
            f'<tr><td><time datetime="{each.time:%Y-%m-%dT%H:%MZ}">{each.time:%Y-%m-%d}</time>'
            f"</td><td><code>{escape(each.command)}</code>{times}{why}</td></tr>"
        )


def _downloads(repository: Repository) -> Iterator[str]:
    """The metadata that a client fetches, in bytes before compression, in three typical cases."""
    roles = repository.roles()
    metadata = repository.storage.below(METADATA_DIR)
    timestamp = len(metadata.read(TIMESTAMP_NAME))
    snapshot = len(metadata.read(f"{roles.snapshot.signed.version}.snapshot.json"))
    root = len(metadata.read(f"{roles.root.signed.version}.root.json"))
    meta = roles.snapshot.signed.meta
    top = sum(
        meta[f"{name}.json"].length or 0
        for name in ("targets", "claimed", "recently-claimed", "bins")
        if f"{name}.json" in meta
    )
    one = next(roles.bin_names())
    of_bin = meta[f"{one}.json"].length or 0
    for what, size in (
        ("nothing new since the last time", timestamp),
        ("a new publication, one list changed", timestamp + snapshot + of_bin),
        ("the first time, one project", root + timestamp + snapshot + top + of_bin),
    ):
        yield f'<tr><th scope="row">{what}</th><td>{in_units(size)}</td></tr>'


def _chart(weeks: Sequence[date], publications: Mapping[date, int], today: date) -> str:
    """The publications in each week, as a bar chart and as a table."""
    count = {week: publications.get(week, 0) for week in weeks}
    most = max([1, *(count[week] for week in weeks)])
    bars = "".join(
        f'<rect x="{number * 20 + 2}" y="{111 - count[week] / most * 95:.1f}" width="16" '
        f'height="{count[week] / most * 95:.1f}" rx="2"/>'
        for number, week in enumerate(weeks)
        if count[week]
    )
    highest = next((number for number, week in enumerate(weeks) if count[week] == most), None)
    if highest is not None:
        bars += f'<text x="{highest * 20 + 10}" y="12" text-anchor="middle">{most}</text>'
    rows = "".join(
        f'<tr><th scope="row">{week}</th><td>{count[week]}</td></tr>'
        for week in reversed(weeks)
        if count[week]
    )
    total = sum(count[week] for week in weeks)
    return (
        f'<svg viewBox="0 0 {_WEEKS * 20} 132" role="img" aria-labelledby="chart-title chart-desc">'
        f'<title id="chart-title">Publications a week</title>'
        f'<desc id="chart-desc">{counted(total, "publication")} since {weeks[0]}, at most {most} '
        f"in one week; the table below says the same.</desc>{bars}"
        f'<path d="M0 111H{_WEEKS * 20}"/><text x="0" y="128">{weeks[0]}</text>'
        f'<text x="{_WEEKS * 20}" y="128" text-anchor="end">{today}</text></svg>'
        f"<details><summary>The same as a table</summary><table><caption>Publications a week"
        f'</caption><thead><tr><th scope="col">Week from</th><th scope="col">Publications</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></details>"
    )
