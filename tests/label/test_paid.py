"""What a run has paid is remembered from start to start, and a limit stops it with everything kept."""

import json
import math
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rlaif.critic.config import CriticConfig
from rlaif.engines import client
from rlaif.errors import RunFailed, UsageError
from rlaif.label.config import LabelConfig
from rlaif.label.plan import dry_run
from rlaif.label.run import run_label
from tests.engines.test_server import serving, verdict

TOKENS = 1_000_000
"""What the server says of each prompt: with --price 1,0 each question costs a dollar."""


def paid(path, body, n):
    status, headers, content = verdict(path, body, n)
    return status, headers, {**content, "usage": {"prompt_tokens": TOKENS, "completion_tokens": 1}}


@contextmanager
def config(tmp_path, reply=paid, **how):
    rows = [{"prompt": f"Question {n}?", "responses": ["Yes.", "No."]} for n in range(5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "one.yaml").write_text("{name: one, version: 1, principles: [{id: kind, text: The response is kind.}]}")
    with serving(reply) as (url, posts):
        critic = CriticConfig(
            models=(url,), constitution=tmp_path / "one.yaml", store=tmp_path / "store.sqlite", price="1,0", **how
        )
        yield LabelConfig(source=str(tmp_path / "rows.jsonl"), critic=critic, out=tmp_path / "run"), posts


def test_a_limit_stops_the_run_and_a_larger_one_continues_it(tmp_path):
    with config(tmp_path, max_cost=4.0) as (asked, posts):
        with pytest.raises(RunFailed, match=r"--max-cost 4: \$4.0000 are spent"):
            run_label(asked)
        assert len(posts) == 4  # of ten questions
        stopped = json.loads((asked.out / "run.json").read_text())
        assert stopped["status"] == "failed" and stopped["cost"]["dollars"] == 4.0
        with pytest.raises(RunFailed, match=r"\$4.0000 are spent"):
            run_label(asked)
        assert len(posts) == 4  # what was answered is not asked again, and there is no money for more
        run = run_label(replace(asked, critic=replace(asked.critic, max_cost=20.0)))
        assert len(posts) == 10 and run["counts"]["verdicts"] == 5
        assert run["cost"]["dollars"] == 10.0 and run["cost"]["tokens_read"] == 6 * TOKENS  # of this start
        again = run_label(replace(asked, critic=replace(asked.critic, max_cost=20.0)))
        assert again["cost"]["dollars"] == 10.0 and len(posts) == 10
    assert "$10.0000" in (asked.out / "report.html").read_text()
    assert json.loads((asked.out / "metrics.jsonl").read_text().splitlines()[-1])["cost"]["dollars"] == 10.0


def test_replies_that_cannot_be_used_are_paid_for_too(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", client.Patience(pauses=(0.001,) * 7, brief=0.001))

    def reply(path, body, n):
        status, headers, content = paid(path, body, n)
        return (status, headers, {**content, "choices": []}) if n % 2 else (status, headers, content)

    with config(tmp_path, reply) as (asked, posts):
        run = run_label(asked)
    assert run["cost"]["dollars"] == len(posts) > 10 and run["cost"]["requests"] == len(posts)


def test_a_dry_run_says_what_it_costs(tmp_path):
    with config(tmp_path) as (asked, posts):
        plan = dry_run(replace(asked, critic=replace(asked.critic, price="2,1000000")))
    assert plan.priced and not posts
    assert plan.read == pytest.approx(2 * plan.tokens / 1e6, rel=0.01)
    assert plan.written == pytest.approx(plan.questions)  # a token each
    assert not math.isnan(plan.read)


def test_a_dry_run_shows_dollars_and_a_stopped_run_exits_with_1(tmp_path, rlaif):
    with config(tmp_path) as (asked, _):
        critic = ("--critic", asked.critic.models[0], "--constitution", str(asked.critic.constitution))
        command = ("label", asked.source, *critic, "--store", str(asked.critic.store), "--out", str(asked.out))
        code, out, _ = rlaif(*command, "--price", "3000,0", "--dry-run")
        assert code == 0 and " to read them, at most $0.00 for what is written" in out
        code, _, err = rlaif(*command, "--price", "1,0", "--max-cost", "3")
    assert code == 1 and "--max-cost 3: $3.0000 are spent" in err


def test_a_price_needs_something_that_is_paid_for(tmp_path):
    script = tmp_path / "rules.yaml"
    script.write_text("rules: [{choose: {A: 0.5, B: 0.5}}]")
    critic = CriticConfig(models=(f"script:{script}",), constitution=Path("constitutions/lab.yaml"), max_cost=1.0)
    with pytest.raises(UsageError, match="--max-cost needs a critic that is asked over HTTP"):
        critic.engines()
