"""What a run holds in memory, by phase, before anything is loaded: arithmetic of the model's shape and the settings.

Counted is what tensors hold; libraries, the interpreter and what an allocator keeps to itself come on top. The counts are those
of a decoder with gated MLPs and grouped attention (Llama, Qwen, Mistral, SmolLM); of other models they are an estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from rlaif.models.config import chunk_size
from rlaif.rl.config import RlConfig

FLOAT, HALF = 4, 2
MOST = 2048
"""Tokens of a pass beyond which a CPU is no faster; a GPU takes more."""
MOST_ELSEWHERE = 32_768
ON_CPU = 768 * 2**20
"""Bytes that the activations of an automatic pass, and the cache of an automatic batch of samples, may take on a CPU, which
gains nothing from larger ones."""
SAMPLED = 32_768
"""Tokens of a batch of samples, where memory allows."""


class Shape(NamedTuple):
    """Of a decoder. inner: width of its MLP. head_norms: whether queries and keys are normalised (Qwen3)."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int
    tied: bool
    head_norms: bool = False

    @classmethod
    def of(cls, config: Any) -> Shape:
        """Of a transformers configuration."""
        text = config.get_text_config()
        heads, hidden = text.num_attention_heads, text.hidden_size
        return cls(
            text.num_hidden_layers,
            hidden,
            getattr(text, "intermediate_size", None) or 4 * hidden,
            heads,
            getattr(text, "num_key_value_heads", None) or heads,
            getattr(text, "head_dim", None) or hidden // heads,
            text.vocab_size,
            bool(config.tie_word_embeddings),
            text.model_type.startswith("qwen3"),
        )

    @property
    def queries(self) -> int:
        return self.heads * self.head

    @property
    def keys(self) -> int:
        return self.kv_heads * self.head

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def body(self) -> int:
        """Parameters without the output layer."""
        attention = 2 * self.hidden * self.queries + 2 * self.hidden * self.keys
        norms = 2 * self.hidden + 2 * self.head * self.head_norms
        return self.embedding + self.layers * (attention + 3 * self.hidden * self.inner + norms) + self.hidden

    @property
    def parameters(self) -> int:
        return self.body + (0 if self.tied else self.embedding)

    def adapter(self, rank: int) -> int:
        """Parameters of an adapter on all linear layers."""
        wide = 2 * (self.hidden + self.queries) + 2 * (self.hidden + self.keys) + 3 * (self.hidden + self.inner)
        return self.layers * rank * wide

    def kept(self, rank: int, bf16: bool) -> int:
        """Bytes per token and layer that a pass keeps for its backward pass; attention keeps no T × T matrix."""
        qk = (self.queries + self.keys) * self.head_norms
        attended, inner = 2 * self.queries + 2 * self.keys, 4 * self.inner
        small = FLOAT * (self.heads + 2 + 2 * self.head_norms * (self.heads + self.kv_heads))
        if not bf16:
            return FLOAT * ((4 if rank else 6) * self.hidden + attended + inner + (1 if rank else 2) * qk + 7 * rank) + small
        if rank:
            return 12 * self.hidden + HALF * (attended + inner + 7 * rank) + FLOAT * qk + small
        return 26 * self.hidden + HALF * (attended + inner) + 2 * FLOAT * qk + small

    def cached(self, rank: int, bf16: bool) -> int:
        """Bytes of keys and values per token. Keys that were turned by positions are as precise as the embeddings."""
        return self.layers * self.keys * ((HALF if bf16 and rank else FLOAT) + (HALF if bf16 else FLOAT))


@dataclass(frozen=True)
class Plan:
    """Bytes by what holds them. always: from the first step's end on. phases: what comes on top in each, one at a time."""

    always: Mapping[str, int]
    phases: Mapping[str, Mapping[str, int]]

    @property
    def peak(self) -> int:
        return sum(self.always.values()) + max(sum(held.values()) for held in self.phases.values())

    def lines(self) -> list[str]:
        """As a table of text, in MiB."""
        rows = [("always", self.always), *self.phases.items()]
        return [
            *(
                f"{name:<9} {sum(held.values()) / 2**20:>10,.0f} MiB  "
                + ", ".join(f"{what} {size / 2**20:,.0f}" for what, size in held.items() if size)
                for name, held in rows
            ),
            f"{'peak':<9} {self.peak / 2**20:>10,.0f} MiB",
        ]


class Setting(NamedTuple):
    """What a plan needs besides the run's configuration. policy, value: their shapes; value is another where it starts from a
    reward model. teacher: in the reference policy's place. bf16: whether passes are in bfloat16. prompt: tokens of the longest.
    device: ``cpu`` or another. beside: bytes of what else is held there, such as a critic, by name. asleep: of engines that
    give them back while the networks work. processes: of the run."""

    policy: Shape
    bf16: bool
    prompt: int
    device: str = "cpu"
    value: Shape | None = None
    beside: Mapping[str, int] = {}
    teacher: Shape | None = None
    asleep: Mapping[str, int] = {}
    processes: int = 1


def plan(config: RlConfig, setting: Setting) -> Plan:
    """Of a run. Micro-batches and batches of samples are as in ``fitted`` where ``config`` has none."""
    config, bf16 = fitted(config, setting), setting.bf16
    assert config.micro_tokens and config.sample_tokens
    policy, value = setting.policy, setting.value or setting.policy
    rank, nets = config.lora, ["policy", "value net"] if config.value_net else ["policy"]
    apart = config.value_net is not None and (not rank or config.value_net.value_model != "policy")
    weight = HALF if rank and bf16 else FLOAT
    adapters = {"policy": policy.adapter(rank), "value net": value.adapter(rank) + value.hidden}
    trained = adapters if rank else {"policy": policy.parameters, "value net": value.body + value.hidden}
    always = {"policy": weight * policy.parameters}
    if setting.teacher:
        always["teacher"] = (HALF if bf16 else FLOAT) * setting.teacher.parameters
    elif config.beta and not rank and not config.taught_by:
        always["reference"] = (HALF if bf16 else FLOAT) * policy.parameters
    if apart:
        always["value net"] = weight * value.body
    if rank:
        always["adapters"] = FLOAT * sum(adapters[net] for net in nets)
    always["optimiser"] = 2 * FLOAT * sum(trained[net] for net in nets)
    parts = setting.processes if config.shard else 1
    always = {what: size // parts for what, size in always.items()}
    if (config.ahead or config.shard) and config.sampler == "transformers":
        always["sampler's copy"] = weight * policy.parameters
    always |= setting.beside
    responses = config.batch_size * config.samples
    longest = setting.prompt + config.max_tokens
    at_once = min(config.micro_tokens, responses * longest)
    answers = min(responses * config.max_tokens, max(1, at_once // longest) * config.max_tokens)
    sampling = {**(_sampling(config, setting, longest) if config.sampler == "transformers" else {}), **setting.asleep}
    phases = {"sampling": sampling} if sampling else {}
    phases["looking"] = {"activations": at_once * _passing(policy, bf16), "logits": 2 * _logits(setting, answers)}
    if bf16 and not rank:
        phases["looking"]["casts"] = HALF * policy.body  # autocast's, until the pass is over
    for net, shape in zip(nets, (policy, value), strict=False):
        update = {"gradients": FLOAT * trained[net] // parts}
        kept = shape.kept(rank, bf16)
        layers = shape.hidden * (HALF if rank and bf16 else FLOAT) * shape.layers + kept
        held = layers if config.gradient_checkpointing else kept * shape.layers
        update["activations"] = at_once * held
        if bf16 and not rank:
            update["casts"] = HALF * (shape.body - shape.embedding)
        head = 2 * FLOAT * answers * shape.hidden
        if net == "policy":
            head += (3 if config.entropy else 2) * _logits(setting, answers)
            head += 0 if rank else FLOAT * shape.embedding
        update["backward"] = max(head, at_once * _backward(shape, bf16))
        if responses * longest <= config.micro_tokens * config.minibatches:
            # In a minibatch's only pass, activations go as gradients come.
            update = _larger(update, "gradients")
        phases[net] = update
    return Plan(always, phases)


def fitted(config: RlConfig, setting: Setting, free: int | None = None) -> RlConfig:
    """The configuration with micro-batches and batches of samples where it has none.

    free: bytes that activations and caches may take on a device with a limit. On a CPU they follow from the model's shape
    alone, so that the same run is the same to the bit on every machine.
    """
    longest = setting.prompt + config.max_tokens
    room = ON_CPU if setting.device == "cpu" or free is None else free
    most = MOST if setting.device == "cpu" else MOST_ELSEWHERE
    shape = setting.policy
    per_token = shape.kept(config.lora, setting.bf16) * (1 if config.gradient_checkpointing else shape.layers)
    micro = config.micro_tokens or max(longest, _power_of_two(min(most, room // per_token)))
    sampled = config.sample_tokens or max(
        longest * config.samples, min(SAMPLED, _power_of_two(room // shape.cached(config.lora, setting.bf16)))
    )
    return replace(config, micro_tokens=micro, sample_tokens=sampled)


def nearest(config: RlConfig, setting: Setting, limit: int) -> RlConfig | None:
    """The configuration least changed whose plan is within ``limit`` bytes, first in what changes no result; None where none
    is."""
    return next((other for other in _nearby(config, setting) if plan(other, setting).peak <= limit), None)


def _nearby(config: RlConfig, setting: Setting) -> Iterator[RlConfig]:
    """Ever smaller passes and batches of samples, then those with gradient checkpointing, with an adapter, with both."""
    longest = setting.prompt + config.max_tokens
    config = fitted(config, setting)
    assert config.micro_tokens and config.sample_tokens
    yield config
    for lora in (config.lora, *([] if config.lora else [16])):
        for checkpointing in sorted({config.gradient_checkpointing, True}):
            micro, sampled = config.micro_tokens, config.sample_tokens
            while True:
                yield replace(
                    config, gradient_checkpointing=checkpointing, lora=lora, micro_tokens=micro, sample_tokens=sampled
                )
                smaller = max(min(micro, longest), micro // 2), max(min(sampled, longest * config.samples), sampled // 2)
                if smaller == (micro, sampled):
                    break
                micro, sampled = smaller


def _larger(held: dict[str, int], apart: str) -> dict[str, int]:
    """What is held apart from one part, or that part alone, whichever is larger: the two are not there together."""
    others = {name: size for name, size in held.items() if name != apart}
    return others if sum(others.values()) >= held[apart] else {apart: held[apart]}


def _sampling(config: RlConfig, setting: Setting, longest: int) -> dict[str, int]:
    """Keys and values of a batch, one layer's of them twice while they grow, and what a token is drawn from."""
    assert config.sample_tokens
    rows = min(config.batch_size * config.samples, max(1, config.sample_tokens // (longest * config.samples)) * config.samples)
    shape, bf16 = setting.policy, setting.bf16
    cache = rows * longest * shape.cached(config.lora, bf16)
    prompts = -(-rows // config.samples) * setting.prompt * _passing(shape, bf16)
    drawing = rows * shape.vocabulary * (2 * FLOAT + 3 * 8)
    return {"cache": cache + cache // shape.layers, "prompts": prompts, "drawing": drawing}


def _passing(shape: Shape, bf16: bool) -> int:
    """Bytes per token that a pass without gradient holds at its widest place, in an MLP."""
    return (HALF if bf16 else FLOAT) * 3 * shape.inner + 2 * FLOAT * shape.hidden


def _backward(shape: Shape, bf16: bool) -> int:
    """Bytes per token that the backward pass makes on top in the last layer, and of the hidden states before and behind it."""
    return (HALF if bf16 else FLOAT) * 2 * shape.inner + 4 * FLOAT * shape.hidden


def _logits(setting: Setting, answers: int) -> int:
    """Bytes of one chunk of logits."""
    vocabulary = setting.policy.vocabulary
    return FLOAT * vocabulary * min(answers, max(1, chunk_size(setting.device) // vocabulary))


def _power_of_two(number: int) -> int:
    """The largest that is not above ``number``."""
    return 1 << max(0, int(number).bit_length() - 1)
