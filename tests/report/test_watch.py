import json
from threading import Thread

import httpx
import pytest

from rlaif.errors import UsageError
from rlaif.report.watch import Watch
from tests.reference.fake_training import entry, write_training
from tests.reference.report_page import Page


@pytest.fixture
def folder(tmp_path):
    return write_training(tmp_path / "run", steps=4, status="running")


@pytest.fixture
def server(folder):
    with Watch(folder) as watch:
        Thread(target=watch.serve_forever, daemon=True).start()
        yield watch
        watch.shutdown()


def test_the_page_follows_the_run_and_is_sent_only_where_it_has_changed(server, folder):
    first = httpx.get(server.url)
    tag = {"If-None-Match": first.headers["ETag"]}
    assert first.status_code == 200 and httpx.get(server.url, headers=tag).status_code == 304
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(entry(5)) + "\n")
    second = httpx.get(server.url, headers=tag)
    assert second.status_code == 200 and second.headers["ETag"] != tag["If-None-Match"]
    steps = [Page(answer.text).blocks["training"]["panels"][0]["series"][0]["x"][-1] for answer in (first, second)]
    assert steps == [4, 5] and 'data-live="1"' in second.text


def test_a_run_that_has_ended_is_no_longer_live(server, folder):
    assert 'data-live="1"' in httpx.get(server.url).text
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "status": "finished"}))
    assert 'data-live="1"' not in httpx.get(server.url).text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil:{port}", ""]
)
def test_only_requests_that_name_this_machine_are_answered(server, host):
    answer = httpx.get(server.url, headers={"Host": host.format(port=server.server_port)})
    assert answer.status_code == 403 and "<html" not in answer.text


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_both_names_of_this_machine_are_known(server, name):
    assert httpx.get(server.url, headers={"Host": f"{name}:{server.server_port}"}).status_code == 200


@pytest.mark.parametrize("path", ["run.json", "../run.json", "samples.jsonl", "%2e%2e/etc/passwd", "x?y"])
def test_no_file_is_served(server, path):
    assert httpx.get(server.url + path).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(server, method):
    assert httpx.request(method, server.url, content=b"x").status_code == 501


def test_it_listens_on_this_machine_alone_and_may_not_be_framed(server):
    assert server.server_address[0] == "127.0.0.1"
    answer = httpx.head(server.url)
    assert answer.headers["X-Frame-Options"] == "DENY" and answer.headers["Cache-Control"] == "no-store" and not answer.content
    assert (
        answer.headers["Cross-Origin-Resource-Policy"] == "same-origin" and "Access-Control-Allow-Origin" not in answer.headers
    )


def test_a_run_that_is_being_replaced_is_told_to_wait_for(server, folder):
    (folder / "run.json").write_text("{")
    answer = httpx.get(server.url)
    assert answer.status_code == 503 and "cannot be read" in answer.text


def test_no_run_and_a_taken_port_are_usage_errors(tmp_path, server, folder):
    with pytest.raises(UsageError, match="not a run folder"):
        Watch(tmp_path / "none")
    with pytest.raises(UsageError, match="give another --port"):
        Watch(folder, server.server_port)
