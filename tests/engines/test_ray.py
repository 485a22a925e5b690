"""The lab critic on a cluster of two nodes, one of which dies in mid-run: the files are those of one process.

Run by ``make test-integrations``: Ray is not in the development environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3

import pytest

from rlaif.engines.base import Message, Segment
from rlaif.engines.config import EngineConfig
from rlaif.engines.ray import RayEngine
from rlaif.errors import RunFailed, UsageError
from rlaif.label import pipeline
from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from rlaif.progress import Progress
from rlaif.settings import configure

ray = pytest.importorskip("ray", reason="Ray is not installed: make test-integrations")
pytest.importorskip("ray.cluster_utils")

ROWS = 60
CHUNK = 32


@pytest.fixture(scope="module")
def cluster():
    """Of two nodes with one processor each. Makes and removes nodes."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - else whatever runs beside the tests comes first
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.second = made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def asked(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK_QUESTIONS", CHUNK)
    monkeypatch.setattr(pipeline, "LOOK_AHEAD", 4 * CHUNK)
    rows = [{"prompt": f"What is {n} and {n}?", "responses": [f"It is {2 * n}.", f"No idea about {n}."]} for n in range(ROWS)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "c.yaml").write_text(
        "name: c\nversion: 1\nprinciples: [{id: kind, text: The response is kind.}, {id: safe, text: Safe.}]"
    )

    def config(name, **engine):
        given = {"source": str(tmp_path / "rows.jsonl"), "critic": "lab", "constitution": tmp_path / "c.yaml"}
        return configure(LabelConfig, out=tmp_path / name, store=tmp_path / f"{name}.sqlite", **given, **engine)

    return config


def answers(path):
    with sqlite3.connect(path) as store:
        return sorted(store.execute("SELECT key, answer FROM answers"))


def test_a_node_that_dies_costs_no_answer(asked, cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("rlaif.engines.ray.AHEAD", 3 * CHUNK)
    least_busy, seen = RayEngine._least_busy, []

    async def of_both(engine):
        while not seen and not all(replica.there for replica in engine._replicas):
            await asyncio.sleep(0.1)
        return await least_busy(engine)

    monkeypatch.setattr(RayEngine, "_least_busy", of_both)

    def update(done, figures):
        seen.append(done)
        if len(seen) == 1:
            cluster.remove_node(cluster.second, allow_graceful=False)

    run_label(asked("one", engine="transformers"))
    run = run_label(asked("many", engine="ray", replicas=2), Progress(update=update))
    assert len(seen) > 4 and run["counts"]["verdicts"] == 2 * ROWS
    assert "a replica was lost" in capsys.readouterr().err
    for name in ("preferences.jsonl", "preferences.parquet", "failures.jsonl"):
        assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert answers(tmp_path / "many.sqlite") == answers(tmp_path / "one.sqlite")
    cluster.second = cluster.add_node(num_cpus=1)


def test_replicas_join_when_there_is_room(asked, cluster):
    """Of three replicas two have room; the third one starts on the node that joins."""
    prompt = (Message("user", (Segment("Is this good? A or B.", True),)),)

    async def work():
        engine = EngineConfig(model="lab", engine="ray", replicas=3).open()
        third = None
        try:
            while sum(replica.there for replica in engine._replicas) < 3:
                await engine.choose([prompt], ["A", "B"])
                ready = sum(replica.there for replica in engine._replicas)
                third = third or (cluster.add_node(num_cpus=1) if ready == 2 else None)
                await asyncio.sleep(0.2)
            for replica in engine._replicas:
                assert replica.flying == 0
            found = await asyncio.gather(*(engine.choose([prompt], ["A", "B"]) for _ in range(6)))
            assert len({answer[0].logprobs for answer in found}) == 1
        finally:
            await engine.close()
            cluster.remove_node(third)

    asyncio.run(asyncio.wait_for(work(), 200))


def test_what_the_engine_says_is_said_here(cluster, monkeypatch):
    with pytest.raises(UsageError, match=r"no replica could be opened: .*no-such-model"):
        EngineConfig(model="no-such-model", engine="ray", replicas=1).open()
    alone = EngineConfig(model="lab", engine="transformers").open()
    engine = EngineConfig(model="lab", engine="ray", replicas=1).open()
    prompt = (Message("user", (Segment("Is this good? A or B.", True),)),)
    assert (engine.identity, engine.notes) == (alone.identity, alone.notes)
    assert engine.count_tokens(prompt) == alone.count_tokens(prompt) and engine.ids(prompt, 1) == alone.ids(prompt, 1)
    assert engine.fit(prompt, 1) == alone.fit(prompt, 1) == 0
    with pytest.raises(UsageError, match="begin with the same token"):
        engine.check_choices(["A", "A "])
    assert asyncio.run(engine.choose([prompt], ["A", "B"])) == asyncio.run(alone.choose([prompt], ["A", "B"]))
    monkeypatch.setattr("rlaif.engines.ray.TRIES", 2)
    with pytest.raises(RunFailed, match="2 replicas failed at the same call"):
        asyncio.run(engine.choose([("not a message",)], ["A", "B"]))  # no answer, and not one for ever either
    asyncio.run(engine.close())


def test_what_ray_cannot_hold_is_refused():
    for model in ("script:x.yaml", "http://one", "litellm:openai/x"):
        with pytest.raises(UsageError, match="is asked elsewhere"):
            EngineConfig(model=model, engine="ray").open()
