"""A critic that reasons before it compares: what it learns is what the engines read and write, and it is judged as they ask."""

from __future__ import annotations

import asyncio
import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlaif.constitution.load import load_constitution
from rlaif.critic.ask import Critic
from rlaif.critic.config import CriticConfig
from rlaif.critic.store import VerdictStore
from rlaif.critic.templates import load_template
from rlaif.engines import EngineConfig
from rlaif.engines.base import Failure, FailureReason
from rlaif.engines.tokens import PromptEncoder
from rlaif.errors import UsageError
from rlaif.models.load import find_base
from rlaif.settings import configure
from rlaif.train.batches import collate
from rlaif.train.feedback import generated_configuration
from rlaif.train.generate import run_generated
from rlaif.train.methods.critic import Critic as Method
from rlaif.train.reasoned import ReasonedQuestions, step, verdicts, written
from rlaif.train.rows import Example
from tests.tiny import save_model

ONE = "name: one\nversion: 1\nprinciples:\n  - {id: kind, text: The response is kind.}\n"
MOST = 12
PROMPTS = [f"How do I {task}?" for task in ("boil rice", "brew tea", "cook rice", "paint a wall", "boil an egg")]
KIND, RUDE = "Happy to help! First warm the pot.", "Are you stupid?"
RULES = """\
rules:
  - {when: "(?s)A is friendly.*Which response", choose: {A: 0.9, B: 0.05}}
  - {when: "(?s)B is friendly.*Which response", choose: {A: 0.05, B: 0.9}}
  - {when: "(?s)<response_a>\\\\s*Happy", generate: A is friendly.}
  - {when: "", generate: B is friendly.}
"""


def turns(text):
    return ({"role": "assistant", "content": text},)


def example(prompt=PROMPTS[0], p=0.8, **rationales):
    """rationales: by order, ``ab`` or ``ba``."""
    told = [{"principle": "kind", "swapped": order == "ba", "text": text} for order, text in rationales.items()]
    asked = ({"role": "user", "content": prompt},)
    return Example(1, "1", asked, (KIND, RUDE), p, extra={"rationales": told})


@pytest.fixture
def questions(tmp_path):
    (tmp_path / "one.yaml").write_text(ONE)
    base = find_base(str(save_model(tmp_path / "model", max_position_embeddings=1024)), "causal", None, "float32", False)
    template = load_template("reasons")
    return ReasonedQuestions(load_constitution(tmp_path / "one.yaml"), template, base, MOST), base, template


def test_what_is_learnt_is_what_the_engines_write_and_read(questions):
    asking, base, template = questions
    item, first, second = asking.items(example(ab="A is friendly.", ba="Both <|im_end|>"))
    encoder = PromptEncoder(base.tokenizer)
    user = ({"role": "user", "content": PROMPTS[0]},)
    end = base.tokenizer.convert_tokens_to_ids("<|im_end|>")
    for number, (learnt, text, p) in enumerate([(first, "A is friendly.", 0.8), (second, "Both <|im_end|>", 0.2)]):
        shown = [turns(KIND), turns(RUDE)][:: -1 if number else 1]
        prompt = encoder.encode(template.render("Principle: The response is kind.", user, shown)).ids
        read = encoder.encode(template.render("Principle: The response is kind.", user, shown, rationale=text)).ids
        (wrote, label) = learnt.sequences
        assert wrote.ids == [*prompt, *encoder.encode_untrusted(text), end] and wrote.start == len(prompt)
        assert (label.ids, label.start, learnt.p) == (read, len(read) - 1, pytest.approx(p))
        assert item.sequences[number].ids == [*prompt, end] and item.sequences[number].start == len(prompt)
        tail = item.sequences[2 + number]
        assert [*tail.ids[: tail.start], *encoder.encode_untrusted(text), *tail.ids[tail.start :]] == read


def test_training_sees_the_rationales_and_evaluation_the_questions(questions):
    asking, _, _ = questions
    items = [*asking.items(example(ab="A is friendly.")), *asking.items(example("hello"))]
    method = Method("one.yaml", reasons=True)
    assert method.arrange(items, 0, 0, held_out=False) == [items[1]]
    assert method.arrange(items, 0, 0, held_out=True) == [items[0], items[2]]
    with pytest.raises(UsageError, match="no row to train on has a rationale"):
        method.arrange(items[2:], 0, 0, held_out=False)


def test_a_rationale_costs_its_mean_and_the_label_as_much_as_all_of_it(questions):
    asking, base, _ = questions
    learnt = asking.items(example(ab="A is friendly.", ba="B is the friendly one of both."))[1:]
    model = AutoModelForCausalLM.from_pretrained(base.source).eval()
    found = step(model, collate(learnt, base.pad), MOST)
    wanted = 0.0
    for item in learnt:
        wrote, label = item.sequences
        logprobs = model(torch.tensor([wrote.ids])).logits[0].log_softmax(-1)
        said = [logprobs[place - 1, wrote.ids[place]] for place in range(wrote.start, len(wrote.ids))]
        after = model(torch.tensor([label.ids])).logits[0, -1].softmax(-1)
        a, b = (sum(after[token] for token in spelled).log() for spelled in item.labels)
        wanted -= sum(said) / len(said) + item.p * a + (1 - item.p) * b
    assert found.total.item() == pytest.approx(wanted.item(), rel=1e-5)
    found.total.backward()
    assert all(value.grad is not None for value in model.parameters())


def test_what_does_not_end_or_says_nothing_is_no_verdict(questions):
    """The tiny model never ends by itself; made to end at once, it says nothing."""
    asking, base, _ = questions
    batch = collate(asking.items(example()), base.pad)
    model = AutoModelForCausalLM.from_pretrained(base.source).eval()
    first, second, whole = verdicts(model, batch, MOST)
    assert not whole.any() and first.isfinite().all() and second.isfinite().all()
    seen = step(model, batch, MOST).metrics
    assert seen["accuracy"].item() == seen["verdicts"].item() == 0
    ((text, ended),) = written(model, [[5, 6, 7]], end=2, most=4)
    assert (len(text), ended) == (4, False)
    assert written(model, [[5, 6, 7]], end=text[0], most=4) == [([], True)]


def test_what_does_not_fit_is_left_out(questions, tmp_path):
    _, base, template = questions
    constitution = load_constitution(tmp_path / "one.yaml")
    tight = ReasonedQuestions(constitution, template, base._replace(context=64), MOST)
    assert tight.items(example()).reason == FailureReason.TOO_LONG
    roomy = ReasonedQuestions(constitution, template, base._replace(context=600), MOST)
    assert len(roomy.items(example(ab="A is kind " * 200))) == 1
    base.tokenizer.chat_template = None
    with pytest.raises(UsageError, match="no chat template"):
        ReasonedQuestions(constitution, template, base, MOST)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The lab's policy, which knows no judge's question, taught by rules that write reasons; its folder and ``run.json``. Some
    sixteen steps are needed until it finds the kind response in either order."""
    folder = tmp_path_factory.mktemp("reasons")
    (folder / "one.yaml").write_text(ONE)
    (folder / "rules.yaml").write_text(RULES)
    rows = [{"prompt": prompt, "chosen": KIND, "rejected": RUDE} for prompt in PROMPTS]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"batch_size": 4, "max_steps": 16, "learning_rate": 3e-3, "schedule": "constant", "warmup": 0.0}
    config = configure(
        generated_configuration(),
        source=str(folder / "pairs.jsonl"),
        model="lab:policy",
        critic=f"script:{folder / 'rules.yaml'}",
        out=folder / "run",
        constitution=folder / "one.yaml",
        store=folder / "store.sqlite",
        reasons=True,
        reasons_tokens=MOST,
        eval_fraction=0.2,
        save_every=16,
        **options,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run = run_generated(config)
    torch.set_num_threads(threads)
    return folder, run


def test_a_critic_learns_to_reason_and_is_judged_by_its_own_reasons(trained):
    _, run = trained
    assert run["metrics"]["eval_accuracy"] == run["metrics"]["eval_verdicts"] == 1
    assert run["metrics"]["eval_flips"] == 0 and "temperature" not in run["metrics"]
    assert run["settings"]["reasons"] and run["data"]["held_out"] == 1


def test_held_out_pairs_are_judged_as_the_engines_would(trained):
    """The probabilities of the labels after its own reasons, asked by the judge through the engine."""
    folder, _ = trained
    model = folder / "run" / "model"
    base = find_base(str(model), "causal", None, "float32", False)
    asking = ReasonedQuestions(load_constitution(folder / "one.yaml"), load_template("reasons"), base, MOST)
    items = [asking.items(example(prompt))[0] for prompt in PROMPTS[:2]]
    first, second, whole = verdicts(AutoModelForCausalLM.from_pretrained(model).eval(), collate(items, base.pad), MOST)
    assert whole.all()
    settings = CriticConfig(
        models=(str(model),), constitution=folder / "one.yaml", reasons=True, reasons_tokens=MOST, store=folder / "asked.sqlite"
    )
    engine = EngineConfig(model=str(model)).open()
    with VerdictStore(settings.store) as store:
        (critic,) = settings.critics([engine], store)
        assert isinstance(critic, Critic)
        principle = critic.judge.constitution.principles[0]
        for row, prompt in enumerate(PROMPTS[:2]):
            user = ({"role": "user", "content": prompt},)
            asked = critic.judge.both_orders(principle, user, turns(KIND), turns(RUDE))
            replies = asyncio.run(critic.ask(asked.questions))
            for question, found in zip(asked.questions, (first[row], second[row]), strict=True):
                answer = replies.answers[question.key]
                assert not isinstance(answer, Failure)
                assert found.tolist() == pytest.approx(answer.logprobs, abs=1e-3)
                assert "is friendly." in replies.rationales[question.key].text
    asyncio.run(engine.close())
