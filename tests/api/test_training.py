import asyncio

import pytest

import rlaif

ROWS = [
    {"prompt": f"How do I make {food}?", "chosen": "Gladly. Boil it.", "rejected": "No."} for food in ("tea", "soup", "rice")
]
SHORT = {"model": "lab:policy", "max_steps": 1, "batch_size": 3}


def test_it_trains_on_rows_in_memory_and_says_where_the_model_is(tmp_path):
    trained = rlaif.train("dpo", ROWS, out=tmp_path / "dpo", **SHORT)
    assert (trained.path / "model.safetensors").is_file()
    assert trained.run["status"] == "finished" and trained.run["method"] == "dpo"
    again = rlaif.train("dpo", ROWS, out=tmp_path / "dpo", **SHORT)
    assert again.path == trained.path and again.run["started"] == trained.run["started"]


def test_the_labels_of_one_call_are_the_rows_of_the_next_in_a_running_loop_too(tmp_path):
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.6, B: 0.2}}]")
    rows = [{"prompt": row["prompt"], "responses": [row["chosen"], row["rejected"]]} for row in ROWS]

    async def cell():
        labels = rlaif.label(rows, "lab", critic=f"script:{tmp_path / 's.yaml'}", store=tmp_path / "v.sqlite")
        return rlaif.train("sft", labels, out=tmp_path / "sft", **SHORT)

    assert (asyncio.run(cell()).path / "config.json").is_file()


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("dpoo", {}, r"'dpoo': expected one of sft, .*grpo.*did you mean dpo\?"),
        ("dpo", {"bta": 1.0}, "--bta: no such setting"),
        ("grpo", {"samples": 1}, "--samples 2 or more"),
    ],
)
def test_mistakes_are_those_of_the_command(method, settings, message, tmp_path):
    with pytest.raises(rlaif.UsageError, match=message):
        rlaif.train(method, ROWS, model="lab:policy", out=tmp_path / "run", **settings)
