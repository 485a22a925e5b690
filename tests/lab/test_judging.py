"""Training samples are the real judge prompts, and packing principles together changes nothing."""

from __future__ import annotations

import math

import pytest
import torch

from rlaif.critic.templates import load_template
from rlaif.engines.tokens import PromptEncoder
from rlaif.lab import wordings
from rlaif.lab.judging import Fallibility, Judgements, compare_target, score_target
from rlaif.lab.training import branch_tensors, new_model


@pytest.fixture(scope="module")
def judgements(tokenizer):
    return Judgements(tokenizer)


def decoded_parts(text, tag):
    return text.split(f"<{tag}>\n")[1].split(f"\n</{tag}>")[0]


def test_prefix_and_branch_are_what_an_engine_sends(tokenizer, judgements):
    encoder, modes = PromptEncoder(tokenizer), set()
    for sample in judgements.samples(30, seed=2):
        modes.add(sample.mode)
        template = load_template(sample.mode)
        text = tokenizer.decode(sample.prefix)
        tags = ("response_a", "response_b") if sample.mode == "compare" else ("response",)
        conversation = [{"role": "user", "content": decoded_parts(text, "user")}]
        responses = [[{"role": "assistant", "content": decoded_parts(text, tag)}] for tag in tags]
        for branch in sample.branches:
            wording = tokenizer.decode(branch.ids).split("\n")[0]
            whole = encoder.encode(template.render(wording, conversation, responses))
            assert whole.ids == sample.prefix + branch.ids
        for end, tag in zip(sample.ends, tags, strict=True):
            assert tokenizer.decode(sample.prefix[end]).strip().startswith(f"</{tag}>")
    assert modes == {"compare", "score"}


def test_no_held_out_wording_is_trained_on(tokenizer, judgements):
    seen = {tokenizer.decode(branch.ids) for sample in judgements.samples(300, seed=3) for branch in sample.branches}
    for principle in wordings.PREDICATES:
        for text in wordings.texts(principle, "heldout"):
            assert not any(text in prompt for prompt in seen)


def test_packed_branches_answer_as_separate_prompts_do(tokenizer, judgements):
    model = new_model(tokenizer, width=64, layers=2, heads=2, seed=1).eval()
    samples = list(judgements.samples(4, seed=5))
    ids, positions, mask = branch_tensors(samples)
    with torch.no_grad():
        packed = model(input_ids=ids, position_ids=positions, attention_mask=mask).logits
        for row, sample in enumerate(samples):
            column = len(sample.prefix) - 1
            for branch in sample.branches:
                column += len(branch.ids)
                alone = model(input_ids=torch.tensor([sample.prefix + branch.ids])).logits[0, -1]
                torch.testing.assert_close(packed[row, column], alone, atol=2e-4, rtol=1e-4)


def test_samples_repeat(judgements):
    assert list(judgements.samples(10, seed=6)) == list(judgements.samples(10, seed=6))


@pytest.mark.parametrize("value", [0.0, 0.25, 0.4, 0.8, 1.0])
def test_score_target_has_the_right_mean(value):
    target = score_target(value)
    assert sum(target) == pytest.approx(1)
    assert sum(i * p for i, p in enumerate(target, 1)) == pytest.approx(1 + 8 * value)


def test_compare_target_is_symmetric_and_rises():
    assert compare_target(0) == (0.5, 0.5)
    assert compare_target(0.3) == pytest.approx(compare_target(-0.3)[::-1])
    assert compare_target(0.1)[0] < compare_target(0.2)[0] < 1


def test_fallible_targets_lean_to_the_first(judgements):
    good = list(judgements.samples(400, seed=7))
    plain = Fallibility(position=0.9, blunt=1.0, flips=0.0)
    bad = list(judgements.samples(400, seed=7, fallibility=plain))
    for before, after in zip(good, bad, strict=False):
        if before.mode == after.mode == "compare" and before.prefix == after.prefix:
            for one, two in zip(before.branches, after.branches, strict=False):
                if one.ids == two.ids and 0.01 < one.target[0] < 0.99:
                    shift = math.log(two.target[0] / two.target[1]) - math.log(one.target[0] / one.target[1])
                    assert shift == pytest.approx(0.9)
