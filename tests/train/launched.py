"""What one of two processes does in ``test_distributed``: training runs, one after another, as its arguments say.

Run by ``accelerate launch``. Accelerate has no FSDP without a GPU, though PyTorch has: here it is told that there are some.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from accelerate.state import AcceleratorState, DistributedType, PartialState

from rlaif.errors import RunFailed, UsageError
from rlaif.progress import Progress
from rlaif.settings import configure
from rlaif.train.config import configuration
from rlaif.train.loop import FeedbackTrainer
from rlaif.train.run import run_train


class Killed(BaseException):
    pass


def _init(self, *arguments, **options):
    several = PartialState(cpu=True)
    several.distributed_type = DistributedType.MULTI_GPU
    _whole(self, *arguments, **options)
    several.distributed_type = DistributedType.MULTI_CPU


_whole = AcceleratorState.__init__


def train(job, out):
    """job: fields of the configuration; also fsdp, kill (a step after which all processes die) and break (the process whose
    loss becomes NaN)."""
    fsdp, kill, broken = (job.pop(name, None) for name in ("fsdp", "kill", "break"))
    os.environ["ACCELERATE_USE_FSDP"] = "true" if fsdp else "false"
    AcceleratorState.__init__ = _init if fsdp else _whole
    steps = []

    def loss(self, *arguments, **options):
        steps.append(1)
        if kill is not None and self.state.global_step == kill:
            raise Killed
        return whole(self, *arguments, **options) * (float("nan") if broken == int(os.environ["RANK"]) else 1.0)

    whole = FeedbackTrainer.compute_loss
    FeedbackTrainer.compute_loss = loss
    config = configure(configuration(job.pop("method")), out=out, **{**job, **job.pop("settings", {})})
    try:
        run_train(config, Progress())
    except (Killed, SystemExit):
        return "left"
    except (UsageError, RunFailed) as error:
        return str(error)
    finally:
        FeedbackTrainer.compute_loss = whole
        AcceleratorState.__init__ = _whole
    return "finished"


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    for job in json.loads((folder / "jobs.json").read_text()):
        name = job.pop("name")
        said = train(job, folder / name)
        (folder / f"{name}.{os.environ['RANK']}").write_text(said)
