"""One measurement of ``benchmarks.label_speed`` in a process of its own.

Reads a JSON object from stdin (``part``, and that part's arguments), writes one to stdout: CPU and wall seconds, and what
was counted. What has to be there before (imports, the engine, encoded prompts of the bare clients) is not in the seconds.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rlaif.constitution.load import load_constitution
from rlaif.critic.config import CriticConfig
from rlaif.critic.judge import Judge, in_cache_order
from rlaif.critic.templates import load_template
from rlaif.data.read import read_rows
from rlaif.data.rows import Row
from rlaif.engines.base import Prompt
from rlaif.engines.config import EngineConfig
from rlaif.engines.open import lab_model
from rlaif.label.config import LabelConfig

LAB = str(lab_model("lab"))
CONSTITUTION = Path("constitutions/lab.yaml")
Seconds = dict[str, Any]


class Clock:
    """CPU and wall seconds since it was made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def read(self, **counted: Any) -> Seconds:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        return {"cpu": time.process_time() - self._cpu, "wall": time.monotonic() - self._wall, "peak_mb": peak, **counted}


def ours(source: str, out: str, store: str, critic: str, **engine: Any) -> Seconds:
    """A whole labelling run: reading, asking, keeping, writing, report and card. label: wall seconds before its end. end: CPU
    seconds of Parquet, card and report."""
    from rlaif.label.conclude import conclude
    from rlaif.label.run import label

    if critic.startswith("http"):
        from transformers import AutoTokenizer  # noqa: F401
    settings = CriticConfig(
        models=(critic,), constitution=CONSTITUTION, store=Path(store), max_failure_rate=1, engine=EngineConfig(**engine)
    )
    ends = Clock()

    def timed(*arguments: Any) -> Any:
        nonlocal ends
        ends = Clock()
        return conclude(*arguments)

    clock = Clock()
    with patch("rlaif.label.run.conclude", timed):
        run = label(LabelConfig(source=source, out=Path(out), critic=settings)).run
    counts = run["counts"]
    return clock.read(
        verdicts=counts["verdicts"],
        calls=counts["asked"] + counts["cached"],
        label=run["timings"]["label_seconds"],
        end=ends.read()["cpu"],
    )


def prompts(source: str) -> Iterator[Prompt]:
    """All questions of a run, in its order."""
    judge = Judge(load_constitution(CONSTITUTION), load_template("compare"), "bare")
    for row in read_rows(source):
        assert isinstance(row, Row)
        for question in in_cache_order(judge.ask(row, (0, 1))):
            yield judge.prompt(question)


def encoded(source: str) -> tuple[list[list[int]], list[int]]:
    """The prompts' token ids, and the labels'."""
    from transformers import AutoTokenizer

    from rlaif.engines.tokens import Encoded, PromptEncoder

    encoder = PromptEncoder(AutoTokenizer.from_pretrained(LAB))
    ids = [item.ids for prompt in prompts(source) if isinstance(item := encoder.encode(prompt, decided=True), Encoded)]
    return ids, sorted(token for label in encoder.label_ids(["A", "B"]) for token in label)


def bare_http(source: str, url: str, way: str, at_once: int, per_request: int) -> Seconds:
    """The least that a client does: send bodies that are ready, read the replies as JSON. Nothing is kept or checked."""
    import aiohttp

    from rlaif.engines.messages import as_messages

    if way == "ids":
        ids, labels = encoded(source)
        body = {"max_tokens": 1, "temperature": 0, "logprobs": 0, "logprob_token_ids": labels}
        bodies = [{**body, "prompt": ids[at : at + per_request]} for at in range(0, len(ids), per_request)]
        path, body["return_tokens_as_token_ids"] = "completions", True
    else:
        body = {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 20}
        bodies = [{**body, "messages": as_messages(prompt)} for prompt in prompts(source)]
        path = "chat/completions"

    async def go() -> int:
        waiting = iter(bodies)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            async with session.get(f"{url}/v1/models") as reply:
                model = (await reply.json())["data"][0]["id"]

            async def client() -> int:
                answered = 0
                for body in waiting:
                    async with session.post(f"{url}/v1/{path}", json={"model": model, **body}) as reply:
                        answered += len(json.loads(await reply.read())["choices"])
                return answered

            return sum(await asyncio.gather(*(client() for _ in range(at_once))))

    clock = Clock()
    return clock.read(calls=asyncio.run(go()))


def bare_transformers(source: str) -> Seconds:
    """The model's forward passes over the same prompts in its best order: prefix groups over all of them, longest first."""
    from rlaif.engines.groups import batches, by_shared_prefix
    from rlaif.engines.tokens import Encoded
    from rlaif.engines.transformers import CPU_TOKENS, TransformersEngine

    engine = TransformersEngine(LAB)
    encoder: Any = engine._encoder
    items = [item for prompt in prompts(source) if isinstance(item := encoder.encode(prompt, decided=True), Encoded)]
    labels = encoder.label_ids(["A", "B"])
    clock = Clock()
    for groups in by_shared_prefix(items):
        for batch in batches(groups, 1, CPU_TOKENS):
            engine._choose(batch, labels)
    return clock.read(calls=len(items))


def bare_vllm(source: str) -> Seconds:
    """``vllm.LLM.generate`` once with all prompts, those with a common prefix side by side."""
    from rlaif.engines.vllm import open_llm

    ids, labels = encoded(source)
    llm = open_llm(LAB, "auto", None, False, 0.9)
    import vllm

    params = vllm.SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=labels, detokenize=False)
    clock = Clock()
    outputs = llm.generate([{"prompt_token_ids": one} for one in ids], params, use_tqdm=False)
    return clock.read(calls=len(outputs))


PARTS = {part.__name__: part for part in (ours, bare_http, bare_transformers, bare_vllm)}

if __name__ == "__main__":
    job = json.load(sys.stdin)
    print(json.dumps(PARTS[job.pop("part")](**job)))
