"""``rlaif label``: have a critic judge responses by a constitution, and write what it says as a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlaif.constitution.types import Aggregate
from rlaif.critic.modes.compare import Orders
from rlaif.critic.templates import Mode
from rlaif.engines.open import Backend, Dtype

if TYPE_CHECKING:
    from rlaif.label.run import LabelConfig

INPUT, CRITIC, OUTPUT, POLICY = "What to judge", "Whom to ask", "What to write", "Responses to sample"


def label(
    source: Annotated[str, typer.Argument(help="JSONL, JSON, CSV or Parquet (plain or gzipped), or a datasets name.")],
    constitution: Annotated[Path, typer.Option(help="The principles, in YAML.", rich_help_panel=INPUT)],
    critic: Annotated[
        list[str],
        typer.Option(
            help="A model's path or hub id, http://… base URLs (comma-separated, #model to name one), lab, or script:FILE. "
            "Repeat for a jury: the mean of its critics judges.",
            rich_help_panel=CRITIC,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The run's folder.", rich_help_panel=OUTPUT)],
    mode: Annotated[
        Mode, typer.Option(help="compare pairs, score single responses, or rank all of a row's.", rich_help_panel=INPUT)
    ] = "compare",
    pairs: Annotated[
        str,
        typer.Option(
            help="Of a row's responses: all, adjacent, N drawn pairs, or in rounds that look at the results so far, "
            "swiss or active (at most half of all pairs, for 8 responses).",
            rich_help_panel=INPUT,
        ),
    ] = "all",
    aggregate: Annotated[
        Aggregate | None,
        typer.Option(help="weighted, sampled or worst, in place of the constitution's.", rich_help_panel=INPUT),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many rows.", rich_help_panel=INPUT)] = None,
    seed: Annotated[int, typer.Option(help="For drawn pairs, drawn principles and samples.", rich_help_panel=INPUT)] = 0,
    prompts: Annotated[
        Path | None, typer.Option(help="Folder of prompt templates in place of the shipped.", rich_help_panel=CRITIC)
    ] = None,
    orders: Annotated[
        Orders, typer.Option(help="both, or only one order (ab, ba): half the calls, all the bias.", rich_help_panel=CRITIC)
    ] = "both",
    engine: Annotated[Backend, typer.Option(help="auto, transformers or vllm.", rich_help_panel=CRITIC)] = "auto",
    dtype: Annotated[Dtype, typer.Option(help="auto, float32, bfloat16 or float16.", rich_help_panel=CRITIC)] = "auto",
    context: Annotated[
        int | None, typer.Option(min=64, help="Tokens of prompt and answer, less than the model's.", rich_help_panel=CRITIC)
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="A server's tokenizer (path or hub id); none: send messages.", rich_help_panel=CRITIC)
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.", rich_help_panel=CRITIC)
    ] = False,
    gpu_memory: Annotated[
        float | None,
        typer.Option(
            min=0.05, max=1, help="Share of the GPU for vLLM; 0.9, or 0.45 each beside a policy.", rich_help_panel=CRITIC
        ),
    ] = None,
    min_mass: Annotated[
        float, typer.Option(min=0, max=1, help="Least probability on the labels; below, no verdict.", rich_help_panel=CRITIC)
    ] = 0.1,
    max_failure_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Past this share of failed verdicts, stop.", rich_help_panel=CRITIC)
    ] = 0.2,
    shots: Annotated[
        int, typer.Option(min=0, help="Show so many of a principle's examples before each question.", rich_help_panel=CRITIC)
    ] = 0,
    reasons: Annotated[
        bool, typer.Option("--reasons", help="Have the critic reason first, then compare.", rich_help_panel=CRITIC)
    ] = False,
    reasons_tokens: Annotated[int, typer.Option(min=1, help="Longest rationale.", rich_help_panel=CRITIC)] = 512,
    clamp: Annotated[
        tuple[float, float] | None,
        typer.Option(help="With --reasons: the least and greatest p, such as .4 .6.", rich_help_panel=CRITIC),
    ] = None,
    votes: Annotated[
        int, typer.Option(min=1, help="With --reasons: sample so many rationales, take the mean.", rich_help_panel=CRITIC)
    ] = 1,
    votes_temperature: Annotated[
        float, typer.Option(min=0, help="Of sampled rationales; a single one is greedy.", rich_help_panel=CRITIC)
    ] = 0.7,
    canaries: Annotated[
        int, typer.Option(min=0, help="Mix in so many of the constitution's examples, as a test.", rich_help_panel=CRITIC)
    ] = 0,
    store: Annotated[Path, typer.Option(help="The verdict store.", rich_help_panel=OUTPUT)] = Path("runs/verdicts.sqlite"),
    export: Annotated[
        list[str] | None,
        typer.Option(help="Also write unpaired, rankings or sft (repeat for more).", rich_help_panel=OUTPUT),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another run in --out.", rich_help_panel=OUTPUT)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be asked; ask nothing.", rich_help_panel=OUTPUT)
    ] = False,
    policy: Annotated[
        str | None, typer.Option(help="A model to sample responses from where rows have none.", rich_help_panel=POLICY)
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Responses per prompt.", rich_help_panel=POLICY)] = 2,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.", rich_help_panel=POLICY)] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest response.", rich_help_panel=POLICY)] = 256,
) -> None:
    """Judge responses by a constitution; write preferences, failures, a report and a dataset card.

    Running the same command again asks nothing twice: every answer is kept in the verdict store.
    """
    from rlaif.cli.console import Console
    from rlaif.label.run import LabelConfig, Progress, run_label

    config = LabelConfig(
        source=source,
        constitution=constitution,
        critic=critic[0],
        jury=tuple(critic[1:]),
        shots=shots,
        reasons=reasons,
        reasons_tokens=reasons_tokens,
        clamp=clamp,
        votes=votes,
        votes_temperature=votes_temperature,
        canaries=canaries,
        out=out,
        store=store,
        prompts=prompts,
        pairs=pairs,
        limit=limit,
        seed=seed,
        min_mass=min_mass,
        max_failure_rate=max_failure_rate,
        export=tuple(export or ()),
        context=context,
        tokenizer=tokenizer,
        trust_remote_code=trust_remote_code,
        gpu_memory=gpu_memory,
        policy=policy,
        samples=samples,
        temperature=temperature,
        max_tokens=max_tokens,
        overwrite=overwrite,
        mode=mode,
        aggregate=aggregate,
        orders=orders,
        engine=engine,
        dtype=dtype,
    )
    console = Console(stderr=True)
    if dry_run:
        _print_dry_run(config)
        return
    from rlaif.cli.progress import LabelProgress

    with LabelProgress(console) as bar:
        run = run_label(config, Progress(bar.start, bar.update))
    _print_result(out, run)


def _print_dry_run(config: LabelConfig) -> None:
    from rlaif.cli.console import Console
    from rlaif.label.run import dry_run

    plan = dry_run(config)
    console = Console(highlight=False, soft_wrap=True)
    if plan.prompt:
        console.rule("the first prompt")
        console.print(plan.prompt, markup=False)
        console.rule()
    console.print(
        f"{plan.rows} rows ({plan.bad_rows} unusable) · {plan.verdicts} verdicts · {plan.questions} calls, "
        f"{plan.cached} of them answered in the store, {plan.questions - plan.cached} to ask · "
        f"about {plan.tokens:,} prompt tokens"
    )
    if plan.unsampled:
        console.print(f"{plan.unsampled} rows wait for responses of the policy; what is asked about those is not counted")


def _print_result(out: Path, run: dict[str, Any]) -> None:
    from rlaif.cli.console import Console
    from rlaif.evaluate.quality import as_table, quality

    counts = run["counts"]
    Console().print(as_table(quality(out)))
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{counts['rows_in']} rows in, {counts['rows_out']} preferences out · {counts['asked']} asked, "
        f"{counts['cached']} from the store · {counts['failed']} verdicts failed, {counts['rows_failed']} rows unusable · "
        f"{counts['cut']} verdicts on shortened text"
    )
    for what, name in (("dataset", "preferences.jsonl"), ("failures", "failures.jsonl"), ("report", "report.html")):
        console.print(f"{what:9}{out / name}", markup=False)
