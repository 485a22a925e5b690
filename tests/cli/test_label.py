"""What ``rlaif label`` says and how it exits, whatever it is given."""

import gzip
import json

import pytest

from tests.reference.report_page import Page

CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: kind, text: The response is kind.}\n"
GOOD = [{"prompt": "hi", "responses": ["a", "b"]}, {"prompt": "ho", "responses": ["c", "d"]}]


@pytest.fixture
def run(tmp_path, rlaif):
    """Run ``rlaif label`` on files made here; returns (exit code, stdout, stderr)."""
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.7, B: 0.2}}]")
    write(tmp_path / "rows.jsonl", GOOD)

    def call(*arguments, source="rows.jsonl", constitution="c.yaml", critic="script:s.yaml"):
        given = ["label", source, "--constitution", constitution, "--critic", critic, "--out", "run", *arguments]
        return rlaif(*given)

    return call


def write(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def failures(tmp_path):
    return [json.loads(line) for line in (tmp_path / "run" / "failures.jsonl").read_text().splitlines()]


def test_a_good_run_says_where_everything_is(run, tmp_path):
    code, out, _ = run("--export", "unpaired", "--export", "sft", "--export", "rankings")
    assert code == 0
    for name in ("preferences.jsonl", "failures.jsonl", "report.html"):
        assert f"run/{name}" in out
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {
        *(
            "run.json",
            "preferences.jsonl",
            "preferences.parquet",
            "failures.jsonl",
            "metrics.jsonl",
            "report.html",
            "README.md",
        ),
        *("unpaired.jsonl", "sft.jsonl", "rankings.jsonl", "sft.parquet"),
    }
    assert "2 rows in, 2 preferences out" in out


def test_the_written_dataset_is_read_by_the_datasets_library(run, tmp_path):
    from datasets import load_dataset

    assert run("--mode", "compare")[0] == 0
    whole = load_dataset(str(tmp_path / "run"), cache_dir=str(tmp_path / "cache"))["train"]
    lines = load_dataset("json", data_files=str(tmp_path / "run" / "preferences.jsonl"), cache_dir=str(tmp_path / "cache"))[
        "train"
    ]
    assert whole.num_rows == lines.num_rows == 2
    assert whole[0]["chosen"] == lines[0]["chosen"] == [{"role": "assistant", "content": "a"}]
    assert whole[1]["p_chosen"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("rows", "line", "says"),
    [
        ([GOOD[0], '{"prompt": "x", "responses": ["a"'], 2, "JSON"),
        ([GOOD[0], {"prompt": "x"}], 2, "no responses"),
        ([GOOD[0], {"responses": ["a", "b"]}], 2, "prompt"),
        ([GOOD[0], {"prompt": "x", "responses": ["a", 7]}], 2, "response 2"),
        ([GOOD[0], {"prompt": None, "responses": ["a", "b"]}], 2, "prompt"),
        ([GOOD[0], "[1, 2]"], 2, "object"),
    ],
)
def test_a_bad_row_is_listed_and_the_run_goes_on(run, tmp_path, rows, line, says):
    write(tmp_path / "rows.jsonl", [*rows, GOOD[1]])
    code, out, _ = run()
    assert code == 0 and "3 rows in, 2 preferences out" in out
    (failure,) = failures(tmp_path)
    assert failure["row"] == line and failure["reason"] == "bad_row" and says in failure["detail"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "rows.jsonl"),
        (b'{"question": "x", "answers": ["a"]}\n', "responses"),
        (b"{broken\n", "rows.jsonl"),
        (gzip.compress(b"", mtime=0)[:5], "rows.jsonl"),
        (b"\x00\xff\xfe binary", "rows.jsonl"),
    ],
)
def test_a_useless_source_is_named(run, tmp_path, content, says):
    (tmp_path / "rows.jsonl").write_bytes(content)
    code, _, err = run()
    assert code == 2 and says in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (CONSTITUTION + "agregate: worst\n", "c.yaml:5:1"),
        (CONSTITUTION + "  - {id: kind, text: Again.}\n", "kind"),
        ("name: [\n", "c.yaml:"),
        ("", "c.yaml"),
    ],
)
def test_a_bad_constitution_is_shown_where_it_is_bad(run, tmp_path, text, says):
    (tmp_path / "c.yaml").write_text(text)
    code, _, err = run()
    assert code == 2 and says in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"source": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"constitution": "nowhere.yaml"}, "nowhere.yaml"),
        ({"critic": "script:nowhere.yaml"}, "nowhere.yaml"),
        ({"critic": "lab:nobody"}, "lab:nobody"),
        ({"critic": "./nowhere"}, "./nowhere"),
        ({"critic": "no-such/model"}, "no-such/model"),
    ],
)
def test_what_is_not_there_is_named(run, arguments, says):
    code, _, err = run(**arguments)
    assert code == 2 and says in err and "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mode", "rate"],
        ["--pairs", "some"],
        ["--aggregate", "best"],
        ["--export", "csv"],
        ["--limit", "0"],
        ["--max-failure-rate", "2"],
        ["--prompts", "nowhere"],
        ["--store", "c.yaml"],
        ["--votes", "2"],
        ["--shots", "-1"],
        ["--canaries", "3"],
        ["--flag-that-does-not-exist"],
    ],
)
def test_bad_flags_are_usage_errors(run, arguments):
    code, _, err = run(*arguments)
    assert code == 2 and "Traceback" not in err
    assert any(word in err for word in (arguments[0], arguments[-1]))


def test_an_unreachable_server_is_a_failed_run(run):
    code, _, err = run(critic="http://127.0.0.1:9")
    assert code == 1 and "127.0.0.1:9" in err and "Traceback" not in err


def test_a_scale_whose_labels_share_a_token_is_refused_before_the_first_call(run, tmp_path):
    from rlaif.critic.templates import default_folder

    text = (default_folder() / "score.yaml").read_text()
    (tmp_path / "score.yaml").write_text(text.replace('"8", "9"]', '"8", "9", "9 plus"]'))
    code, _, err = run("--mode", "score", "--prompts", ".", critic="lab")
    assert code == 2 and "'9' and '9 plus'" in err and not (tmp_path / "runs" / "verdicts.sqlite").exists()


def test_a_failing_critic_is_a_failed_run_that_says_how_to_go_on(run, tmp_path):
    (tmp_path / "s.yaml").write_text("rules: [{fail: refused}]")
    code, _, err = run()
    assert code == 1 and "failures.jsonl" in err and "--max-failure-rate" in err
    assert {failure["reason"] for failure in failures(tmp_path)} == {"refused"}


def test_debug_shows_the_traceback(run):
    from rlaif.errors import UsageError

    with pytest.raises(UsageError):
        run("--debug", source="nowhere.jsonl")


def test_a_dry_run_shows_a_prompt_and_asks_nothing(run, tmp_path):
    code, out, _ = run("--dry-run")
    assert code == 0 and "The response is kind." in out and "4 to ask" in out
    assert not (tmp_path / "run").exists()


def test_passwords_in_urls_are_not_written_down(run, tmp_path):
    run(critic="http://user:secret@127.0.0.1:9")
    kept = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".sqlite"]
    assert not any("secret" in text for text in kept)


def test_several_critics_are_a_jury(run, tmp_path):
    (tmp_path / "t.yaml").write_text("rules: [{choose: {A: 0.5, B: 0.5}}]")
    code, out, _ = run("--critic", "script:t.yaml", "--orders", "ab")
    assert code == 0 and "jury unanimous: 0.0%" in out
    record = json.loads((tmp_path / "run" / "preferences.jsonl").read_text().splitlines()[0])
    assert record["principles"][0]["jury"] == [pytest.approx(7 / 9, abs=1e-6), 0.5]


def test_reasons_votes_and_clamps_are_flags(run, tmp_path):
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.7, B: 0.2}, generate: Because.}]")
    code, _, err = run("--reasons", "--votes", "2", "--clamp", ".4", ".6", "--orders", "ab")
    assert code == 0, err
    record = json.loads((tmp_path / "run" / "preferences.jsonl").read_text().splitlines()[0])
    assert record["p_chosen"] == 0.6 and record["rationale"].count("Because.") == 2
    page = Page((tmp_path / "run" / "report.html").read_text())
    ((_, reasons),) = page.text(page.blocks["rationale"][0] - 1)[0]
    assert reasons == record["rationale"]
