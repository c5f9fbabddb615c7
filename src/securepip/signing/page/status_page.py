"""``status/index.html``: how a repository is doing, for people with a browser.

Rule: nothing here is signed, and the page says so: clients never read it. Whatever comes from a
project or from the log is escaped. Writing it takes no longer for a large repository than for a
small one (counts are looked up, and the log is read up to a bound), and a failure to write it never
fails the command that has published.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from securepip.errors import SecurepipError
from securepip.formats.layout import METADATA_DIR, STATUS_DIR
from securepip.formats.words import counted, in_units
from securepip.signing.publish.status import RoleStatus, Status, status
from securepip.signing.repository.commit import now
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import TIMESTAMP_NAME
from securepip.signing.repository.state.log import Entry

PAGE_NAME = "index.html"
_WEEKS = 26
_SHOWN = 12
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
    """Write the page anew at the end, if something was published meanwhile."""
    before = _stamp(repository.folder)
    try:
        yield repository
    finally:
        if _stamp(repository.folder) != before:
            write(repository)


def write(repository: Repository) -> None:
    """Write the page. What goes wrong is a warning: what was published is published."""
    try:
        page = render(status(repository), repository, repository.log.recent(), now())
        path = _path(repository.folder)
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f".{PAGE_NAME}")
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    except (OSError, SecurepipError) as error:
        _log.warning("The status page was not written: %s", error)


def render(
    shown: Status, repository: Repository, entries: Sequence[Entry], moment: datetime
) -> str:
    """The page as HTML."""
    signed = [entry for entry in entries if entry.signed]
    template = files("securepip.signing.page").joinpath("page.html").read_text("utf-8")
    return Template(template).substitute(
        moment=f"{moment:%Y-%m-%d %H:%M} UTC",
        projects=counted(shown.projects, "project"),
        files=counted(shown.files, "file"),
        own=counted(len(shown.claims), "project signs for itself", "projects sign for themselves"),
        roles="\n".join(map(_role, shown.roles)),
        lately="\n".join(_lately(entries)),
        sha256=repository.config.root_sha256,
        downloads="\n".join(_downloads(repository)),
        chart=_chart(signed, moment.date()),
    )


def _role(role: RoleStatus) -> str:
    what = escape(_ROLES.get(role.name, ""))
    return (
        f'<tr><th scope="row">{escape(role.name)}<small>{what}</small></th>'
        f"<td>{role.threshold} of {role.key_count}</td>"
        f'<td>until <time datetime="{role.expires:%Y-%m-%d}">{role.expires:%Y-%m-%d}</time></td>'
        "</tr>"
    )


def _lately(entries: Sequence[Entry]) -> Iterator[str]:
    """The newest entries; a command that came several times in a row is one."""
    rows: list[tuple[Entry, int]] = []
    for entry in reversed(entries):
        if rows and (entry.why, entry.words) == (rows[-1][0].why, rows[-1][0].words):
            rows[-1] = (rows[-1][0], rows[-1][1] + 1)
        elif len(rows) == _SHOWN:
            break
        else:
            rows.append((entry, 1))
    for entry, count in rows:
        times = f" <small>{count} times</small>" if count > 1 else ""
        words = escape(entry.words[:500]) or "-"
        yield (
            f'<tr><td><time datetime="{entry.time:%Y-%m-%dT%H:%MZ}">{entry.time:%Y-%m-%d}</time>'
            f"</td><td><code>{escape(entry.why[:300])}</code>{times}</td><td>{words}</td></tr>"
        )


def _downloads(repository: Repository) -> Iterator[str]:
    """What a client fetches before any page or file, in bytes before compression."""
    roles = repository.roles()
    folder = repository.folder / METADATA_DIR
    timestamp = (folder / TIMESTAMP_NAME).stat().st_size
    snapshot = (folder / f"{roles.snapshot.signed.version}.snapshot.json").stat().st_size
    root = (folder / f"{roles.root.signed.version}.root.json").stat().st_size
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


def _chart(entries: Iterable[Entry], today: date) -> str:
    """Publications a week, as bars, and as the table that says the same."""
    monday = today - timedelta(days=today.weekday())
    weeks = [monday - timedelta(weeks=back) for back in reversed(range(_WEEKS))]
    count = Counter(each.time.date() - timedelta(days=each.time.weekday()) for each in entries)
    most = max([1, *(count[week] for week in weeks)])
    bars = "".join(
        f'<rect x="{number * 20 + 2}" y="{110 - count[week] / most * 100:.1f}" width="16" '
        f'height="{count[week] / most * 100:.1f}" rx="2"/>'
        for number, week in enumerate(weeks)
        if count[week]
    )
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


def _path(folder: Path) -> Path:
    return folder / STATUS_DIR / PAGE_NAME


def _stamp(folder: Path) -> bytes:
    try:
        return (folder / METADATA_DIR / TIMESTAMP_NAME).read_bytes()
    except OSError:
        return b""
