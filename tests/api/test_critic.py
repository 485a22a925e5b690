import asyncio
import pickle
import threading

import pytest

import rlaif
from rlaif.critic.verdict import Comparison, Failure

CONSTITUTION = """
name: t
version: 1
principles:
  - {id: kind, text: The response is kind., weight: 3}
  - {id: short, text: The response is short.}
  - {id: safe, text: The response is safe., when: {tags: [risky]}}
"""
# "good" is kinder than anything, and what stands first is favoured by .1; no one knows which of two is short.
PAIRS = """
rules:
  - {when: "(?s)mumble.*is kind", fail: refused}
  - {when: "is short", fail: refused}
  - {when: "is safe", choose: {A: 0.5, B: 0.5}}
  - {when: "(?s)<response_a>.{0,3}good", choose: {A: 0.9, B: 0.1}}
  - {when: "(?s)<response_b>.{0,3}good", choose: {A: 0.3, B: 0.7}}
  - {choose: {A: 0.6, B: 0.4}}
"""
SCORES = """
rules:
  - {when: "mumble", fail: refused}
  - {when: "(?s)good.*is kind", choose: {"9": 0.8}}
  - {when: "is kind", choose: {"1": 0.5}}
  - {when: "is short", choose: {"5": 0.5}}
"""


@pytest.fixture
def make(tmp_path):
    made = []

    def critic(script, **settings):
        (tmp_path / "c.yaml").write_text(CONSTITUTION)
        (tmp_path / "s.yaml").write_text(script)
        settings = {"store": tmp_path / "v.sqlite", **settings}
        made.append(rlaif.Critic(tmp_path / "c.yaml", f"script:{tmp_path / 's.yaml'}", **settings))
        return made[-1]

    yield critic
    for each in made:
        each.close()


def test_a_comparison_says_what_each_principle_says_and_why_one_is_silent(make):
    verdict = make(PAIRS).compare("hi", "good", "bad")
    assert verdict.p == pytest.approx(0.8)  # the mean of both orders, by the only principle with a verdict
    assert isinstance(verdict.principles["kind"], Comparison) and verdict.principles["kind"].gap == pytest.approx(0.2)
    assert isinstance(verdict.principles["short"], Failure) and verdict.principles["short"].reason == "refused"
    assert "safe" not in verdict.principles
    assert "safe" in make(PAIRS).compare("hi", "good", "bad", {"tags": "risky"}).principles


def test_swapped_responses_mirror_and_failures_are_no_numbers(make):
    critic = make(PAIRS)
    assert critic.compare("hi", "bad", "good").p == pytest.approx(1 - critic.compare("hi", "good", "bad").p)
    assert critic.compare("hi", "mumble", "good").p is None
    assert critic.rank("hi", ["mumble", "mumble more"]).order == ()


def test_many_at_once_are_what_each_is_alone_and_in_their_order(make):
    critic = make(PAIRS)
    prompts, a, b = ["p", "q", "r"], ["good", "bad", "same"], ["bad", "good", "same"]
    together = critic.compare(prompts, a, b)
    assert together == [critic.compare(*each) for each in zip(prompts, a, b, strict=True)]
    assert together[2].p == 0.5
    assert critic.compare([], [], []) == []


def test_scores_and_the_order_that_they_give(make):
    critic = make(SCORES, mode="score")
    assert critic.score("hi", "good").score == pytest.approx((3 * 1.0 + 0.0) / 4)
    assert critic.score("hi", "mumble").score is None
    order = critic.rank("hi", ["bad", "mumble", "good"])
    assert order.order == (2, 0) and order.values[1] is None
    assert order.values[2] == pytest.approx(critic.score("hi", "good").score)
    assert critic.compare("hi", "good", "bad").p > 0.5


def test_a_ranking_by_comparisons_is_of_mean_wins(make):
    order = make(PAIRS).rank("hi", ["bad", "good", "mumble", "worse"])
    assert order.order[0] == 1
    assert order.values[2] is None and 2 not in order.order
    assert order.values[0] == pytest.approx((order.pairs[0, 3].p + order.pairs[0, 1].p) / 2)
    assert order.values[3] == pytest.approx((2 - order.pairs[0, 3].p - order.pairs[1, 3].p) / 2)
    assert len(order.pairs) == 6


def test_messages_are_prompts_and_responses_too(make):
    critic = make(PAIRS)
    asked = [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]
    alone = critic.compare(asked, [{"role": "assistant", "content": "good"}], "bad")
    assert critic.compare([asked], ["good"], ["bad"]) == [alone]


def test_it_works_in_a_running_loop_in_threads_pickled_and_after_close(make):
    critic = make(PAIRS)
    expected = critic.compare("hi", "good", "bad")

    async def cell():
        return critic.compare("hi", "good", "bad"), await critic.acompare("hi", "good", "bad")

    assert asyncio.run(cell()) == (expected, expected)
    results = []
    threads = [threading.Thread(target=lambda: results.append(critic.compare("hi", "good", "bad"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4
    with pickle.loads(pickle.dumps(critic)) as copy:
        assert copy.compare("hi", "good", "bad") == expected
    critic.close()
    critic.close()
    assert critic.compare("hi", "good", "bad") == expected


def test_it_shares_the_store_with_labelling(make, tmp_path):
    rows = [{"prompt": "hi", "responses": ["good", "bad"]}]
    given = {"critic": f"script:{tmp_path / 's.yaml'}", "store": tmp_path / "v.sqlite", "max_failure_rate": 1.0}
    verdict = make(PAIRS).compare("hi", "good", "bad")
    labelled = rlaif.label(rows, tmp_path / "c.yaml", **given)
    assert labelled.run["counts"]["asked"] == 0
    assert labelled["p_chosen"] == [pytest.approx(verdict.p)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda critic: critic.compare("hi", "a", 3), "prompt 1: response 2"),
        (lambda critic: critic.compare(["a", "b"], ["a"], ["b"]), "2 prompts: give as many responses"),
        (lambda critic: critic.compare(["a", "b"], "xy", "yz"), "2 prompts: give as many responses"),
        (lambda critic: critic.rank("hi", ["a"]), "prompt 1: the row has one response"),
        (lambda critic: critic.compare(["hi"], ["a"], ["b"], [{}, {}]), "columns of 2"),
    ],
)
def test_what_cannot_be_asked_is_said(call, message, make):
    with pytest.raises(rlaif.UsageError, match=message):
        call(make(PAIRS))


def test_settings_are_checked_when_it_is_made(make):
    with pytest.raises(rlaif.UsageError, match="--votez: no such setting"):
        make(PAIRS, votez=2)
    with pytest.raises(rlaif.UsageError, match="--max-failure-rate: no such setting"):
        make(PAIRS, max_failure_rate=1.0)
