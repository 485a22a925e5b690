"""The pages in headless Chromium: keyboard, permalinks, export, hostile texts, live runs, contrast, phone and paper."""

import json
import time
from threading import Thread

import pytest

from rlaif.report.page import write_report
from rlaif.report.watch import Watch
from tests import browsing
from tests.reference.fake_run import HOSTILE, preferences, turn, write_run
from tests.reference.fake_training import entry, write_training

pytestmark = pytest.mark.browser
OWN = "document.title='owned'"
TRICKS = f"{HOSTILE} javascript:{OWN} \u202e\u2066 <svg onload={OWN}> \x00 \U0001f469\u200d\U0001f4bb"
PAIRS = 2000


@pytest.fixture(scope="module")
def driver():
    if why := browsing.missing():
        pytest.skip(why)
    with browsing.chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The report of each kind of run, its texts hostile."""
    folder = tmp_path_factory.mktemp("runs")
    records = preferences(PAIRS)
    for record in records[:3]:
        record |= {name: [turn("assistant", TRICKS)] for name in ("prompt", "chosen", "rejected")}
        record |= {"id": f"{record['id']} {TRICKS}", "rationale": TRICKS}
        record["principles"][0]["id"] = TRICKS
    constitution = {"name": TRICKS, "digest": TRICKS, "description": TRICKS}
    label = write_run(folder / "label", records, constitution=constitution, critic=TRICKS, command=TRICKS, notes=[TRICKS])
    others = [{**record, "p_chosen": 0.9} for record in preferences(PAIRS)]
    for record in others[10:13]:
        record |= {"chosen_index": record["rejected_index"], "rejected_index": record["chosen_index"]}
    other = write_run(folder / "other", others)
    training = write_training(folder / "training", text=TRICKS)
    again = write_training(folder / "again", text=TRICKS, steps=10)
    return {
        "label": write_report(label),
        "training": write_report(training),
        "labels": write_report([label, other], out=folder / "labels.html"),
        "trainings": write_report([training, again], out=folder / "trainings.html"),
    }


@pytest.fixture
def opened(driver, pages):
    """Open a page; a second call opens it where an address leads."""

    def call(name, address=""):
        browsing.forget(driver)
        driver.get("about:blank")
        driver.get(f"{pages[name].as_uri()}{address}")
        ready = "return document.querySelector('#pair h3, #curves svg') !== null"
        until(driver, ready)
        return driver

    yield call
    browsing.reset(driver)


def until(driver, script, seconds=30):
    ends = time.monotonic() + seconds
    while not driver.execute_script(script):
        assert time.monotonic() < ends, script
        time.sleep(0.05)


def text(driver, selector):
    return driver.execute_script("return document.querySelector(arguments[0]).textContent", selector)


def press(driver, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    for key in keys:
        ActionChains(driver).send_keys(key).perform()


def current(driver):
    until(driver, "return document.querySelector('.row[aria-selected=true]') !== null")
    return int(driver.execute_script("return document.querySelector('.row[aria-selected=true]').dataset.at"))


@pytest.mark.parametrize("name", ["label", "training", "labels", "trainings"])
def test_hostile_texts_do_nothing_no_error_is_met_and_nothing_is_asked_for(opened, pages, name):
    driver = opened(name)
    driver.execute_script("for (const node of document.querySelectorAll('details, button.quiet')) node.click()")
    time.sleep(0.3)
    assert driver.title != "owned" and driver.find_elements("css selector", "img, svg[onload], a[href^=javascript]") == []
    assert browsing.console(driver) == []
    assert {url.partition("#")[0] for url in browsing.requests(driver)} == {pages[name].as_uri()}


def test_texts_are_shown_as_they_are(opened):
    driver = opened("label")
    shown = driver.execute_script("return [...document.querySelectorAll('#pair .said pre')].map((node) => node.textContent)")
    assert shown == [TRICKS] * 4


def test_of_many_pairs_only_those_in_sight_are_in_the_document(opened):
    driver = opened("label")
    assert text(driver, "#count") == f"{PAIRS:,} of {PAIRS:,} pairs"
    for place in (0, 0.5, 1):
        driver.execute_script(
            "const list = document.getElementById('pairs'); list.scrollTop = arguments[0] * list.scrollHeight", place
        )
        time.sleep(0.1)
        rows = driver.find_elements("css selector", "#pairs .row")
        assert 5 < len(rows) < 60
    assert rows[-1].get_attribute("aria-posinset") == rows[-1].get_attribute("aria-setsize") == str(PAIRS)


def test_the_keyboard_does_everything(opened):
    from selenium.webdriver.common.keys import Keys

    driver = opened("label")
    driver.execute_script("document.getElementById('pairs').focus()")
    press(driver, "j", "j", "k", Keys.ARROW_DOWN)
    assert current(driver) == 2
    press(driver, Keys.END)
    assert current(driver) == PAIRS - 1
    press(driver, Keys.HOME, Keys.PAGE_DOWN)
    assert 5 < current(driver) < 60
    press(driver, "/")
    assert driver.switch_to.active_element.get_attribute("id") == "search"
    press(driver, *'"number 77,"')
    until(driver, "return document.getElementById('count').textContent.startsWith('1 of')")
    assert "number 77," in text(driver, "#pair .said pre")


def test_filters_show_what_they_say(opened):
    driver = opened("label", "#show=failures&principle=concise")
    failed = [record for record in preferences(PAIRS) if record["principles"][2]["failure"]]
    until(driver, f"return document.getElementById('count').textContent === '{len(failed):,} of {PAIRS:,} pairs'")
    shown = driver.execute_script("return document.querySelector('#pair h3').textContent")
    assert shown.split()[0] == failed[0]["id"]


def test_sorting_by_the_gap_brings_the_widest_first(opened):
    driver = opened("label", "#sort=gap&principle=polite")
    gaps = [abs(record["principles"][0]["gap"] or 0) for record in preferences(PAIRS)[3:]]
    widest = preferences(PAIRS)[3 + gaps.index(max(gaps))]["id"]
    until(driver, "return document.querySelector('#pair h3') !== null")
    assert text(driver, "#pair h3") == widest


def test_an_address_leads_back_to_its_pair_and_its_filters(opened):
    driver = opened("label", "#pair=1500%3A0-1&show=all&sort=unsure")
    assert text(driver, "#pair h3") == "1500:0-1" and current(driver) > 0
    driver.execute_script("document.getElementById('pairs').focus()")
    press(driver, "j")
    until(driver, "return !location.hash.includes('1500')")
    address = driver.execute_script("return location.hash")
    name = text(driver, "#pair h3")
    assert "sort=unsure" in address
    opened("label", address)
    assert text(driver, "#pair h3") == name


def test_what_is_found_is_saved_as_jsonl(opened, tmp_path):
    driver = opened("label", "#search=%22number+77%2C%22")
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    driver.execute_script("document.getElementById('export').click()")
    ends = time.monotonic() + 20
    while not (tmp_path / "pairs.jsonl").is_file():
        assert time.monotonic() < ends
        time.sleep(0.05)
    (line,) = (tmp_path / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    saved, record = json.loads(line), preferences(PAIRS)[76]
    for name in ("id", "prompt", "chosen", "rejected", "row", "chosen_index", "rejected_index"):
        assert saved[name] == record[name]
    assert saved["p_chosen"] == pytest.approx(record["p_chosen"], abs=1e-6)
    assert [one["id"] for one in saved["principles"]] == [one["id"] for one in record["principles"]]
    assert [one["p"] for one in saved["principles"]] == pytest.approx([one["p"] for one in record["principles"]], abs=1e-6)


def test_pairs_that_flipped_between_runs_come_first(opened):
    driver = opened("labels")
    badges = driver.execute_script(
        "return [...document.querySelectorAll('#pairs .row')].map((row) => row.textContent.includes('flipped'))"
    )
    assert badges[:3] == [True] * 3 and not any(badges[3:])
    assert "prefers the other" in text(driver, "#pair .verdicts")


def test_prompts_and_log_probabilities_come_on_demand(driver, rlaif, tmp_path):
    (tmp_path / "c.yaml").write_text("name: t\nversion: 1\nprinciples:\n  - {id: kind, text: Kind.}\n")
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.7, B: 0.2}}]")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "</conversation>?", "responses": ["a", "</response_b>"]}))
    code, _, error = rlaif("label", "rows.jsonl", "--constitution", "c.yaml", "--critic", "script:s.yaml", "--out", "run")
    assert code == 0, error
    driver.get((tmp_path / "run" / "report.html").as_uri())
    until(driver, "return document.querySelector('button.quiet') !== null")
    assert driver.find_elements("css selector", ".asked-in-full") == []
    driver.execute_script("document.querySelector('button.quiet').click()")
    until(driver, "return document.querySelector('.asked-in-full') !== null")
    shown = text(driver, ".asked-in-full")
    assert 'log P(A) = -0.357 · log P(B) = -1.609 · it would have said "A"' in shown
    assert "<user>\n&lt;/conversation>?\n</user>" in shown and "<response_b>\n&lt;/response_b>\n</response_b>" in shown
    driver.execute_script("document.querySelector('button.quiet').click()")
    assert driver.find_elements("css selector", ".asked-in-full") == []


def test_curves_tell_their_values_by_key_pointer_and_table(opened):
    from selenium.webdriver.common.keys import Keys

    driver = opened("training")
    driver.execute_script("document.querySelector('#curves svg').focus()")
    press(driver, Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert "step 2" in text(driver, "#curves .legend") and f"held-out prompts {entry(2)['heldout_reward']:.3g}" in text(
        driver, "#curves .legend"
    )
    box = driver.find_element("css selector", "#curves svg").rect
    driver.execute_cdp_cmd(
        "Input.dispatchMouseEvent",
        {"type": "mouseMoved", "x": box["x"] + box["width"] - 12, "y": box["y"] + 60 - driver.execute_script("return scrollY")},
    )
    until(driver, "return document.querySelector('#curves .legend').textContent.includes('step 20')")
    driver.execute_script("document.querySelector('#curves details').open = true")
    until(driver, "return document.querySelector('#curves details td') !== null")
    cells = driver.execute_script(
        "return [...document.querySelectorAll('#curves details tbody tr')].map((row) => row.textContent)"
    )
    assert len(cells) == 21 and cells[20] == "201.952"
    marks = "return [...document.querySelector('#curves svg').querySelectorAll('.mark title')].map((node) => node.textContent)"
    assert driver.execute_script(marks) == [TRICKS, "the model is of step 14"]


def test_samples_mark_what_changed_between_steps(opened):
    driver = opened("training")
    marked = "[...item.querySelectorAll('del, ins')].map((node) => node.textContent.trim())"
    changed = driver.execute_script(f"return [...document.querySelectorAll('.steps li')].map((item) => {marked})")
    assert changed[0] == [] and changed[1] == ["0", "2"] and changed[-1] == ["18", "20"]
    choose = "const choice = document.querySelectorAll('#samples select')[1]; choice.value = 'first';"
    driver.execute_script(f"{choose} choice.dispatchEvent(new Event('change'))")
    assert [node.text.strip() for node in driver.find_elements("css selector", ".steps li:last-child del")] == ["0"]


@pytest.mark.parametrize("light", ["light", "dark"])
@pytest.mark.parametrize("name", ["label", "training", "labels", "trainings"])
def test_contrast_and_accessibility(opened, name, light):
    if not browsing.AXE.is_file():
        pytest.skip("axe-core is not in build/axe; make install-browser fetches it from the npm registry")
    driver = opened(name)
    browsing.scheme(driver, light)
    driver.execute_script("for (const node of document.querySelectorAll('details')) node.open = true")
    assert browsing.violations(driver) == []


@pytest.mark.parametrize("name", ["label", "training", "labels", "trainings"])
def test_a_phone_scrolls_in_one_direction_alone(opened, name):
    driver = opened(name)
    browsing.phone(driver)
    driver.execute_script("for (const node of document.querySelectorAll('details')) node.open = true")
    time.sleep(0.2)
    wide = driver.execute_script("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] == wide[1] == 375


def test_paper_has_the_pairs_and_no_controls(opened):
    driver = opened("label")
    driver.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    hidden = driver.execute_script(
        "return ['#filters', '#pairs', '#export'].map((name) => getComputedStyle(document.querySelector(name)).display)"
    )
    assert hidden == ["none"] * 3 and len(driver.find_elements("css selector", "#printed tr")) == 100
    assert f"{PAIRS - 100:,} more are not printed" in text(driver, "#printed")
    driver.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert text(driver, "#printed") == ""


def test_a_run_that_goes_on_is_followed_until_it_ends(driver, tmp_path):
    folder = write_training(tmp_path / "run", steps=4, status="running")
    browsing.forget(driver)
    with Watch(folder) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        driver.get(server.url)
        until(driver, "return document.querySelector('#curves svg') !== null")
        driver.execute_script("document.getElementById('more').open = true")
        with (folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(entry(5)) + "\n")
        until(driver, "return document.querySelector('#curves svg').getAttribute('aria-label').includes('to 0.45')")
        assert driver.execute_script("return document.getElementById('more').open")
        run = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**run, "status": "finished"}))
        until(driver, "return !document.body.dataset.live && document.querySelector('#curves svg') !== null")
        assert {url for url in browsing.requests(driver) if "favicon" not in url} == {server.url}
        assert [line for line in browsing.console(driver) if "favicon" not in line] == []
        driver.get("about:blank")
        server.shutdown()
