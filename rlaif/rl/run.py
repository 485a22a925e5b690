"""An on-policy run: from what the user asked for to a folder with a model."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import torch
from torch import Tensor
from transformers import set_seed

from rlaif import loops
from rlaif.config_file import shown, write_config
from rlaif.data.push import check_hub, push
from rlaif.data.read import named_columns
from rlaif.data.records import FailureRecord
from rlaif.data.run_folder import TRAINED, RunFolder
from rlaif.data.write import JsonlWriter, atomic_write
from rlaif.errors import RunFailed, UsageError
from rlaif.models.load import Base, find_base, save
from rlaif.processes import on_main, processes, together
from rlaif.progress import Progress
from rlaif.report.page import write_report
from rlaif.rl import state as checkpoints
from rlaif.rl.card import model_card
from rlaif.rl.collect import open_cut
from rlaif.rl.config import RlConfig
from rlaif.rl.fit import fit, setting_of
from rlaif.rl.loop import Loop
from rlaif.rl.maths.kl import AdaptiveKL, FixedKL
from rlaif.rl.monitor.limits import load_limits
from rlaif.rl.monitor.monitor import Monitor
from rlaif.rl.networks import Policy, build, in_one_piece
from rlaif.rl.parts import Parts
from rlaif.rl.prompts import Prompts, hold_out, queries_of
from rlaif.rl.ptx import open_ptx
from rlaif.rl.ranks import NoSampler, judged_elsewhere
from rlaif.rl.record import NoLog, RunLog
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.open import OpenReward, open_reward
from rlaif.rl.rollout import Query, Sampler, Sleeper
from rlaif.rl.samplers.open import open_sampler, room
from rlaif.rl.shard import check as check_launch
from rlaif.rl.sleep import sleeps
from rlaif.rl.update import Learner
from rlaif.settings import resumable, settings_of
from rlaif.tracking import chosen


def run_rl(config: RlConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Train, write the model to ``config.out / "model"``, and return the content of ``run.json``.

    The same call continues a run that was stopped from its last checkpoint, and leaves one that is finished as it is. Where
    several processes were launched, they are one run (``ranks``): each calls this, and the main one alone writes and raises.

    Raises UsageError before anything is sampled when the input cannot be used, RunFailed when training cannot go on; the last
    checkpoint then stays in ``checkpoints/``.
    """
    main = processes().is_main_process
    progress = progress if progress and main else Progress()
    config, base, queries, failures = together(lambda: _read(config))
    what = {"kind": "train", "method": config.method, "source": config.source, "base": base.identity}
    folder = RunFolder(config.out, what, config.overwrite, config)
    with ExitStack() as held:
        together(lambda: held.enter_context(folder) if main else None)
        try:
            run = loops.run(_run(config, base, queries, failures, folder, progress))
        except (RunFailed, UsageError):
            if not main:
                raise SystemExit(0) from None  # all processes stop for it, and the main one says so
            raise
    on_main(lambda: push(config.push_to_hub, config.out / "model", "model"))
    return run


def _read(config: RlConfig) -> tuple[RlConfig, Base, list[Query], list[FailureRecord]]:
    """The configuration with passes that fit, the policy's tokenizer, and the prompts."""
    check_launch(config.shard)
    chosen(config.track)
    check_hub(config.push_to_hub)
    base = find_base(config.model, "causal", config.context, config.precision, config.trust_remote_code)
    if base.context <= config.max_tokens:
        raise UsageError(
            f"--max-tokens {config.max_tokens}: {'--context' if config.context else config.model} has room for {base.context} "
            "tokens, prompt included"
        )
    queries, failures = queries_of(config, base)
    return fit(config, setting_of(config, base, queries)), base, queries, failures


async def _run(
    config: RlConfig,
    base: Base,
    queries: Sequence[Query],
    failures: Sequence[FailureRecord],
    folder: RunFolder,
    progress: Progress,
) -> dict[str, Any]:
    sleep = together(lambda: sleeps(config))
    opened, second = _judges(config, sleep)
    try:
        facts = _facts(config, base, queries, len(failures), opened, second)
        before = on_main(lambda: _begun(config, folder, facts))
        if before.get("status") == "finished" and (config.out / "model" / "README.md").is_file():
            return before
        return await _train(config, base, queries, failures, opened, second, sleep, folder, facts, progress)
    except torch.OutOfMemoryError as error:  # anywhere: the networks, a sampler and a critic may share the device
        text = "out of memory; lower --micro-tokens (update), --sample-tokens (sampling) or the critic's --gpu-memory"
        if processes().is_main_process:
            folder.write("failed", {**facts, "error": text})
        raise RunFailed(text) from error
    finally:
        await opened.close()
        if second:
            await second.close()


def _judges(config: RlConfig, sleep: bool) -> tuple[OpenReward, OpenReward | None]:
    """The sources of rewards. Of several processes the main one has them, and the others know what they are."""
    main = processes().is_main_process

    def opened() -> list[OpenReward | None]:
        first = open_reward(config.rewards, reference=config.model, max_tokens=config.max_tokens, out=config.out, sleep=sleep)
        return [first, open_reward(RewardConfig(reward=config.second), sleep=sleep) if config.second else None]

    both = together(lambda: opened() if main else [])
    about = on_main(lambda: [(each.facts, each.task_weights) if each else None for each in both])
    if not main:
        both = [OpenReward(judged_elsewhere, *each, AsyncExitStack()) if each else None for each in about]
    assert both[0]
    return both[0], both[1]


async def _train(
    config: RlConfig,
    base: Base,
    queries: Sequence[Query],
    failures: Sequence[FailureRecord],
    opened: OpenReward,
    second: OpenReward | None,
    sleep: bool,
    folder: RunFolder,
    facts: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    main = processes().is_main_process
    set_seed(config.seed)  # adapters are drawn at random
    networks = build(config, base)
    central = config.sampler.startswith(("http://", "https://"))  # servers take the weights once, and all prompts
    sampler: Sampler = NoSampler(config.sampler_adapter)
    if main or not central:
        sampler = open_sampler(config, base._replace(context=room(config, base, queries)), networks.policy)
    engines = [*opened.sleepers, *(second.sleepers if second else ()), *([sampler] if isinstance(sampler, Sleeper) else [])]
    for network in networks.here if config.shard else ():
        network.shard()
    training, held_out = hold_out(queries, config.eval_prompts, config.seed, config.source)
    device = networks.policy.model.device
    names = named_columns(config.ptx_columns)
    ptx = open_ptx(config.ptx, config.ptx_batch, base, config.seed, device, names) if config.ptx else None
    parts = Parts(
        networks,
        sampler,
        opened.source,
        second.source if second else None,
        Prompts(training, opened.task_weights, config.seed, config.curriculum),
        held_out,
        Learner(config, networks, ptx.draw if ptx else None),
        Monitor(load_limits(config.monitor, device.type != "cpu")),
        AdaptiveKL(config.beta, config.kl_target, config.kl_horizon) if config.kl_target else FixedKL(config.beta),
        base.pad,
        open_cut(config, base),
        central,
        engines if sleep else (),
    )
    on_main(lambda: _begin(config, folder, facts, failures, ptx.failures if ptx else None))
    state = checkpoints.load_newest(config.out / "checkpoints")
    kept_as = None if config.lora else base.dtype  # an adapter is small, and it is merged before the model is rounded
    begun_at = state["step"] if state else 0
    record = RunLog(config, begun_at, progress.update, kept_as) if main else NoLog()
    if state is None and not second and opened.relative:
        record.warn(
            0, "rewards are relative to the prompt's other samples, so their mean says nothing of progress: give --second"
        )
    if state is None and ptx and ptx.failures:
        record.warn(0, f"--ptx {config.ptx}: {len(ptx.failures)} rows cannot be used; ptx-failures.jsonl lists them")
    loop = Loop(config, parts, record)
    if state:
        loop.load_state_dict(state, {query.row.number: query for query in queries})
    progress.stage(config.method, config.steps, loop.step)
    started = time.monotonic()
    try:
        await loop.run()
    except RunFailed as error:
        if main:
            folder.write("failed", {**facts, "error": str(error), "steps": loop.step})
        raise
    finally:
        sampler.close()
        record.close()
    seconds = round(time.monotonic() - started, 3)
    weights = checkpoints.weights_of(networks.policy.parameters()) if config.shard else {}
    return on_main(lambda: _saved(config, base, networks.policy, weights, loop, record, folder, facts, seconds))


def _begin(
    config: RlConfig,
    folder: RunFolder,
    facts: dict[str, Any],
    failures: Sequence[FailureRecord],
    of_ptx: Sequence[FailureRecord] | None,
) -> None:
    folder.write("running", facts)  # only now: a start that was refused leaves the folder as it was
    write_config(config, config.out, f"train {config.method}")
    for name, found in (("failures", failures), ("ptx-failures", of_ptx)):
        if found is not None:
            with JsonlWriter(config.out / f"{name}.jsonl") as file:
                for failure in found:
                    file.write(failure)


def _saved(
    config: RlConfig,
    base: Base,
    policy: Policy,
    weights: Mapping[str, Tensor],
    loop: Loop,
    record: RunLog | NoLog,
    folder: RunFolder,
    facts: dict[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """``run.json`` of the run that is done, its model saved. weights: the policy's, where it is sharded."""
    if weights:
        policy = in_one_piece(config, base, weights)
    kept = loop.best if loop.stopped and loop.best is not None else loop.step
    if kept != loop.step:
        checkpoints.put(policy.parameters(), checkpoints.load_policy(config.out / "checkpoints", kept))
    with policy.active():
        save(policy.model, base, config.out / "model")
    outcome = {
        "steps": loop.step,
        "stopped": loop.stopped,
        "model_of_step": kept,
        "warnings": record.warnings,
        "metrics": record.last,
        "timings": {"train_seconds": seconds},
    }
    run = folder.write("finished", {**facts, **outcome})
    with atomic_write(config.out / "model" / "README.md") as file:
        file.write(model_card(run, config.title))
    checkpoints.remove(config.out / "checkpoints")
    write_report(config.out)
    return run


def _facts(
    config: RlConfig, base: Base, queries: Sequence[Query], failed: int, opened: OpenReward, second: OpenReward | None
) -> dict[str, Any]:
    digest = hashlib.sha256(repr([(query.ids, query.task) for query in queries]).encode()).hexdigest()[:16]
    return {
        "config": shown(config),
        "learning_rate": config.learns_at,
        "context": base.context,
        "data": {"digest": digest, "used": len(queries), "failed": failed, "held_out": config.eval_prompts},
        "reward": opened.facts,
        "second": second.facts if second else None,
        "monitor": hashlib.sha256(repr(load_limits(config.monitor)).encode()).hexdigest()[:16],
        "seed": config.seed,
    }


def _begun(config: RlConfig, folder: RunFolder, facts: dict[str, Any]) -> dict[str, Any]:
    """``run.json`` of the run that this one continues, empty where it begins."""
    before = folder.read()
    digest = facts["data"]["digest"]
    # What the rewards turned out to be is compared, not how they were asked for.
    free = resumable(type(config)) | settings_of(RewardConfig).keys()
    same = (
        (f"other prompts in {config.source}", before.get("data", {}).get("digest", digest), digest),
        *((f"another {name}", before.get(name, facts[name]), facts[name]) for name in ("reward", "second", "monitor")),
    )
    return folder.continued(facts["config"], free, TRAINED, same)
