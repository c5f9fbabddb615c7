"""Messages about how long signatures are valid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.repo.place import Place
from securepip.formats.words import counted

if TYPE_CHECKING:
    from securepip.signing.publish.refresh import Expiring


def warn_of(waiting: Sequence[Expiring], place: Place) -> bool:
    """Warn of roles that only offline keys can renew, and that expire soon or have expired.

    Args:
        waiting: The result of ``publish.refresh.expiring``.
        place: The repository.

    Returns:
        Whether one of them has expired or will within days: then the exit code is 1.
    """
    for each in waiting:
        console.warn(
            f"The role {each.role} {until(each.expires)}, and only its offline key can renew it."
        )
    if waiting:
        console.warn(
            "When one of these expires, no client can install anything. Bring the offline keys:\n"
            f"securepip repo refresh {place.typed} --offline-keys DIR"
        )
    return any(each.urgent for each in waiting)


def until(expires: datetime) -> str:
    """``expires on 2030-01-31 12:00 UTC (in 30 days)``, or ``EXPIRED on 2030-01-31 12:00 UTC``."""
    days = (expires - datetime.now(timezone.utc)).total_seconds() / 86400
    moment = f"{expires:%Y-%m-%d %H:%M} UTC"
    if days < 0:
        return f"EXPIRED on {moment}"
    return f"expires on {moment} (in {counted(round(days), 'day')})"
