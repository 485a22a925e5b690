"""``rlaif revise``: critique and revision by a constitution; what comes out better, by the critic's word, is the dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rlaif.cli.flags import panel
from rlaif.constitution.types import Aggregate
from rlaif.critic.modes.compare import Orders
from rlaif.engines.open import Backend, Dtype

rows, asked, drawing, output = map(panel, ("What to revise", "Whom to ask", "How to revise", "What to write"))


def revise(
    source: Annotated[str, typer.Argument(help="Rows with responses: a file, a folder or a datasets name.", metavar="ROWS")],
    constitution: Annotated[Path, rows("The principles, in YAML.")],
    critic: Annotated[
        list[str],
        asked(
            "Who confirms the revisions: a model's path or hub id, http://… base URLs (comma-separated, #model to name one), "
            "lab, or script:FILE. Repeat for a jury."
        ),
    ],
    out: Annotated[Path, output("The run's folder.")],
    reviser: Annotated[
        str | None, asked("Who criticises and revises; by default the (first) critic, for a lab critic lab:reviser.")
    ] = None,
    rounds: Annotated[int, drawing("Critiques and revisions of each response, one principle drawn for each.", min=1)] = 1,
    shots: Annotated[int, drawing("Show so many of a principle's examples that have a critique.", min=0)] = 0,
    temperature: Annotated[float, drawing("Of critiques and revisions; 0 is greedy.", min=0)] = 1.0,
    max_tokens: Annotated[int, drawing("Longest critique, and longest revision.", min=1)] = 512,
    seed: Annotated[int, drawing("Of the drawn principles and of the texts.")] = 0,
    limit: Annotated[int | None, rows("Only the first so many rows.", min=1)] = None,
    aggregate: Annotated[Aggregate | None, asked("weighted, sampled or worst, in place of the constitution's.")] = None,
    orders: Annotated[Orders, asked("both, or only one order (ab, ba): half the calls, all the bias.")] = "both",
    prompts: Annotated[Path | None, asked("Folder of prompt templates in place of the shipped.")] = None,
    engine: Annotated[Backend, asked("auto, transformers or vllm.")] = "auto",
    dtype: Annotated[Dtype, asked("auto, float32, bfloat16 or float16.")] = "auto",
    context: Annotated[int | None, asked("Tokens of prompt and answer, less than the model's.", min=64)] = None,
    tokenizer: Annotated[str | None, asked("A server's tokenizer (path or hub id); none: send messages.")] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.", rich_help_panel="Whom to ask")
    ] = False,
    gpu_memory: Annotated[
        float | None, asked("Share of the GPU for vLLM; 0.9, or 0.45 each beside another reviser.", min=0.05, max=1)
    ] = None,
    min_mass: Annotated[float, asked("Least probability on the labels; below, no verdict.", min=0, max=1)] = 0.1,
    max_failure_rate: Annotated[
        float, asked("Past this share of failed revisions, or of failed verdicts, stop.", min=0, max=1)
    ] = 0.2,
    store: Annotated[Path, output("Where answers are kept, so that none is asked twice.")] = Path("runs/verdicts.sqlite"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another run in --out.", rich_help_panel="What to write")
    ] = False,
) -> None:
    """Criticise and revise responses by a constitution, and keep the revisions that the critic prefers, as pairs and for SFT.

    Running the same command again asks nothing twice: every answer is kept in the verdict store.
    """
    from rlaif.cli.console import Console
    from rlaif.cli.progress import TrainProgress
    from rlaif.label.revise_run import Progress, ReviseConfig, run_revise

    config = ReviseConfig(
        source=source,
        constitution=constitution,
        critic=critic[0],
        jury=tuple(critic[1:]),
        out=out,
        reviser=reviser,
        rounds=rounds,
        shots=shots,
        temperature=temperature,
        max_tokens=max_tokens,
        seed=seed,
        limit=limit,
        aggregate=aggregate,
        orders=orders,
        prompts=prompts,
        engine=engine,
        dtype=dtype,
        context=context,
        tokenizer=tokenizer,
        trust_remote_code=trust_remote_code,
        gpu_memory=gpu_memory,
        min_mass=min_mass,
        max_failure_rate=max_failure_rate,
        store=store,
        overwrite=overwrite,
    )
    with TrainProgress(Console(stderr=True), ("failed", "unchanged", "confirmed", "rejected")) as bar:
        run = run_revise(config, Progress(bar.stage, bar.update))
    _print_result(out, run["revisions"])


def _print_result(out: Path, found: dict[str, Any]) -> None:
    from rich.table import Table

    from rlaif.cli.console import Console

    table = Table("principle", "drawn", "changed", "confirmed")
    for name, counts in found["by_principle"].items():
        table.add_row(name, *(f"{counts[column]:,}" for column in ("drawn", "changed", "confirmed")))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(
        f"{found['responses']} responses: {found['confirmed']} revisions confirmed, {found['rejected']} rejected, "
        f"{found['unjudged']} not judged, {found['unchanged']} left as they were, {found['failed']} failed"
    )
    for what, name in (
        ("pairs", "preferences.jsonl"),
        ("for SFT", "sft.jsonl"),
        ("rejected", "rejected.jsonl"),
        ("failures", "failures.jsonl"),
        ("report", "report.html"),
    ):
        console.print(f"{what:9}{out / name}", markup=False)
