"""``rlaif sample``: responses of a model to prompts, as rows that ``rlaif label`` reads."""

from __future__ import annotations

from rlaif.cli.flags import from_config
from rlaif.sample.config import SampleConfig


def _sample(config: SampleConfig) -> None:
    from rlaif.cli.console import Console
    from rlaif.cli.progress import SampleProgress
    from rlaif.sample.run import Progress, run_sample

    with SampleProgress(Console(stderr=True)) as bar:
        counts = run_sample(config, Progress(bar.start, bar.update))
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{counts['rows_out']} prompts answered, {config.drawing.samples} responses each; {counts['rows_failed']} failed"
    )
    for what, path in (("samples", config.out), ("failures", config.failures)):
        console.print(f"{what:9}{path}", markup=False)


sample = from_config(SampleConfig, _sample, "sample")
sample.__doc__ = """Sample responses from a model. Running the same command again draws nothing twice."""
