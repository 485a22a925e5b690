"""The networks of a run: policy, reference and value net, as modules of their own or as adapters of one base."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from transformers.modeling_layers import GradientCheckpointingLayer

from rlaif.errors import UsageError
from rlaif.models.adapter import fuse
from rlaif.models.load import Base, find_base, load, with_adapter
from rlaif.models.logprobs import chunked_logprobs, token_logprobs
from rlaif.rl.batch import Batch
from rlaif.rl.config import RlConfig
from rlaif.rl.methods.baseline import Baseline
from rlaif.rl.shard import Body, gathered, shard
from rlaif.rl.state import put
from rlaif.rl.teacher import ServedTeacher
from rlaif.train.predict import KEY

POLICY, VALUE = "default", "value"
"""Names of the policy's and the value net's adapter of their common base."""


class Network:
    """A transformer and what makes it this network.

    model: the module, with adapters around it where it has any. body: the part of it that gives hidden states. adapter: whose
    weights are in force; None is the model without one. In a model that several networks share, only one is in force at a
    time: passes, and the backward passes of what they give, belong inside ``active``.
    """

    def __init__(self, model: Any, body: Any, adapter: str | None, bf16: bool) -> None:
        self.model, self._body, self._adapter, self.bf16 = model, body, adapter, bf16
        self.sharded = False

    @contextmanager
    def active(self, learning: bool = False) -> Iterator[None]:
        """learning: with gradient checkpointing, where the model has it switched on."""
        with ExitStack() as stack:
            if self._adapter is not None:
                self.model.set_adapter(self._adapter)
            elif hasattr(self.model, "disable_adapter"):
                stack.enter_context(self.model.disable_adapter())
            if self.bf16:
                stack.enter_context(torch.autocast(self.model.device.type, torch.bfloat16))
            # There is no dropout (``models.load``), so that a mode of training is of gradient checkpointing alone.
            self.model.train(learning and getattr(self._body, "is_gradient_checkpointing", False))
            if self.sharded:
                stack.enter_context(gathered(self.model))
            yield
        self.model.eval()

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by name."""
        named = self.model.named_parameters()
        return {name: value for name, value in named if self._adapter is None or f".{self._adapter}." in name}

    def shard(self) -> None:
        """Leave each process a part of the weights, in place. ``parameters`` are others from here on."""
        causal = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        root = self._body
        if causal.get_output_embeddings() is not None:
            root, self._body = causal, Body(causal, self._body)
        if not isinstance(root, FSDPModule):  # networks with adapters share one
            shard(root)
        self.sharded = True

    def hidden(self, batch: Batch) -> Tensor:
        """[N, H]: the state before each of the batch's N response tokens, in the order of ``batch.mask``."""
        states = self._body(input_ids=batch.ids, use_cache=False).last_hidden_state
        return states[batch.mask.nonzero()[:, 0], batch.before[batch.mask]]  # type: ignore[no-any-return]


class Policy(Network):
    """A causal language model; also the reference, which is one that is not trained."""

    def __init__(self, model: Any, adapter: str | None, bf16: bool) -> None:
        self.causal: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
        super().__init__(model, getattr(self.causal, self.causal.base_model_prefix), adapter, bf16)
        self._plain = self._has_plain_head()

    def logprobs(self, batch: Batch, temperature: float, entropy: bool = True) -> tuple[Tensor, Tensor]:
        """(log-probabilities of the responses' tokens, entropies of what they were drawn from), [B, R] each, 0 elsewhere.

        entropy: whether entropies are wanted at all; over a large vocabulary they take time.

        Logits are divided by the sampling temperature, so that they are of the distribution that was sampled (Ziegler et al.
        2019, arXiv 1909.08593, code lm_human_preferences/policy.py); prompts' positions get none.
        """
        tokens = batch.tokens[batch.mask]
        if self._plain:
            hidden, weight = self.hidden(batch), self.causal.get_output_embeddings().weight
            if self.bf16:
                hidden, weight = hidden.bfloat16(), weight.bfloat16()
            logprobs, entropies = chunked_logprobs(hidden, weight, tokens, temperature, entropy)
        else:
            first = int(batch.before[:, 0].min())
            keep = batch.ids.shape[1] - first
            logits = self.causal(input_ids=batch.ids, use_cache=False, logits_to_keep=keep).logits
            chosen = logits[batch.mask.nonzero()[:, 0], batch.before[batch.mask] - first].float() / temperature
            logprobs = token_logprobs(chosen, tokens)
            entropies = torch.special.entr(chosen.softmax(-1)).sum(-1)
        return spread(logprobs, batch.mask), spread(entropies, batch.mask)

    def next_logits(self, **inputs: Any) -> tuple[Tensor, Any]:
        """(logits of what follows each row [B, V], the cache of keys and values). inputs: as the model takes them.

        The output layer gets a matrix: of half-precision states [B, 1, H] that are a part of others, PyTorch would multiply B
        copies of its weight.
        """
        if not self._plain:
            out = self.causal(**inputs, use_cache=True, logits_to_keep=1)
            return out.logits[:, -1], out.past_key_values
        out = self._body(**inputs, use_cache=True)
        return self.causal.get_output_embeddings()(out.last_hidden_state[:, -1].contiguous()), out.past_key_values

    @torch.no_grad()
    def _has_plain_head(self) -> bool:
        """Whether logits are the output layer's product with hidden states and nothing more, such as a soft cap."""
        head = self.causal.get_output_embeddings()
        if not isinstance(head, nn.Linear) or head.bias is not None:
            return False
        ids = torch.arange(8, device=head.weight.device)[None]
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.bf16):
            states = self._body(input_ids=ids, use_cache=False).last_hidden_state
            expected = self.causal(input_ids=ids, use_cache=False).logits
            return torch.allclose((states @ head.weight.T).float(), expected.float(), rtol=1e-3, atol=1e-3)


class ValueNet(Network):
    """V_t: what the rest of a response is expected to earn, from the state before its token t.

    head: a linear layer from hidden states to one number; it is trained together with the rest.
    """

    def __init__(self, model: Any, body: Any, adapter: str | None, bf16: bool, head: nn.Linear) -> None:
        super().__init__(model, body, adapter, bf16)
        self._head = head

    def parameters(self) -> dict[str, nn.Parameter]:
        own = {f"head.{name}": value for name, value in self._head.named_parameters()}
        inside = {id(value) for value in own.values()}
        return own | {name: value for name, value in super().parameters().items() if id(value) not in inside}

    def values(self, batch: Batch) -> Tensor:
        """[B, R], 0 beside the responses."""
        hidden = self.hidden(batch)
        with torch.autocast(self.model.device.type, enabled=False):  # values are compared with returns to the last digits
            return spread(self._head(hidden.float()).squeeze(-1), batch.mask)


class Networks(NamedTuple):
    """reference: None where the KL costs nothing; a teacher may stand in its place. value: None for the methods without a value
    net."""

    policy: Policy
    reference: Policy | ServedTeacher | None
    value: ValueNet | None

    @property
    def here(self) -> list[Network]:
        """Those in this process."""
        return [network for network in self if isinstance(network, Network)]


def build(config: RlConfig, base: Base) -> Networks:
    """The policy as it begins, its reference and its value net.

    With adapters there is one base: the policy's adapter on it, the reference is the base without one, and the value net a
    second adapter, unless it starts from a reward model. With β = 0 there is no reference.
    A teacher stands in its place.
    """
    model = load(base, "causal", low_precision=config.lora > 0, attention=config.attention)
    apart = None
    served = config.taught_by is not None and config.taught_by.startswith(("http://", "https://"))
    if config.taught_by and not served:
        apart = _teacher(config, config.taught_by, base)
    elif config.beta and not config.lora and not served:
        apart = _frozen(model, base.bf16)
    if config.lora:
        model = with_adapter(model, "causal", config.lora)
        fuse(model)
    adapter = POLICY if config.lora else None
    policy = Policy(model, adapter, base.bf16)
    value = _value_net(config.value_net, base, policy) if config.value_net else None
    if config.gradient_checkpointing:
        for network in (policy, value):
            if network:
                network.model.gradient_checkpointing_enable({"use_reentrant": False})
    reference: Policy | ServedTeacher | None = Policy(apart or model, None, base.bf16) if config.beta and not served else None
    if config.taught_by and served:
        reference = ServedTeacher(config.taught_by.split(","), base)
    networks = Networks(policy, reference, value)
    if config.compile:
        _compile({id(network.model): network.model for network in networks.here}.values())
    return networks


def in_one_piece(config: RlConfig, base: Base, weights: Mapping[str, Tensor]) -> Policy:
    """The policy of ordinary weights, in main memory. weights: what is trained, by name."""
    model = load(base, "causal", low_precision=config.lora > 0, device=torch.device("cpu"))
    if config.lora:
        model = with_adapter(model, "causal", config.lora)
    policy = Policy(model, POLICY if config.lora else None, base.bf16)
    put(policy.parameters(), weights)
    return policy


def _compile(models: Iterable[Any]) -> None:
    """Compile layer by layer: they are alike, so that it is done once; and for any length, since lengths change."""
    for model in models:
        for layer in model.modules():
            if isinstance(layer, GradientCheckpointingLayer):
                layer.compile(dynamic=True)


def _teacher(config: RlConfig, name: str, base: Base) -> Any:
    """The model in the reference policy's place. Raises UsageError where it does not read the policy's tokens."""
    found = find_base(name, "causal", None, config.precision, config.trust_remote_code)
    if found.tokenizer.get_vocab() != base.tokenizer.get_vocab():
        raise UsageError(f"--teacher {name}: its tokenizer is not {config.model}'s; it is asked about the policy's tokens")
    model = load(found._replace(bf16=base.bf16), "causal", low_precision=True, attention=config.attention)
    return model.requires_grad_(False)


def _frozen(model: Any, bf16: bool) -> Any:
    """A copy that is not trained. In bfloat16 the weights of its products are, which gives what autocast makes of them at every
    pass, to the bit, in half of the memory."""
    frozen = copy.deepcopy(model).requires_grad_(False)
    for layer in frozen.modules() if bf16 else ():
        if isinstance(layer, nn.Linear):
            layer.bfloat16()
    return frozen


def _value_net(config: Baseline, base: Base, policy: Policy) -> ValueNet:
    """From the policy with a head of zeros, so that it begins by expecting nothing (Ziegler et al. 2019, code: scale 0); or
    from a reward model, head and normalisation included (Huang et al. 2024, arXiv 2403.17031)."""
    if config.value_model != "policy":
        return _from_reward_model(config, base)
    model, body = policy.model, policy._body
    if config.lora:
        model.add_adapter(VALUE, model.peft_config[POLICY])
    else:
        model = body = copy.deepcopy(body)
    head = nn.Linear(body.config.get_text_config().hidden_size, 1).to(model.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return ValueNet(model, body, VALUE if config.lora else None, base.bf16, head)


def _from_reward_model(config: Baseline, base: Base) -> ValueNet:
    value_base = find_base(config.value_model, "sequence-classification", None, config.precision, config.trust_remote_code)
    if value_base.tokenizer.get_vocab() != base.tokenizer.get_vocab():
        raise UsageError(
            f"--value-model {config.value_model}: its tokenizer is not {config.model}'s; the value net reads its tokens"
        )
    model = load(value_base, "sequence-classification", low_precision=config.lora > 0, attention=config.attention)
    score = getattr(model, "score", None)
    if not isinstance(score, nn.Linear) or score.out_features != 1:
        raise UsageError(f"--value-model {config.value_model}: no causal model with one linear score (rlaif train reward)")
    body, stored = getattr(model, model.base_model_prefix), getattr(model.config, KEY, {})
    mean, std = (stored.get(name, [default])[0] for name, default in (("mean", 0.0), ("std", 1.0)))
    head = nn.Linear(score.in_features, 1).to(model.device)
    with torch.no_grad():
        head.weight.copy_(score.weight.float() / std)
        head.bias.copy_(((0.0 if score.bias is None else score.bias.float()) - mean) / std)
    model.score = nn.Identity()  # what is trained is the head that predicts normalised rewards
    if config.lora:
        model = with_adapter(model, "sequence-classification", config.lora)
        fuse(model)
    return ValueNet(model, body, POLICY if config.lora else None, base.bf16, head)


def spread(values: Tensor, mask: Tensor) -> Tensor:
    """[N] into the places of mask [B, R] that are true, 0 elsewhere."""
    return torch.zeros(mask.shape, dtype=values.dtype, device=values.device).masked_scatter(mask, values)
