"""Training on the model's own samples: ``rlaif train best-of-n``, and ``--rounds`` of the preference methods."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter
from typing import Annotated, Any

import typer

from rlaif.cli.flags import panel, parameters, with_flags
from rlaif.cli.train.options import COUNT, RUN, settings_flags, train_config
from rlaif.errors import UsageError
from rlaif.train.config import TrainConfig
from rlaif.train.feedback import Feedback, RoundsConfig

sampling, judging = map(panel, ("Its own samples", "Whom to ask about them"))

_SHARED: Mapping[str, Any] = {
    "temperature": sampling("0 is greedy.", min=0),
    "top_p": sampling("Draw from the likeliest tokens that hold this probability.", min=0.01, max=1),
    "max_tokens": sampling("Longest response.", **COUNT),
    "engine": sampling("auto, transformers or vllm; for the critic too."),
    "critic": judging("A model's path or hub id, http://… base URLs, lab, or script:FILE."),
    "constitution": judging("The principles, in YAML."),
    "prompts": judging("Folder of prompt templates in place of the shipped."),
    "max_failure_rate": judging("Past this share of failed verdicts, stop.", min=0, max=1),
    "store": judging("Where samples and verdicts are kept, so that none is asked twice."),
}
ROUNDS: Mapping[str, Any] = {
    "rounds": sampling("Sample with the model, have the critic label, train; so many times. SOURCE is prompts.", **COUNT),
    "samples": sampling("Responses per prompt.", min=2),
    "pairs": sampling("Of a prompt's responses: all, adjacent, or N drawn pairs."),
    **_SHARED,
    "orders": judging("both, or only one order (ab, ba)."),
}
"""Fields of ``Feedback`` that a preference method has."""
RANKING: Mapping[str, Any] = {
    **_SHARED,
    "rounds": sampling("Do it so many times, each with the model of the time before.", **COUNT),
    "reward_model": judging("A reward model's path or hub id, in place of critic and constitution."),
    "prediction": judging("An ensemble's score: mean, worst, or uncertainty (mean − ½ variance)."),
}
"""Fields of ``Feedback`` that best-of-n has; its ``samples`` are --n."""


def rounds_of(ctx: typer.Context, given: dict[str, Any]) -> Feedback | None:
    """Take the fields of ``Feedback`` out of ``given``; None without --rounds, which the others then must be without too."""
    own = {name: given.pop(name) for name in ROUNDS}
    if own["rounds"] is not None:
        return Feedback(**own)
    for name in own:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            raise UsageError(f"--{name.replace('_', '-')}: it is for training on the model's own samples; give --rounds too")
    return None


def run_sampled(config: RoundsConfig) -> None:
    """Run the rounds with a progress bar, and say what came out."""
    from rlaif.cli.console import Console
    from rlaif.cli.progress import TrainProgress

    with TrainProgress(Console(stderr=True)) as bar:
        from transformers.utils.logging import set_verbosity_error

        from rlaif.train.best_of_n import run_best_of_n
        from rlaif.train.loop import Progress
        from rlaif.train.rounds import run_preference_rounds

        set_verbosity_error()
        run_all = run_best_of_n if config.method == "best-of-n" else run_preference_rounds
        run = run_all(config, Progress(bar.stage, bar.update))
    _print_result(config, run)


def _print_result(config: RoundsConfig, run: dict[str, Any]) -> None:
    from rich.table import Table

    from rlaif.cli.console import Console

    console, rounds = Console(highlight=False, soft_wrap=True), run["rounds"]
    table = Table("metric", *(f"round {entry['round']}" for entry in rounds))
    for name in rounds[-1]["metrics"]:
        table.add_row(name, *(f"{entry['metrics'][name]:.4g}" for entry in rounds))
    console.print(table)
    if config.method == "best-of-n":
        bound = run["metrics"]["kl_bound"]
        console.print(
            f"the best of {config.feedback.samples} is at most {bound:.3f} nats (KL) from the policy it is drawn from"
        )
    for entry in rounds:
        sampled = entry["sampled"]
        found = f"{sampled['rows_out']} prompts sampled, {sampled['rows_failed']} failed · {entry['source']}"
        console.print(f"round {entry['round']}: {found}", markup=False)
    console.print(f"{'model':9}{config.train.out / 'model'}", markup=False)


def _best_of_n(**given: Any) -> None:
    feedback = Feedback(samples=given.pop("n"), **{name: given.pop(name) for name in RANKING})
    run_sampled(RoundsConfig(train_config("sft", given), feedback))


_N = Parameter(
    "n",
    Parameter.KEYWORD_ONLY,
    default=16,
    annotation=Annotated[int, sampling("Responses per prompt, of which the best is kept.", min=2)],
)


def register(app: typer.Typer) -> None:
    """Give ``app`` the command best-of-n."""
    train = {**RUN, "source": typer.Argument(help="Prompts: a file, a folder or a datasets name.", metavar="PROMPTS")}
    del train["labels"]
    flags = [*parameters(TrainConfig, train), *settings_flags("sft"), _N, *parameters(Feedback, RANKING)]
    text = "Best-of-n sampling, then fine-tuning on the best. The same command continues a run that was stopped."
    app.command("best-of-n", help=text)(with_flags(_best_of_n, flags))
