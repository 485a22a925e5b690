"""Each tool's files, by the shape that its documentation gives, and by its own reader where the environment has it."""

import json
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from rlaif.data.read import read_rows
from rlaif.data.records import PreferenceRecord, PrincipleVerdict
from rlaif.data.rows import Turn
from rlaif.data.tools import TOOLS, remove_tool, write_tool
from tests.reference.fake_run import write_lines


def said(*contents):
    return tuple(Turn(role=("user", "assistant")[at % 2], content=content) for at, content in enumerate(contents))


def pair(row, chosen, rejected, *, first=True, prompt=None, p=0.8):
    """first: whether the better one stands first in the source."""
    principles = (PrincipleVerdict(id="kind", p=p), PrincipleVerdict(id="short", p=None, failure="refused"))
    return PreferenceRecord(
        id=f"{row}:0-1",
        row=row,
        prompt=prompt or said(f"q{row}"),
        chosen=chosen if isinstance(chosen, tuple) else (Turn(role="assistant", content=chosen),),
        rejected=(Turn(role="assistant", content=rejected),),
        chosen_index=0 if first else 1,
        rejected_index=1 if first else 0,
        p_chosen=p,
        principles=principles,
        critic="judge",
    )


PLAIN = [
    pair(1, "good", "bad"),
    pair(2, 'b<"&', "worse", first=False, prompt=(Turn(role="system", content="Be brief."), *said("a", "b", "c"))),
]
CALLS = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]}
ODD = [pair(3, (CALLS, {"role": "tool", "content": "4"}, *said("", "four")[1:]), "five")]


@pytest.fixture
def export(tmp_path):
    def write(name, records):
        write_lines(tmp_path / "preferences.jsonl", [record.to_dict() for record in records])
        write_tool(name, tmp_path)
        return tmp_path / "exports" / name

    return write


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["trl", "openrlhf"])
def test_trl_and_openrlhf_read_lists_of_messages(export, name):
    rows = lines(export(name, PLAIN + ODD) / "preferences.jsonl")
    assert [set(row) for row in rows] == [{"prompt", "chosen", "rejected"}] * 3
    assert rows[1]["prompt"][0] == {"role": "system", "content": "Be brief."} and rows[1]["chosen"][0]["content"] == 'b<"&'
    from trl.data_utils import is_conversational

    assert all(is_conversational(row) for row in rows)


def test_axolotl_reads_one_message_each(export, capsys):
    folder = export("axolotl", PLAIN + ODD)
    rows = lines(folder / "preferences.jsonl")
    assert rows[0] == {
        "messages": [{"role": "user", "content": "q1"}],
        "chosen": {"role": "assistant", "content": "good"},
        "rejected": {"role": "assistant", "content": "bad"},
    }
    assert len(rows) == 2 and "1 pairs are left out" in capsys.readouterr().err
    assert "type: chat_template.default" in (folder / "dataset.yaml").read_text()


def test_llama_factory_reads_its_ranking_file(export, capsys):
    folder = export("llama-factory", [*PLAIN, *ODD, pair(4, "x", "y", prompt=said("a", "b"))])
    rows = json.loads((folder / "preferences.json").read_text(encoding="utf-8"))
    about = json.loads((folder / "dataset_info.json").read_text())["rlaif"]
    assert about["ranking"] is True and about["formatting"] == "sharegpt" and (folder / about["file_name"]).is_file()
    assert set(about["columns"].values()) == set(rows[0])
    assert rows[1] == {
        "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}],
        "chosen": {"from": "gpt", "value": 'b<"&'},
        "rejected": {"from": "gpt", "value": "worse"},
        "system": "Be brief.",
    }
    assert len(rows) == 2 and "2 pairs are left out" in capsys.readouterr().err


def test_verl_reads_each_prompt_once_and_finds_it_in_extra_info(export):
    folder = export("verl", [PLAIN[0], PLAIN[0], *PLAIN[1:]])
    rows = pq.read_table(folder / "prompts.parquet").to_pylist()
    assert [row["prompt"][-1]["content"] for row in rows] == ["q1", "c"]
    for row in rows:
        assert set(row) == {"data_source", "prompt", "ability", "reward_model", "extra_info"}
        assert row["extra_info"]["prompt"] == row["prompt"] and set(row["reward_model"]) == {"style", "ground_truth"}


def answered(folder, name, answer):
    """The file that a tool exports where somebody gave ``answer`` to each question of each record."""
    if name == "argilla":
        records = json.loads((folder / "records.json").read_text(encoding="utf-8"))
        questions = json.loads((folder / "questions.json").read_text())["questions"]
        for record in records:
            record["responses"] = {name: [{"value": answer, "user_id": "u"}] for name in questions}
        return records
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    names = [each.get("name") for each in ElementTree.parse(folder / "config.xml").iter("Choices")]
    for number, task in enumerate(tasks, 1):
        results = [
            {"from_name": name, "to_name": "prompt", "type": "choices", "value": {"choices": [answer]}} for name in names
        ]
        task |= {
            "id": number,
            "annotations": [{"result": results, "was_cancelled": False}, {"result": [], "was_cancelled": True}],
        }
    return tasks


@pytest.mark.parametrize("name", ["argilla", "label-studio"])
def test_what_people_answer_comes_back_as_gold_of_the_responses_that_they_saw(export, name, tmp_path):
    folder = export(name, PLAIN)
    (tmp_path / "back.json").write_text(json.dumps(answered(folder, name, "response_2")), encoding="utf-8")
    rows = list(read_rows(str(tmp_path / "back.json")))
    assert [[turn["content"] for turn in row.conversation] for row in rows] == [["q1"], ["Be brief.", "a", "b", "c"]]
    texts = [[response.turns[0]["content"] for response in row.responses] for row in rows]
    assert texts == [["good", "bad"], ["worse", 'b<"&']]  # in the source's order, whichever is better
    for row in rows:
        assert row.preferred == 1
        assert row.responses[1].gold == {"overall": 1.0, "kind": 1.0, "short": 1.0}
        assert not row.extra.keys() & {"suggestions", "predictions", "responses", "annotations"}


def test_argilla_gets_a_suggestion_by_each_principle_that_has_a_verdict(export):
    folder = export("argilla", [*PLAIN, pair(5, "x", "y", p=0.5)])
    first, second, even = json.loads((folder / "records.json").read_text(encoding="utf-8"))
    assert set(first) == {"id", "fields", "metadata", "suggestions", "responses", "vectors"}
    assert first["suggestions"] == {
        "overall": {"value": "response_1", "score": 0.8, "agent": "judge"},
        "kind": {"value": "response_1", "score": 0.8, "agent": "judge"},
    }
    assert second["suggestions"]["kind"]["value"] == "response_2" and even["suggestions"]["kind"]["value"] == "tie"
    assert json.loads((folder / "questions.json").read_text())["questions"] == ["overall", "kind", "short"]


def test_label_studio_gets_predictions_that_its_configuration_knows(export):
    folder = export("label-studio", PLAIN)
    shown = ElementTree.parse(folder / "config.xml").getroot()
    names = {each.get("name"): each.get("toName") for each in shown.iter("Choices")}
    values = {each.get("value") for each in shown.iter("Choice")}
    assert list(names) == ["overall", "kind", "short"]
    for task in json.loads((folder / "tasks.json").read_text(encoding="utf-8")):
        assert {each.get("value", "$")[1:] for tag in ("Text", "Paragraphs") for each in shown.iter(tag)} <= task["data"].keys()
        for result in task["predictions"][0]["result"]:
            assert names[result["from_name"]] == result["to_name"] and result["type"] == "choices"
            assert set(result["value"]["choices"]) <= values


def test_what_is_not_wanted_any_more_goes(export, tmp_path):
    for name in TOOLS:
        export(name, PLAIN)
    for name in TOOLS:
        assert (tmp_path / "exports" / name).is_dir()
        remove_tool(name, tmp_path)
    assert not (tmp_path / "exports").exists()
