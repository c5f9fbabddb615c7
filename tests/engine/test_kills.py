"""Front ends and workers are killed during uploads: each one that was answered with 200 is there.

The suite does it in small, in a folder and in a bucket. In full, by hand, with the uploads a second
in the end::

    SECUREPIP_TEST_UPLOADS=2000 SECUREPIP_TEST_KILLS=50 SECUREPIP_TEST_WRITERS=16 \
        SECUREPIP_TEST_MACHINES=3 pytest -s tests/engine/test_kills.py
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from packaging.utils import NormalizedName
from requests.exceptions import HTTPError
from twine.package import PackageFile
from twine.repository import Repository as TwineRepository

from securepip.cli import main
from securepip.formats.digests import sha256_of
from tests.engine.fleet import Fleet, fleet
from tests.engine.made import Made
from tests.signing.clients import updater
from tests.support.wheels import make_wheel

WRITERS = int(os.environ.get("SECUREPIP_TEST_WRITERS", "8"))
MACHINES = int(os.environ.get("SECUREPIP_TEST_MACHINES", "2"))
SMALL = {"made": (40, 3), "made_in_a_bucket": (20, 2)}
"""How many uploads and kills there are by default: each request to moto takes its time."""
_PROJECTS = 97
_PATIENCE = 300.0
"""Seconds in which some front end takes an upload, however often it is sent."""


@dataclass
class Seen:
    """What happened.

    Attributes:
        answered: The wheels that were answered with 200.
        statuses: How often each answer came; "gone" where the front end was killed meanwhile.
        looked: How often a client looked.
        invalid: What it found wrong.
    """

    answered: list[Path] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    looked: int = 0
    invalid: list[str] = field(default_factory=list)


def upload(at: Fleet, wheel: Path, token: str, number: int, seen: Seen) -> None:
    """Upload by twine's library, and to the next front end if one is gone."""
    end = time.monotonic() + _PATIENCE
    for attempt in itertools.count():
        assert time.monotonic() < end, f"{wheel.name} is not taken: {seen.statuses}"
        try:
            index = TwineRepository(at.upload_url(number + attempt), "__token__", token, True)
            answer = index.upload(PackageFile.from_filename(str(wheel), None))
            answer.raise_for_status()
            seen.statuses[str(answer.status_code)] += 1
            if answer.status_code == 200:
                seen.answered.append(wheel)
                return
        except HTTPError as error:
            seen.statuses[str(error.response.status_code)] += 1
        except requests.RequestException:
            seen.statuses["gone"] += 1
        time.sleep(0.05)


def look(made: Made, client: Path, seen: Seen, done: threading.Event) -> None:
    """Check with python-tuf, again and again, that each answered upload is a target."""
    chance = random.Random(1)
    while not done.is_set():
        known = seen.answered[-1:] + ([chance.choice(seen.answered)] if seen.answered else [])
        try:
            # The same client each time: it would see an older state for what it is.
            fresh = updater(made.folder, client, made.public)
            fresh.refresh()
            for wheel in known:
                project = wheel.name.split("-")[0].replace("_", "-")
                target = fresh.get_targetinfo(f"packages/{project}/{wheel.name}")
                if target is None or target.hashes["sha256"] != sha256_of(wheel.read_bytes()):
                    seen.invalid.append(f"{wheel.name} was answered, and is no target")
        except Exception as error:
            seen.invalid.append(f"{type(error).__name__}: {error}")
        seen.looked += 1
        done.wait(0 if made.public is None else 0.1)  # each look is several requests to moto


@pytest.mark.parametrize("place", SMALL)
def test_every_upload_that_was_answered_is_there_whoever_was_killed(
    place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    made: Made = request.getfixturevalue(place)
    uploads = int(os.environ.get("SECUREPIP_TEST_UPLOADS", SMALL[place][0]))
    kills = int(os.environ.get("SECUREPIP_TEST_KILLS", SMALL[place][1]))
    wheels = [
        make_wheel(tmp_path / "built", f"p{number % _PROJECTS}", f"1.{number}")
        for number in range(uploads)
    ]
    _, token = made.repository.state.tokens.create(None)
    seen, done = Seen(), threading.Event()
    chance = random.Random(15)
    log = tmp_path / "log"
    with fleet(
        made.address, made.url, made.online_keys, log, fronts=MACHINES, workers=MACHINES
    ) as machines:
        looking = threading.Thread(target=look, args=(made, tmp_path / "client", seen, done))
        looking.start()
        began = time.monotonic()
        try:
            with ThreadPoolExecutor(WRITERS) as pool:
                sent = [
                    pool.submit(upload, machines, wheel, token, number, seen)
                    for number, wheel in enumerate(wheels)
                ]
                for kill in range(kills):
                    # As many uploads lie between two kills as between any two others.
                    while len(seen.answered) < kill * uploads // (kills + 1):
                        assert not any(each.done() and each.exception() for each in sent)
                        time.sleep(0.02)
                    machines.kill_one(chance)
                for each in sent:
                    each.result()
        finally:
            seconds = time.monotonic() - began
            done.set()
            looking.join()
    print(
        f"\n{uploads} uploads, {WRITERS} writers, {kills} kills: {uploads / seconds:.1f} a second;"
        f" answers {dict(seen.statuses)}; a client looked {seen.looked} times"
    )
    assert seen.invalid == []
    assert seen.looked
    assert len(seen.answered) == uploads
    with made.open() as repository:
        found: Counter[str] = Counter()
        for project in repository.projects():
            page = repository.page(NormalizedName(project))
            assert page is not None
            found.update(file.filename for file in page.files)
        assert found == Counter(wheel.name for wheel in wheels), "each of them, and none twice"
        assert repository.ledger.unfinished() == []
    assert main(["repo", "audit", made.address, "--database", made.url]) == 0
