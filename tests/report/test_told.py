import pytest

from rlaif.report.curves import metrics_of
from rlaif.report.told import doubts, story
from tests.reference.fake_training import STEPS, entry

METRICS = metrics_of([entry(step) for step in range(STEPS + 1)])


def on_policy(*steps, **columns):
    """The metrics of a run, each column a list by step."""
    return metrics_of(
        [{"step": step, "kl": 0.1, **{name: values[at] for name, values in columns.items()}} for at, step in enumerate(steps)]
    )


def abouts(run, metrics, warnings=()):
    return [finding.about for finding in doubts(run, metrics, warnings)]


def test_what_happened_in_words():
    told = " ".join(story({"status": "finished", "steps": 20, "model_of_step": 14, "stopped": "it fell"}, METRICS))
    assert "The monitor ended the run at step 20: it fell." in told and "The model is the policy of step 14." in told
    assert "The reward on held-out prompts rose from 0.000 to 2.000." in told
    assert "fell from" not in told and "at its best, at step" in told  # the second judge
    assert "4 nats" in told and "25% went into sampling, 50% into waiting for rewards, 25% into learning" in told


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_a_run_that_has_not_ended_says_so(status):
    assert "continues it" in story({"status": status, "error": "why"}, {})[0]


def test_an_offline_run_in_words():
    metrics = metrics_of([{"step": 1, "loss": 0.7, "eval_loss": 0.6}, {"step": 2, "loss": 0.5, "eval_loss": 0.599}])
    assert story({}, metrics) == [
        "The loss on held-out rows fell from 0.600 to 0.599.",
        "The loss on training rows fell from 0.700 to 0.500.",
    ]
    assert story({}, metrics_of([{"step": 1, "loss": 0.7}])) == []


def test_a_policy_past_its_best_is_doubted_unless_it_was_stopped_there():
    assert "past its best" in abouts({}, METRICS)
    assert "past its best" not in abouts({"stopped": "past its best"}, METRICS)
    early = metrics_of([entry(step) for step in range(13)])
    assert "past its best" not in abouts({}, early)


def test_a_reward_that_rises_alone_is_gamed():
    metrics = on_policy(0, 1, heldout_reward=[0.0, 1.0], heldout_reward_std=[1.0, 1.0])
    second = {"heldout_second_reward": ([0, 1], [0.5, 0.5]), "heldout_second_reward_std": ([0, 1], [0.2, 0.2])}
    assert "reward is gamed" in abouts({}, {**metrics, **second})
    followed = {**second, "heldout_second_reward": ([0, 1], [0.5, 0.7])}
    assert "reward is gamed" not in abouts({}, {**metrics, **followed})
    assert abouts({}, metrics) == ["no second judge"]


@pytest.mark.parametrize(
    ("columns", "about"),
    [
        ({"length": [30.0, 60.0]}, "length"),
        ({"length": [30.0, 10.0]}, "length"),
        ({"ended": [1.0, 0.8]}, "cut"),
        ({"failed": [0.0, 0.2]}, "rewards missing"),
        ({"waiting": [0.6, 0.6]}, "waiting"),
        ({"monitor_distinct_2": [0.5, 0.2]}, "less diverse"),
    ],
)
def test_each_doubt_has_its_sign_and_is_not_raised_without_it(columns, about):
    assert abouts({}, on_policy(0, 1, **columns)) == [about]
    steady = {name: [values[0], values[0]] for name, values in columns.items()}
    assert about == "waiting" or abouts({}, on_policy(0, 1, **steady)) == []


def test_warnings_are_counted():
    (finding,) = doubts({}, on_policy(0, 1), [{"step": 1}, {"step": 2}])
    assert finding.text == "The monitor warned 2 times."


def test_rows_learnt_by_heart():
    metrics = metrics_of([{"step": step, "eval_loss": loss} for step, loss in enumerate([0.7, 0.5, 0.6])])
    (finding,) = doubts({}, metrics)
    assert finding.about == "learnt by heart" and "lowest at step 1 (0.5) and ended at 0.6" in finding.text
    assert abouts({}, metrics_of([{"step": step, "eval_loss": loss} for step, loss in enumerate([0.7, 0.6, 0.5])])) == []
    assert abouts({}, metrics_of([{"step": 1, "loss": 0.5}])) == ["no held-out rows"]
    assert abouts({}, {}) == []
