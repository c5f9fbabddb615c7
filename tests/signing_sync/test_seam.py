"""The seam that a sync uses, as somebody uses it who asks for a few projects at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from securepip.signing.overlay import Judged, Overlay, Rules, Standing
from securepip.signing.overlay.upstream.page import UpstreamFile
from securepip.signing.overlay.upstream.sources import open_sources
from securepip.transport import Transport, TransportOptions
from tests.support.indexes import Index, project
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel


@pytest.fixture
def seam(overlay: MadeRepository, index: Index) -> Iterator[Overlay]:
    with Transport(TransportOptions(timeout=60, retries=0)) as transport:
        sources = open_sources([index.url], [], transport)
        rules = Rules(datetime.now(timezone.utc))
        yield Overlay(overlay.repository, sources, transport, rules)


def look_up(
    seam: Overlay, overlay: MadeRepository, name: str, versions: Sequence[str] = ()
) -> Judged:
    """Ask for one project, and publish what is judged of it."""

    def wanted(files: Sequence[UpstreamFile]) -> Sequence[UpstreamFile]:
        return [file for file in files if str(file.name.version) in versions]

    question = seam.question(project(name), wanted=wanted)
    assert not isinstance(question, Judged)
    offered = seam.read(question)
    with overlay.repository.lock():
        judged = seam.judge(question, offered)
        seam.publish([judged])
    return judged


def names(overlay: MadeRepository, name: str) -> list[str]:
    page = overlay.repository.page(NormalizedName(name))
    assert page is not None
    return [file.filename for file in page.files]


def test_only_files_about_to_be_chosen_cost_requests_and_the_page_grows_with_them(
    index: Index, overlay: MadeRepository, seam: Overlay, tmp_path: Path
) -> None:
    index.speaks_json = index.says_metadata = False
    index.offer(*(make_wheel(tmp_path, "app", f"1.{n}") for n in range(30)))
    look_up(seam, overlay, "app", ["1.29"])
    assert names(overlay, "app") == ["app-1.29-py3-none-any.whl"]
    asked = [each for each in index.seen if "/files/" in each]
    assert {each.split("/")[-1].removesuffix(".metadata") for each in asked} == {
        "app-1.29-py3-none-any.whl"
    }
    look_up(seam, overlay, "app", ["1.3"])
    assert names(overlay, "app") == ["app-1.3-py3-none-any.whl", "app-1.29-py3-none-any.whl"]


def test_what_another_process_signed_between_question_and_judgement_is_not_lost(
    index: Index, overlay: MadeRepository, seam: Overlay, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path, "app", "1.0"))
    early = seam.question(project("app"))
    assert not isinstance(early, Judged)
    answer = seam.read(early)
    overlay.add(make_wheel(tmp_path, "app", "0.9"))
    seam.publish([seam.judge(early, answer)])
    assert names(overlay, "app") == ["app-0.9-py3-none-any.whl", "app-1.0-py3-none-any.whl"]


def test_a_project_nobody_knows_changes_nothing(
    index: Index, overlay: MadeRepository, seam: Overlay
) -> None:
    judged = look_up(seam, overlay, "app")
    assert judged.standing is Standing.UNKNOWN
    assert not judged.is_changed
