import asyncio
from statistics import fmean

import pytest

from rlaif.errors import RunFailed, UsageError
from rlaif.serve.forms import LlamaFactoryRequest, OpenRlhfRequest
from rlaif.serve.protocols import LOOK_BACK, Rewards


@pytest.fixture
def rewards(serve):
    def make(**settings):
        served = serve(**settings)
        made = Rewards(served.config, served.constitutions, served.metrics)
        first = served.constitutions.named(None)

        def ask(request):
            kind = made.openrlhf if isinstance(request, OpenRlhfRequest) else made.llama_factory
            return asyncio.run(kind(request, first))

        ask.served = served
        return ask

    return make


def openrlhf(*pairs, labels=None):
    """As OpenRLHF posts it: ``{"query": [...], "prompts": [...], "labels": [...]}``."""
    return OpenRlhfRequest(
        query=[prompt + response for prompt, response in pairs], prompts=[p for p, _ in pairs], labels=labels
    )


def test_openrlhf_gets_a_number_for_each_query_and_is_told_which_stand_for_nothing(rewards):
    answer = rewards()(openrlhf(("p1 ", "good"), ("p1 ", "bad"), ("p1 ", "mumble"), ("p2 ", "mumble")))
    good, bad, alike, other = answer.rewards
    assert (good, bad) == (1.0, 0.0) and alike == fmean((good, bad)) and other == fmean((good, bad))
    assert answer.scores == answer.rewards and answer.extra_logs == {"missing": [0.0, 0.0, 1.0, 1.0]}


def test_a_request_that_fails_as_a_whole_gets_the_last_rewards_mean_and_the_first_one_no_answer(rewards):
    ask = rewards()
    with pytest.raises(RunFailed, match="no missing value"):
        ask(openrlhf(("p", "mumble")))
    ask(openrlhf(("p", "good"), ("p", "bad")))
    answer = ask(openrlhf(("q", "mumble")))
    assert answer.rewards == [0.5] and answer.extra_logs == {"missing": [1.0]}
    assert ask.served.counted()['rlaif_rewards_missing_total{constitution="t"}'] == 2


def test_a_dead_critic_is_not_a_reward(rewards):
    ask = rewards(max_failure_rate=0.5)
    pairs = [(f"p{n} ", "mumble" if n % 5 else "good") for n in range(LOOK_BACK)]
    with pytest.raises(RunFailed, match="80% of the last 100 rewards have no verdict"):
        ask(openrlhf(*pairs))
    fine = ask(openrlhf(*((f"q{n} ", "good") for n in range(LOOK_BACK))))  # it comes back by itself
    assert fine.rewards == [1.0] * LOOK_BACK


def test_groups_are_compared_within_a_prompt(rewards):
    ask = rewards(feedback="group")
    answer = ask(openrlhf(("p ", "good"), ("r ", "bad"), ("p ", "bad"), ("r ", "worse")))
    assert answer.rewards == pytest.approx([0.85, 0.5, 0.15, 0.5])
    with pytest.raises(UsageError, match="send all of them in one request"):
        ask(openrlhf(("p ", "good")))


def test_llama_factory_sends_one_text_that_the_servers_settings_take_apart(rewards):
    turn = "<|im_start|>assistant\n"
    ask = rewards(response_start=turn, response_end="<|im_end|>")
    text = f"<|im_start|>user\nhello<|im_end|>\n{turn}"
    answer = ask(
        LlamaFactoryRequest(model="model", messages=[f"{text}good<|im_end|>", f"{text}bad<|im_end|>\n", text + "mumble"])
    )
    assert answer.scores == [1.0, 0.0, 0.5] and answer.missing == 1
    shown = [text for batch in ask.served.engine.batches for text in batch]
    assert all("bad<|im_end|>" not in text for text in shown)
    with pytest.raises(UsageError, match="text 1 does not hold"):
        ask(LlamaFactoryRequest(messages=["no template"]))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (OpenRlhfRequest(query=["pa"], prompts=["x"]), "does not begin with its prompt"),
        (OpenRlhfRequest(query=["pa"], prompts=["p", "p"]), "1 queries and 2 prompts"),
        (OpenRlhfRequest(query=["pa"], prompts=["p"], labels=[1, 2]), "1 queries and 2 labels"),
        (OpenRlhfRequest(query=["pa"]), "--response-start"),
    ],
)
def test_what_cannot_be_taken_apart_is_said(rewards, request_, words):
    with pytest.raises(UsageError, match=words):
        rewards()(request_)


def test_labels_are_the_column_answer(rewards, tmp_path):
    ask = rewards()
    (tmp_path / "t.yaml").write_text(
        "{name: t, version: 1, principles: [{id: kind, text: Kind.}, {id: exact, text: Exact., when: {answer: [42]}}]}"
    )
    ask.served.constitutions.reload()
    ask(openrlhf(("p ", "good"), ("q ", "good"), labels=[42, None]))
    assert sum("Exact." in text for batch in ask.served.engine.batches for text in batch) == 1
