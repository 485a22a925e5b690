"""``rlaif sample``: responses of a model to prompts, as rows that ``rlaif label`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlaif.cli.flags import panel
from rlaif.engines.open import Backend, Dtype

rows, drawing, asked, output = map(panel, ("What to answer", "How to draw", "Whom to ask", "What to write"))


def sample(
    source: Annotated[str, typer.Argument(help="Rows with prompts: a file, a folder or a datasets name.", metavar="PROMPTS")],
    model: Annotated[str, asked("A model's path or hub id, a training run's folder, http://… base URLs, or lab:policy.")],
    out: Annotated[Path, output("The rows with their responses; failures go to NAME.failures.jsonl beside it.")],
    n: Annotated[int, drawing("Responses per prompt.", min=1)] = 4,
    temperature: Annotated[float, drawing("0 is greedy.", min=0)] = 1.0,
    top_p: Annotated[float, drawing("Draw from the likeliest tokens that hold this probability.", min=0.01, max=1)] = 1.0,
    max_tokens: Annotated[int, drawing("Longest response.", min=1)] = 256,
    seed: Annotated[int, drawing("Another seed, other responses.")] = 0,
    limit: Annotated[int | None, rows("Only the first so many rows.", min=1)] = None,
    engine: Annotated[Backend, asked("auto, transformers or vllm.")] = "auto",
    dtype: Annotated[Dtype, asked("auto, float32, bfloat16 or float16.")] = "auto",
    context: Annotated[int | None, asked("Tokens of prompt and response, less than the model's.", min=16)] = None,
    tokenizer: Annotated[str | None, asked("A server's tokenizer (path or hub id); none: send messages.")] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.", rich_help_panel="Whom to ask")
    ] = False,
    gpu_memory: Annotated[float, asked("Share of the GPU for vLLM.", min=0.05, max=1)] = 0.9,
    store: Annotated[Path, output("Where answers are kept, so that none is asked twice.")] = Path("runs/verdicts.sqlite"),
) -> None:
    """Sample responses from a model. Running the same command again draws nothing twice."""
    from rlaif.cli.console import Console
    from rlaif.cli.progress import SampleProgress
    from rlaif.sample.run import Progress, SampleConfig, run_sample

    config = SampleConfig(
        source=source,
        model=model,
        out=out,
        n=n,
        temperature=temperature,
        top_p=top_p,
        max_tokens=max_tokens,
        seed=seed,
        limit=limit,
        engine=engine,
        dtype=dtype,
        context=context,
        tokenizer=tokenizer,
        trust_remote_code=trust_remote_code,
        gpu_memory=gpu_memory,
        store=store,
    )
    with SampleProgress(Console(stderr=True)) as bar:
        counts = run_sample(config, Progress(bar.start, bar.update))
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{counts['rows_out']} prompts answered, {n} responses each; {counts['rows_failed']} failed")
    for what, path in (("samples", out), ("failures", config.failures)):
        console.print(f"{what:9}{path}", markup=False)
