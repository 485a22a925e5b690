import math
from dataclasses import replace

import pytest
import torch

from rlaif.errors import RunFailed
from rlaif.rl.batch import collate
from rlaif.rl.experience import estimate, look
from rlaif.rl.update import Learner, token_shares


@pytest.fixture
def stepped(configured, networks, made_up):
    """The weights after one update from the same experience, and what was watched."""

    def call(method, rollouts=None, scores=None, ptx=None, **given):
        config = configured(method, kl_target=None, **{"value_warmup": 0, **given} if method in ("ppo", "reinforce") else given)
        found = networks(config)
        rollouts = rollouts or made_up()
        batch = collate(rollouts, 0)
        views = look(found, batch, 1.0, 10_000)
        scores = torch.linspace(-1, 1, len(rollouts)).sin() if scores is None else scores
        experience = estimate(config, batch, views, scores, 0.05)
        figures = Learner(config, found, ptx).update(experience, 0, 1.0, 0.05)
        weights = dict(found.policy.parameters())
        if found.value:
            weights |= {f"value {name}": value for name, value in found.value.parameters().items()}
        return {name: value.detach() for name, value in weights.items()}, figures

    return call


@pytest.mark.parametrize("normalise", ["tokens", "sequences", "constant"])
@pytest.mark.parametrize(
    ("method", "options"), [("ppo", {"entropy": 0.01, "minibatches": 2}), ("grpo", {}), ("rloo", {"lora": 4})]
)
def test_any_micro_batch_gives_the_same_step(stepped, method, options, normalise):
    """Micro-batches hold unequal numbers of tokens, so a mean over each would weigh their tokens unequally.

    Plain gradients are compared through a large ε: Adam alone would scale the difference of two zeros to a step.
    """
    options |= {"normalise": normalise, "epochs": 2, "adam_eps": 1e-2}
    whole, of_whole = stepped(method, micro_tokens=10_000, **options)
    for micro_tokens in (1, 40):
        parts, of_parts = stepped(method, micro_tokens=micro_tokens, **options)
        for name, value in whole.items():
            torch.testing.assert_close(parts[name], value, atol=1e-6, rtol=0.0)
        assert of_parts == pytest.approx(of_whole, abs=1e-5, rel=1e-5)


def test_micro_batches_do_matter_to_a_mean_over_each(stepped, made_up, monkeypatch):
    """The test above can fail: with shares of the micro-batch in place of the minibatch's it does."""
    from rlaif.rl import update

    whole, _ = stepped("grpo", micro_tokens=10_000, adam_eps=1e-2)
    monkeypatch.setattr(update, "token_shares", lambda mask, normalise, longest: mask / mask.sum(-1, keepdim=True))
    parts, _ = stepped("grpo", micro_tokens=40, adam_eps=1e-2)
    assert any((parts[name] - value).abs().max() > 1e-5 for name, value in whole.items())


def test_shares_of_tokens():
    mask = torch.tensor([[True, True, True], [True, False, False]])
    assert token_shares(mask, "tokens", 5).tolist() == [[0.25, 0.25, 0.25], [0.25, 0.0, 0.0]]
    torch.testing.assert_close(token_shares(mask, "sequences", 5), torch.tensor([[1 / 6, 1 / 6, 1 / 6], [0.5, 0.0, 0.0]]))
    torch.testing.assert_close(token_shares(mask, "constant", 5), mask / 10)


def test_reinforce_is_the_gradient_of_the_rewarded_likelihood(stepped, configured, networks, made_up):
    """On the policy's own samples one epoch's gradient is that of −mean A log π, by a loop over tokens."""
    rollouts = made_up()
    scores = torch.tensor([1.0, 0.0, 0.2, 0.9, -1.0, 1.0, 0.3, 0.1])
    config = configured("rloo", beta=0.0, importance_cap=0.0)
    policy = networks(config).policy
    tokens = sum(len(one.ids) for one in rollouts)
    loss = torch.zeros(())
    for row, one in enumerate(rollouts):
        logits = policy.model(torch.tensor([[*one.query.ids, *one.ids]])).logits[0].log_softmax(-1)
        advantage = scores[row] - scores[row ^ 1]
        for place, token in enumerate(one.ids):
            loss = loss - advantage * logits[len(one.query.ids) + place - 1, token] / tokens
    loss.backward()
    norm = torch.nn.utils.get_total_norm([value.grad for value in policy.model.parameters()])
    _, figures = stepped("rloo", rollouts, scores, beta=0.0, importance_cap=0.0)
    assert figures["gradient_norm"] == pytest.approx(norm.item(), rel=1e-4)
    assert figures["approx_kl"] == pytest.approx(0.0, abs=1e-10) and figures["clip_fraction"] == 0.0


def test_the_value_net_learns_alone_at_first(stepped):
    before = stepped("ppo", learning_rate=1e-30, value_rate=1e-30)[0]
    weights, figures = stepped("ppo", value_warmup=1)
    moved = {name for name, value in weights.items() if not torch.allclose(value, before[name], atol=1e-12)}
    assert moved and all(name.startswith("value ") for name in moved)
    assert "policy_loss" not in figures and figures["value_loss"] > 0


def test_learning_rates_are_separate(stepped):
    before = stepped("ppo", learning_rate=1e-30, value_rate=1e-30)[0]
    weights, _ = stepped("ppo", learning_rate=1e-30, value_rate=1e-2)
    moved = {name for name, value in weights.items() if not torch.allclose(value, before[name], atol=1e-12)}
    assert moved and all(name.startswith("value ") for name in moved)


def test_an_iteration_ends_when_the_policy_has_gone_too_far(stepped):
    everything = {"epochs": 6, "learning_rate": 3e-2, "clip": 100.0}
    _, free = stepped("rloo", **everything)
    _, held = stepped("rloo", target_kl=1e-4, **everything)
    _, loose = stepped("rloo", target_kl=1e9, **everything)
    assert free["minibatches"] == loose["minibatches"] == 6
    assert held["minibatches"] == 1  # the first step is taken at a distance of 0, the second not


def test_supervised_rows_count_by_their_weight(stepped, made_up):
    rows = collate(made_up(4, seed=5), 0)
    seen = []

    def draw(number):
        seen.append(number)
        return rows

    without, _ = stepped("rloo", epochs=2)
    weightless, _ = stepped("rloo", ptx=draw, ptx_weight=0.0, epochs=2)
    weighed, figures = stepped("rloo", ptx=draw, ptx_weight=5.0, epochs=2)
    assert all(torch.equal(value, without[name]) for name, value in weightless.items())
    assert any(not torch.equal(value, without[name]) for name, value in weighed.items())
    assert figures["ptx_loss"] == pytest.approx(math.log(300), rel=0.1)  # a random model's
    assert seen == [0, 1, 0, 1]


@pytest.mark.parametrize("options", [{"entropy": 1.0}, {"beta": 0.5}, {"clip_high": 0.5}, {"importance_cap": 1.0}])
def test_each_setting_changes_the_step(stepped, options):
    base = {"epochs": 3, "learning_rate": 1e-2, "kl_in": "loss", "kl": "k3"}
    plain, _ = stepped("grpo", **base)
    other, _ = stepped("grpo", **base, **options)
    same = all(torch.equal(value, plain[name]) for name, value in other.items())
    assert same == ("beta" in options)  # β comes from the controller


def test_a_gradient_that_is_not_finite_ends_the_run_before_the_step(stepped):
    with pytest.raises(RunFailed, match="policy is not finite"):
        stepped("rloo", scores=torch.tensor([math.inf, *[0.0] * 7]))


def test_a_policy_farther_from_the_sampler_weighs_its_tokens_less(configured, networks, made_up):
    config = configured("rloo")
    found, rollouts = networks(config), made_up()
    batch = collate(rollouts, 0)
    views = look(found, batch, 1.0, 10_000)
    own = collate([replace(one, logprobs=tuple(row)) for one, row in zip(rollouts, _rows(views.logp, batch), strict=True)], 0)
    scores = torch.arange(8.0)
    assert torch.equal(estimate(config, own, views, scores, 0.0).weights[batch.mask], torch.ones(int(batch.mask.sum())))
    doubted = own._replace(sampled=own.sampled + math.log(4))
    weights = estimate(config, doubted, views, scores, 0.0).weights
    torch.testing.assert_close(weights[batch.mask], torch.full((int(batch.mask.sum()),), 0.25))
    eager = own._replace(sampled=own.sampled - 5)
    assert estimate(config, eager, views, scores, 0.0).weights.max() == config.importance_cap


def _rows(values, batch):
    return [row[mask].tolist() for row, mask in zip(values, batch.mask, strict=True)]


@pytest.mark.parametrize(("goal", "options"), [("entropy", {"entropy": 1.0}), ("kl", {"kl_in": "loss", "kl": "k2"})])
def test_without_rewards_the_policy_goes_where_the_other_terms_pull(configured, networks, made_up, goal, options):
    """Entropy up, or back to the reference."""
    config = configured("rloo", epochs=8, learning_rate=1e-3, clip=100.0, **options)
    found = networks(config)
    with torch.no_grad():
        for value in found.policy.parameters().values():
            value.add_(0.02 * torch.randn(value.shape, generator=torch.Generator().manual_seed(2)))
    batch = collate(made_up(), 0)

    def measure():
        views = look(found, batch, 1.0, 10_000)
        apart = ((views.logp - views.reference)[batch.mask] ** 2).mean().item()
        return views, views.entropy[batch.mask].mean().item() if goal == "entropy" else -apart

    views, before = measure()
    experience = estimate(config, batch, views, torch.zeros(8), 0.0)
    Learner(config, found).update(experience, 0, 1.0, 0.5)
    assert measure()[1] > before


TODAY = [
    {"surrogate": "gspo", "clip": 3e-4, "clip_high": 4e-4, "normalise": "sequences"},
    {"surrogate": "cispo", "clip_high": 5.0},
    {"surrogate": "sapo"},
    {"dual_clip": 3.0, "off_policy": 0.1},
    {"kl_weighted": True},
    {"importance": "mask", "importance_cap": 5.0},
    {"importance": "sequence", "importance_cap": 3.0, "importance_band": (0.9, 1.1)},
]


@pytest.mark.parametrize("options", TODAY)
def test_todays_methods_do_not_depend_on_micro_batches_either(stepped, options):
    options = {"normalise": "tokens", **options, "epochs": 2, "adam_eps": 1e-2}
    whole, _ = stepped("grpo", micro_tokens=10_000, **options)
    parts, _ = stepped("grpo", micro_tokens=40, **options)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-6, rtol=0.0)


@pytest.mark.parametrize("options", [{"surrogate": name} for name in ("gspo", "cispo", "sapo")] + [{"dual_clip": 3.0}])
def test_the_first_step_is_the_policy_gradients_whatever_bounds_the_later_ones(stepped, options):
    """GSPO's too, as a mean over sequences: the tokens of a response have one advantage, and share one ratio's gradient."""
    alike = {"normalise": "sequences", "adam_eps": 1e-2, "importance_cap": 0.0}
    plain, _ = stepped("grpo", **alike)
    other, _ = stepped("grpo", **alike, **options)
    for name, value in plain.items():
        torch.testing.assert_close(other[name], value, atol=1e-6, rtol=0.0)


def test_after_a_step_they_part(stepped):
    later = {"epochs": 3, "learning_rate": 5e-3, "beta": 0.0}
    plain, _ = stepped("rloo", **later)
    for name in ("gspo", "cispo", "sapo"):
        other, _ = stepped("rloo", surrogate=name, **later)
        assert any((other[key] - value).abs().max() > 1e-5 for key, value in plain.items()), name
