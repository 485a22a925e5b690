"""The page in a real browser: answered by keyboard alone, hostile text inert, nothing else asked for."""

import json
import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

from rlaif.annotate.app import make_app
from tests import browsing
from tests.reference.fake_run import HOSTILE

pytestmark = pytest.mark.browser


@contextmanager
def served(session):
    """The page's address, while a server of this process answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(make_app(session, port, "secret"), log_level="error", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port}/#token=secret"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def driver():
    if why := browsing.missing():
        pytest.skip(why)
    with browsing.chromium() as found:
        yield found


@pytest.fixture
def page(session, driver):
    with served(session()) as address:
        browsing.console(driver)  # what the page before wrote
        browsing.requests(driver)
        driver.get(address)
        yield driver
        driver.get("about:blank")


def wait(driver, condition):
    """Until JavaScript's ``condition`` holds."""
    for _ in range(1000):
        if driver.execute_script(f"return Boolean({condition})"):
            return
        time.sleep(0.01)
    raise AssertionError(f"never: {condition}; the page reads {driver.find_element('tag name', 'body').text!r}")


def press(driver, key, done):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver).send_keys(key).perform()
    wait(driver, f"document.getElementById('progress').textContent.endsWith(': {done} of 12 answered')")


def saved(run):
    return [json.loads(line)["answer"] for line in (run / "annotations.jsonl").read_text().split("\n")[:-1]]


def test_all_pairs_are_answered_by_keyboard_alone(page, run):
    wait(page, "document.getElementById('question').textContent == 'Which response is better?'")
    for key, done in (("1", 1), ("2", 2), ("u", 1), ("t", 2), ("s", 3), ("T", 4)):
        press(page, key, done)
    assert saved(run) == ["response_1", "response_2", "undone", "tie", "skip", "tie"]
    for done in range(5, 13):
        press(page, "1", done)
    assert "All are answered" in page.find_element("id", "question").text
    press(page, "u", 11)
    assert len(saved(run)) == 15
    asked = {url.partition("#")[0].rpartition("/")[2] for url in browsing.requests(page)}
    assert asked <= {"", "page.js", "page.css", "state", "answer", "undo", "favicon.ico"}
    assert browsing.console(page) == []


def test_hostile_text_is_shown_and_does_nothing(page, session):
    """Every pair in turn: the hostile ones are among them."""
    shown = ""
    wait(page, "document.getElementById('progress').textContent")
    for done in range(12):
        wait(page, f"document.getElementById('progress').textContent.endsWith(': {done} of 12 answered')")
        shown += page.execute_script("return document.getElementById('pair').textContent")
        press(page, "s", done + 1)
    assert shown.count(HOSTILE) == 4 and page.title == "Which response is better?"
    assert page.execute_script("return document.querySelectorAll('img, #pair script').length") == 0


def test_it_says_so_when_an_answer_is_not_saved(page):
    wait(page, "document.getElementById('progress').textContent")
    page.execute_script("window.fetch = () => Promise.reject(new Error('gone'))")
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(page).send_keys("1").perform()
    wait(page, "document.getElementById('trouble').textContent.startsWith('Not saved')")
    assert "0 of 12" in page.find_element("id", "progress").text


@pytest.mark.skipif(not browsing.AXE.is_file(), reason="no axe-core here; make install-browser fetches it")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_anyone_can_read_it(page, scheme):
    browsing.scheme(page, scheme)
    wait(page, "document.getElementById('progress').textContent")
    assert browsing.violations(page) == []


def test_it_fits_a_phone(page):
    browsing.phone(page)
    wait(page, "document.getElementById('progress').textContent")
    assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
