"""A trained reward model scores as it did in training, in one scale, and says nothing where it cannot."""

from __future__ import annotations

import math
import statistics
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rlaif.errors import UsageError
from rlaif.train.items import Tokens
from rlaif.train.predict import RewardModel, combine, raw_scores
from tests.tiny import save_model

SCORES = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=6)


def asked(text):
    return ({"role": "user", "content": text},)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three random heads on a random model, with a normalisation of its own."""
    path = save_model(tmp_path_factory.mktemp("reward"))
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=3)
    model.config.rlaif_reward = {"context": 96, "mean": [0.5, -1.0, 0.0], "std": [2.0, 0.5, 1.0]}
    model.save_pretrained(path)
    return path


def by_hand(folder, prompt, response):
    """[M]: one row alone, in the chat template's own rendering."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    text = tokenizer.apply_chat_template(turns, tokenize=False).removesuffix("\n")
    with torch.no_grad():
        raw = model(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits[0]
    return (raw - torch.tensor([0.5, -1.0, 0.0])) / torch.tensor([2.0, 0.5, 1.0])


@given(SCORES, st.floats(0, 3))
def test_combining_is_the_papers_arithmetic(scores, penalty):
    row = torch.tensor([scores], dtype=torch.float64)
    near = {"rel": 1e-9, "abs": 1e-9}
    assert combine(row, "mean").item() == pytest.approx(statistics.fmean(scores), **near)
    assert combine(row, "worst").item() == min(scores)
    wanted = statistics.fmean(scores) - penalty * statistics.pvariance(scores)
    assert combine(row, "uncertainty", penalty).item() == pytest.approx(wanted, **near)


@pytest.mark.parametrize("prediction", ["mean", "worst", "uncertainty"])
def test_a_missing_member_makes_no_score_up(prediction):
    found = combine(torch.tensor([[1.0, math.nan], [1.0, 2.0]]), prediction)
    assert found.isnan().tolist() == [True, False]


def test_each_row_scores_as_it_does_alone_whatever_it_is_scored_with(folder):
    prompts = ["hi", "What is the longest word that you know?", "1 2 3", "hello world"]
    responses = ["hello", "1", "A much longer answer, 4 5 6 7 8 9.", "B"]
    found = RewardModel(str(folder)).members([asked(prompt) for prompt in prompts], responses)
    for row, prompt, response in zip(found, prompts, responses, strict=True):
        assert torch.allclose(row, by_hand(folder, prompt, response), atol=1e-4)


def test_scores_are_the_members_combined(folder):
    rows = [asked("hi"), asked("hello world")], ["1 2 3", "world"]
    members = RewardModel(str(folder)).members(*rows)
    assert torch.equal(RewardModel(str(folder)).scores(*rows), members.mean(-1))
    assert torch.equal(RewardModel(str(folder), "worst").scores(*rows), members.min(-1).values)
    cautious = RewardModel(str(folder), "uncertainty", penalty=2.0).scores(*rows)
    assert torch.equal(cautious, combine(members, "uncertainty", 2.0))


def test_no_rows_have_no_scores(folder):
    assert RewardModel(str(folder)).scores([], []).shape == (0,)


def test_a_prompt_that_fills_the_context_has_no_score_and_spoils_no_other(folder):
    model = RewardModel(str(folder))
    turns = tuple({"role": "user", "content": str(number)} for number in range(40))
    found = model.scores([asked("hi"), turns], ["hello", "hello"])
    assert found.isnan().tolist() == [False, True]
    assert found[0] == pytest.approx(model.scores([asked("hi")], ["hello"]).item(), abs=1e-5)


def test_a_long_response_is_cut_to_the_context_that_the_model_was_trained_in(folder):
    """Two responses that part ways beyond 96 tokens are one, though the model itself has 512 positions."""
    long = "1 2 3 4 5 6 7 8 9 " * 12
    one, other, short = RewardModel(str(folder)).scores([asked("hi")] * 3, [long + "hello", long + "world", "1 2 3"])
    assert one == other != short


def test_a_response_needs_something_to_answer(folder):
    with pytest.raises(ValueError, match="conversation"):
        RewardModel(str(folder)).scores([()], ["hello"])


def test_a_model_without_a_head_is_refused(tmp_path):
    with pytest.raises(UsageError, match="not a reward model"):
        RewardModel(str(save_model(tmp_path)))


def test_a_way_to_predict_that_there_is_not_is_refused(folder):
    with pytest.raises(UsageError, match="median"):
        RewardModel(str(folder), "median")


def test_another_programs_reward_model_is_left_in_its_own_scale(tmp_path):
    path = save_model(tmp_path)
    AutoModelForSequenceClassification.from_pretrained(path, num_labels=1).save_pretrained(path)
    model = RewardModel(str(path))
    turns = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>"
    ids = AutoTokenizer.from_pretrained(path)(turns, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        raw = model.model(input_ids=torch.tensor([ids])).logits
    assert torch.allclose(model.members([asked("hi")], ["hello"]), raw, atol=1e-5)


def test_raw_scores_leave_the_model_in_the_mode_that_it_was_in():
    class Model(torch.nn.Linear):
        def forward(self, input_ids, attention_mask):
            assert not self.training
            return SimpleNamespace(logits=input_ids[:, :1].float())

    model = Model(1, 1).train()
    assert raw_scores(model, [Tokens([7], 0), Tokens([5, 5], 0), Tokens([6, 6, 6], 0)], 0).tolist() == [[7], [5], [6]]
    assert model.training
