"""``rlaif sample``: responses of a model to prompts, as rows that ``rlaif label`` reads."""

from __future__ import annotations

from rlaif.cli.cost import print_cost
from rlaif.cli.echo import suggest
from rlaif.cli.flags import DRY_RUN, from_config
from rlaif.sample.config import SampleConfig


def _sample(config: SampleConfig, dry_run: bool) -> None:
    if dry_run:
        from rlaif.cost import sample_cost

        print_cost(sample_cost(config))
        return
    from rlaif.cli.console import Console, print_paths
    from rlaif.cli.progress import ProgressBar
    from rlaif.progress import Progress
    from rlaif.sample.run import run_sample

    with ProgressBar(Console(stderr=True), "opening the model", ("failed", "cut")) as bar:
        counts = run_sample(config, Progress(bar.stage, bar.update))
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{counts['rows_out']} prompts answered, {config.drawing.samples} responses each; {counts['rows_failed']} failed"
    )
    if counts["responses_cut"]:
        console.print(f"{counts['responses_cut']} responses were cut off at --max-tokens {config.drawing.max_tokens}")
    print_paths(("samples", config.out), ("failures", config.failures))
    suggest(f"rlaif label {config.out} --constitution FILE.yaml --critic MODEL --out runs/NAME")


sample = from_config(SampleConfig, _sample, "sample", [DRY_RUN])
sample.__doc__ = """Sample responses from a model. Running the same command again draws nothing twice."""
