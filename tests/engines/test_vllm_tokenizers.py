"""Real vLLM with tokenizers of three kinds, built here: the verdicts are those of the transformers engine on the same model."""

import asyncio
import json

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from rlaif.engines import EngineConfig
from rlaif.engines.base import Choice, Message, Sampling, Segment
from rlaif.engines.tokens import PromptEncoder
from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from rlaif.settings import configure
from tests.families import FAMILIES
from tests.templates import OPENING
from tests.tiny import byte_tokenizer

pytestmark = pytest.mark.vllm
CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: kind, text: It is kind.}\n  - {id: short, text: It is short.}\n"
KINDS = {"opens <think>": lambda: byte_tokenizer(OPENING), "pieces, with BOS": FAMILIES["mistral"], "bytes": FAMILIES["qwen"]}
TEXTS = ["Hello world.", "It is better.\n", "<think>B</think>", "</s> [INST] A [/INST]", "", "naïve 漢字"]


@torch.no_grad()
def _follow(causal, before, after, strength):
    """Make the tokens ``after`` likely behind those of ``before``."""
    for token in before:
        direction = causal.get_input_embeddings().weight[token]
        for follower in after:
            causal.lm_head.weight[follower] += strength * direction / direction.norm()


@pytest.fixture(scope="module", params=KINDS)
def model(request, tmp_path_factory):
    """A random model that says a label, mostly, and ends there."""
    pytest.importorskip("vllm")
    folder, tokenizer = tmp_path_factory.mktemp("model"), KINDS[request.param]()
    torch.manual_seed(3)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    causal = Qwen3ForCausalLM(config)
    encoder = PromptEncoder(tokenizer)
    asked = (Message("user", (Segment("?", False),)),)
    last = {encoder.encode(asked, decided=decided).ids[-1] for decided in (False, True)}
    labels = {token for tokens in encoder.label_ids(["A", "B"]) for token in tokens}
    _follow(causal, last, labels, 1.1)
    _follow(causal, labels, [tokenizer.eos_token_id], 2.0)
    causal.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def labelled(model, tmp_path_factory):
    """By engine and way of asking: the pairs' records, and what run.json counts."""
    folder, found = tmp_path_factory.mktemp("labelled"), {}
    rows = [{"id": str(n), "prompt": "Hello?", "responses": [text, f"It is {n}."]} for n, text in enumerate(TEXTS)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "c.yaml").write_text(CONSTITUTION)
    ways = {"soft": {}, "thinking": {"thinking": 8, "min_mass": 0.0}, "sampled": {"labels": "sampled", "votes": 8}}
    for engine in ("transformers", "vllm"):
        for way, settings in ways.items():
            config = configure(
                LabelConfig,
                source=str(folder / "rows.jsonl"),
                constitution=folder / "c.yaml",
                critic=str(model),
                engine=engine,
                out=folder / f"{engine}-{way}",
                store=folder / "store.sqlite",
                max_failure_rate=1.0,
                **settings,
            )
            run = run_label(config)
            lines = (config.out / "preferences.jsonl").read_text().splitlines()
            found[engine, way] = {record["id"]: record for record in map(json.loads, lines)}, run
    return found


def same(one, other):
    """Whether the records of a pair say the same, to what the engines' arithmetic allows."""
    assert len(one["principles"]) == len(other["principles"]) == 2
    turned = one["chosen_index"] != other["chosen_index"]
    for first, second in zip(one["principles"], other["principles"], strict=True):
        assert first["p"] == pytest.approx(1 - second["p"] if turned else second["p"], abs=1e-3)
        assert first["mass"] == pytest.approx(second["mass"], abs=1e-3)


@pytest.mark.parametrize("way", ["soft", "thinking"])
def test_verdicts_are_those_of_transformers(labelled, way):
    (records, run), (others, other_run) = labelled["vllm", way], labelled["transformers", way]
    assert records.keys() == others.keys() and len(records) == len(TEXTS)
    assert run["counts"]["failed"] == other_run["counts"]["failed"] == 0
    for key, record in records.items():
        same(record, others[key])


def first_wins(record):
    """By principle: the probability that the pair's first response is the better one."""
    return [one["p"] if record["chosen_index"] == 0 else 1 - one["p"] for one in record["principles"]]


def test_shares_of_sampled_labels_are_about_the_probabilities(labelled):
    (records, run), (soft, _) = labelled["vllm", "sampled"], labelled["vllm", "soft"]
    assert run["counts"]["verdicts"] == 2 * len(TEXTS) and run["counts"]["failed"] == 0
    assert "labels sampled 8×" in run["critic"]
    pairs = [pair for key, record in records.items() for pair in zip(first_wins(record), first_wins(soft[key]), strict=True)]
    assert sum(abs(share - p) for share, p in pairs) / len(pairs) < 0.2  # of 16 texts each: .1 is to be expected


def test_thoughts_and_what_follows_them_are_the_same_in_both_engines(model):
    asked = [(Message("user", (Segment(text or "?", False),)),) for text in TEXTS]
    texts = {}
    for kind in ("transformers", "vllm"):
        engine = EngineConfig(str(model), engine=kind).open()
        drawn = asyncio.run(engine.generate(asked, Sampling(8, 0.0, thinking=True)))
        assert all("<think>" not in one[0].text for one in drawn)
        assert all(isinstance(one, Choice) for one in asyncio.run(engine.choose(asked, ["A", "B"])))
        texts[kind] = [one[0].text for one in drawn]
    assert texts["vllm"] == texts["transformers"]
