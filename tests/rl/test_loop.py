import asyncio
import math
from dataclasses import replace

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from rlaif.errors import RunFailed
from rlaif.rl.collect import Collected
from rlaif.rl.experience import first_pass_sees
from rlaif.rl.figures import of_rewards
from rlaif.rl.maths.kl import AdaptiveKL
from rlaif.rl.rollout import Rewards


def take(loop):
    """The rollouts of its first step."""
    return asyncio.run(loop._ahead.take(0))


def weights(loop):
    found = dict(loop.parts.networks.policy.parameters())
    value = loop.parts.networks.value
    return {**found, **({f"value {name}": each for name, each in value.parameters().items()} if value else {})}


def gradients_of(loop, collected):
    """Learn once; the gradients are those of the last step of each optimiser."""
    found = {}

    def kept(adam, *_):
        found.update({id(value): value.grad.clone() for group in adam.param_groups for value in group["params"]})

    hook = register_optimizer_step_pre_hook(kept)
    figures = loop._learn(collected)
    hook.remove()
    assert all(value.grad is None for value in weights(loop).values())  # they take memory while others need it
    return {name: found[id(value)] for name, value in weights(loop).items()}, figures


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("ppo", {"value_warmup": 0, "normalise_rewards": True}),
        ("reinforce", {"value_warmup": 0}),
        ("rloo", {"normalise_rewards": True}),
        ("grpo", {}),
    ],
)
def test_a_failed_verdict_is_as_if_the_rollout_had_not_been(loop, made_up, method, options):
    """With 30% failures the gradient is that of the batch without those rows; a prompt's last sample goes with the other."""
    rollouts = made_up(20)
    failed = [1, 6, 7, 10, 15, 19]
    values = torch.tensor([float(len(one.ids)) for one in rollouts])
    poisoned = values.clone()
    poisoned[failed] = math.nan
    with_failures = Collected(rollouts, Rewards(poisoned, ~poisoned.isnan(), {}, {"refused": 6}), 0.0, 0.0)
    kept = [row for row in range(20) if row not in failed]
    if method in ("rloo", "grpo"):
        kept = [row for row in kept if row ^ 1 not in failed]
    without = Collected(
        [rollouts[row] for row in kept], Rewards(values[kept], torch.ones(len(kept), dtype=torch.bool), {}, {}), 0.0, 0.0
    )
    (found, figures), (expected, of_expected) = (
        gradients_of(loop(method, **options), each) for each in (with_failures, without)
    )
    assert found.keys() == expected.keys() and found
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-7, rtol=1e-6)
    assert figures["failed"] == pytest.approx(0.3) and figures["learned_from"] == pytest.approx(len(kept) / 20)
    for name in ("kl", "gradient_norm", "advantage_std", "policy_loss"):
        assert figures[name] == pytest.approx(of_expected[name], abs=1e-6)


def test_too_many_failures_stop_the_run_and_say_why(loop):
    async def failing(rollouts):
        values = torch.full((len(rollouts),), math.nan)
        values[::2] = 1.0
        return Rewards(values, ~values.isnan(), {}, {"parse_failed": len(rollouts) // 2})

    with pytest.raises(RunFailed, match=r"50%.*--max-failure-rate 20%.*parse_failed"):
        asyncio.run(loop(source=failing).run())
    tolerant = loop(source=failing, max_failure_rate=0.6)
    asyncio.run(tolerant.run())
    assert tolerant.step == 4 and tolerant.log.figures[4]["learned_from"] == 0.0  # rloo: no sample has another


def test_a_second_judge_without_an_answer_stops_the_run(loop):
    async def silent(rollouts):
        values = torch.full((len(rollouts),), math.nan)
        return Rewards(values, ~values.isnan(), {}, {"bad_row": len(rollouts)})

    with pytest.raises(RunFailed, match=r"100% of what the second judge was asked about the held-out prompts.*bad_row"):
        asyncio.run(loop(second=silent, held_out=4).run())


def test_engines_sleep_while_the_networks_work_and_wake_to_the_weights_of_now(loop):
    events = []

    class Engine:
        def sleep(self):
            events.append("sleep")

        def wake(self):
            events.append("wake")

    this = loop(steps=2, held_out=2, eval_every=2, sleepers=[Engine()])
    learn = this._learn
    this.parts.sampler.events = events
    this._learn = lambda collected: events.append("learn") or learn(collected)
    asyncio.run(this.run())
    looked, learnt = ["sleep", "wake", "update"], ["sleep", "learn", "wake", "update"]
    said = [event.split(" at")[0] for event in events]
    assert said == ["sample 0", *looked, "sample 1", *learnt, "sample 2", *learnt, "sample 0", *looked]


def test_schedules_reach_sampler_and_learner(loop):
    this = loop(steps=3, temperature=1.0, temperature_end=0.5)
    learn, seen = this.parts.learner.update, []

    def noted(experience, step, temperature, beta):
        seen.append(temperature)
        return learn(experience, step, temperature, beta)

    this.parts.learner.update = noted
    asyncio.run(this.run())
    assert [event.split()[-1] for event in this.parts.sampler.events if "sample" in event] == ["1", "0.75", "0.5"]
    assert seen == [1.0, 0.75, 0.5]


def test_the_kl_coefficient_is_steered_by_the_kl(loop):
    this = loop(coefficient=AdaptiveKL(0.1, target=1e-9))
    asyncio.run(this.run())
    betas = [this.log.figures[step]["beta"] for step in range(1, 5)]
    assert betas[0] == 0.1 and this.log.figures[1]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert this.parts.coefficient.beta != 0.1


def test_held_out_prompts_are_judged_before_at_intervals_and_at_the_end(loop):
    async def second(rollouts):
        values = torch.tensor([-float(len(one.ids)) for one in rollouts])
        return Rewards(values, torch.ones(len(values), dtype=torch.bool), {}, {})

    this = loop(held_out=3, second=second, steps=5, eval_every=2)
    asyncio.run(this.run())
    assert [step for step, _ in this.log.tables] == this.log.policies == [0, 2, 4, 5]
    assert all(table == [1, 1, 2, 2, 3, 3] for _, table in this.log.tables)
    for step, figures in this.log.figures.items():
        assert ("heldout_reward" in figures) == (step in (0, 2, 4, 5))
    assert this.log.figures[0]["heldout_second_reward"] == -this.log.figures[0]["heldout_reward"]
    asked = [event for event in this.parts.sampler.events if event == "sample 0 at 1"]
    assert len(asked) == 4  # the same luck each time


def test_what_the_monitor_says_is_done(loop, monkeypatch):
    from rlaif.rl.monitor.monitor import Report

    reports = iter([Report({"m": 1.0}), Report({}, warnings=("look",), beta_factor=3.0), Report({}, stop="enough"), Report({})])
    this = loop(beta=0.1)
    this.config = replace(this.config, dynamic_kl=True, second="gold", eval_prompts=1)
    monkeypatch.setattr(this.parts.monitor, "iteration", lambda *given: next(reports))
    asyncio.run(this.run())
    assert (this.step, this.stopped, this.log.warnings) == (3, "enough", ["look"])
    assert this.log.figures[1]["m"] == 1.0
    assert [this.log.figures[step]["beta"] for step in (1, 2, 3)] == pytest.approx([0.1, 0.1, 0.3])


def test_prompts_whose_samples_scored_alike_are_passed_over(loop):
    async def alike(rollouts):
        values = torch.tensor([1.0 if one.query.row.number < 5 else float(sum(one.ids)) for one in rollouts])
        return Rewards(values, torch.ones(len(values), dtype=torch.bool), {}, {})

    this = loop(source=alike, skip_alike=True, steps=2)
    asyncio.run(this.run())
    assert this.parts.prompts.state_dict()["alike"] == [1, 2, 3, 4]


def test_each_task_is_normalised_and_reported_on_its_own(loop, made_up):
    this = loop(normalise_rewards=True, clip_rewards=1.0)
    rollouts = [replace(one, query=replace(one.query, task="ab"[one.query.group % 2])) for one in made_up(8)]
    values = torch.tensor([0.0, 1.0, 100.0, 200.0, 2.0, 3.0, 300.0, 400.0])
    scaled = this._scaled(values, rollouts)
    whole = torch.tensor([-1.3416, -0.4472, -1.3416, -0.4472, 0.4472, 1.3416, 0.4472, 1.3416])
    torch.testing.assert_close(scaled, whole.clamp(-1, 1), atol=1e-3, rtol=0.0)
    figures = of_rewards(Rewards(values, values > -1, {}, {}), rollouts)
    assert figures["task/a"] == 1.5 and figures["task/b"] == 250.0


def test_prompts_whose_samples_scored_alike_are_replaced_by_others(loop):
    """The first prompts of each round are alike; as many groups as planned come back, and those of the last round stay."""
    seen = []

    async def source(rollouts):
        rounds = {one.query.group // 4 for one in rollouts}
        seen.extend(rollouts)
        alike = {0: (0, 1, 2), 1: (4,), 2: ()}
        values = [
            0.0 if one.query.group in alike[one.query.group // 4] else float(place % 2) for place, one in enumerate(rollouts)
        ]
        assert len(rounds) == 1
        return Rewards(torch.tensor(values), torch.ones(len(values), dtype=torch.bool), {}, {})

    def groups(refill):
        seen.clear()
        collected = take(loop(refill=refill, source=source))
        assert collected.rewards.values.tolist() == [
            0.0 if one.query.group in (0, 1, 2, 4) else float(place % 2) for place, one in enumerate(collected.rollouts)
        ]
        return sorted({one.query.group for one in collected.rollouts}), len({one.query.group for one in seen})

    assert groups(0) == ([0, 1, 2, 3], 4)
    assert groups(1) == ([3, 4, 5, 6], 7)  # group 4 is alike too, and there is no other round
    assert groups(2) == ([3, 5, 6, 8], 8)
    assert groups(9) == ([3, 5, 6, 8], 8)


def test_truncated_responses_are_as_if_they_had_no_reward(loop, made_up):
    rollouts = made_up(20)
    ended = torch.tensor([one.ended for one in rollouts])
    assert ended.any() and not ended.all()
    values = torch.tensor([float(len(one.ids)) for one in rollouts])
    everything = Rewards(values, torch.ones(20, dtype=torch.bool), {}, {})
    masked, _ = gradients_of(loop("grpo", batch_size=10, mask_truncated=True), Collected(rollouts, everything, 0.0, 0.0))
    missing = everything._replace(valid=ended)
    wanted, _ = gradients_of(loop("grpo", batch_size=10), Collected(rollouts, missing, 0.0, 0.0))
    whole, _ = gradients_of(loop("grpo", batch_size=10), Collected(rollouts, everything, 0.0, 0.0))
    assert masked.keys() == wanted.keys() and all(torch.equal(masked[name], wanted[name]) for name in wanted)
    assert any(not torch.equal(whole[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("grpo", {"epochs": 2, "micro_tokens": 30}),
        ("grpo", {"importance": "mask", "entropy": 0.01, "importance_band": (0.5, 2.0)}),
        ("rloo", {"beta": 0.0, "surrogate": "gspo", "epochs": 2}),
        ("ppo", {"kl_in": "loss", "kl": "k3", "value_warmup": 0, "epochs": 2}),
    ],
)
def test_the_first_pass_gives_the_log_probabilities_from_before_the_update(loop, made_up, monkeypatch, method, options):
    """The same step as with passes of their own for them, which are saved; the first ratio is exactly 1."""
    rollouts = made_up(8)
    values = torch.tensor([float(len(one.ids)) for one in rollouts])
    collected = Collected(rollouts, Rewards(values, torch.ones(8, dtype=torch.bool), {}, {}), 0.0, 0.0)

    def learn(seen):
        if not seen:
            monkeypatch.setattr("rlaif.rl.loop.first_pass_sees", lambda config, step: False)
        this, passes = loop(method, adam_eps=1e-2, **options), []
        policy = this.parts.networks.policy
        ask = policy.logprobs
        policy.logprobs = lambda batch, *given, **more: passes.append(len(batch.ended)) or ask(batch, *given, **more)
        figures = this._learn(collected)
        return {name: value.detach().clone() for name, value in weights(this).items()}, figures, sum(passes)

    (found, figures, passes), (wanted, expected, more) = learn(True), learn(False)
    assert more - passes == 8 and passes == 8 * options.get("epochs", 1)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=0.0)
    assert figures == pytest.approx(expected, abs=1e-5, rel=1e-4, nan_ok=True)
    if options.get("epochs", 1) == 1:
        assert figures["approx_kl"] == 0.0


@pytest.mark.parametrize(
    ("method", "options", "step", "sees"),
    [
        ("grpo", {}, 0, True),
        ("rloo", {}, 0, False),  # its KL is in the reward, and a baseline wants all rewards first
        ("rloo", {"beta": 0.0}, 0, True),
        ("grpo", {"minibatches": 2}, 0, False),  # the second would be asked after the first step
        ("grpo", {"top_entropy": 0.2}, 0, False),
        ("ppo", {"beta": 0.0, "value_warmup": 1}, 0, False),  # the policy has no pass while the value net learns alone
        ("ppo", {"beta": 0.0, "value_warmup": 1}, 1, True),
    ],
)
def test_when_the_first_pass_is_enough(configured, method, options, step, sees):
    assert first_pass_sees(configured(method, **options), step) is sees


def test_a_greedy_response_to_each_prompt_is_judged_and_one_that_failed_takes_its_samples_along(loop):
    asked = []

    async def source(rollouts):
        asked.append([one.query.group for one in rollouts])
        greedy = len(rollouts) == 1
        missing = [greedy and one.query.group == 2 for one in rollouts]
        values = torch.tensor([math.nan if gone else float(greedy) for gone in missing])
        return Rewards(values, ~values.isnan(), {}, {"refused": sum(missing)})

    this = loop("remax", source=source, steps=1, max_failure_rate=1.0)
    collected = take(this)
    assert [event.split()[-1] for event in this.parts.sampler.events] == ["1", "0"]  # temperatures
    assert sorted(group for groups in asked for group in groups) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    columns = collected.rewards.columns["greedy"]
    assert [one.query.group for one in collected.rollouts] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert collected.rewards.valid.tolist() == [True] * 4 + [False] * 2 + [True] * 2
    assert columns[collected.rewards.valid].tolist() == [1.0] * 6 and columns[4:6].isnan().all()
    figures = this._learn(collected)
    assert figures["learned_from"] == 0.75 and figures["advantage_std"] == pytest.approx(0.0, abs=1e-6)
