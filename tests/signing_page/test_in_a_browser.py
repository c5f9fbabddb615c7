"""The status page in Chromium, as axe-core sees it: light and dark, on a phone and a desktop."""

from __future__ import annotations

import json
from html import unescape
from importlib.resources import files
from pathlib import Path

import pytest

from securepip.signing.page.status_page import write
from tests.support.browser import find_chromium, open_page
from tests.support.repositories import MadeRepository

_RUN = """
<script>%s</script>
<script>
const root = document.documentElement;
root.style.width = "WIDTHpx";  // a window is never narrower than 500
axe.run().then(found => {
  const told = each => each.id + ": " + each.nodes.map(node => node.html).join(" | ");
  const result = document.createElement("pre");
  result.id = "axe-result";
  result.textContent = JSON.stringify({
    passed: found.passes.map(each => each.id), violations: found.violations.map(told),
    undecided: found.incomplete.map(each => each.id), wide: document.body.scrollWidth > WIDTH,
    dark: matchMedia("(prefers-color-scheme: dark)").matches});
  document.body.append(result);
});
</script>
"""


@pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")
@pytest.mark.parametrize(("dark", "width"), [(False, 1200), (True, 390)])
def test_axe_core_finds_nothing_to_object_to(
    dark: bool, width: int, made: MadeRepository, tmp_path: Path
) -> None:
    write(made.repository)
    text = (made.folder / "status" / "index.html").read_text("utf-8")
    # Its own policy forbids every script, this one too.
    text = text.replace('http-equiv="Content-Security-Policy"', 'name="policy"')
    axe = files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
    run = _RUN.replace("WIDTH", str(width)) % axe
    copy = tmp_path / "page.html"
    copy.write_text(text.replace("</body>", f"{run}</body>"), "utf-8")
    options = ("--window-size=1200,900", "--virtual-time-budget=20000", "--dump-dom")
    document = open_page(copy, tmp_path / "profile", *options, dark=dark)
    _, _, result = document.partition('<pre id="axe-result">')
    found = json.loads(unescape(result.partition("</pre>")[0]))
    assert found["dark"] == dark
    assert "color-contrast" in found["passed"] and "document-title" in found["passed"]
    assert found["violations"] == []
    # Of some text it cannot tell on which colour it stands: another test computes all pairs.
    assert set(found["undecided"]) <= {"color-contrast"}
    assert not found["wide"], "nothing has to be scrolled sideways"
