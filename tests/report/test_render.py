import base64
import hashlib
import re

from rlaif.report.render import SCRIPTS, html, script
from tests.reference.report_page import Page


def page(live=False):
    return html(
        *("training", []),
        live=live,
        **{"run": {}, "name": "<b>", "title": "t", "has_samples": False, "has_curves": False, "has_more": False},
        **{name: [] for name in ("story", "findings", "facts", "warnings", "made")},
    )


def policy_of(text):
    found = Page(text)
    return next(value for tag, name, value in found.attributes if tag == "meta" and value.startswith("default-src"))


def test_only_the_pages_own_script_runs_and_nothing_is_asked_for():
    text = page()
    (code,) = Page(text).scripts
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert policy_of(text).startswith(f"default-src 'none'; script-src 'sha256-{digest}';")
    assert "connect-src" not in policy_of(text) and "connect-src 'self'" in policy_of(page(live=True))


def test_texts_are_escaped():
    assert "<h1>&lt;b&gt;</h1>" in page()


def test_the_script_makes_no_markup_of_text():
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|</script", script())


def test_every_part_of_the_script_is_in_it_and_small():
    from rlaif.report import render

    files = {path.stem: path.read_text(encoding="utf-8") for path in (render._HERE / "js").glob("*.js")}
    assert files.keys() == set(SCRIPTS) and all(text in script() for text in files.values())
    assert max(len(text.splitlines()) for text in files.values()) < 250
