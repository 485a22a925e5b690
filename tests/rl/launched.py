"""What one of two processes does in ``test_ranks``: on-policy runs, one after another. Run by ``torchrun``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from rlaif.errors import RunFailed, UsageError
from rlaif.processes import processes
from rlaif.rl.loop import Loop
from rlaif.rl.methods import METHODS
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.run import run_rl
from rlaif.settings import configure


class Killed(BaseException):
    pass


def some_words(row, response):
    """A verdict that depends on the response alone, missing for three in ten."""
    kind = sum(map(ord, response))
    return None if kind % 10 < 3 else (kind % 97) / 97


def run(job, out):
    """job: settings of the run; also method, and kill: a step before which all processes die."""
    kill, whole = job.pop("kill", None), Loop._iterate

    async def iterate(self):
        if kill is not None and self.step == kill:
            raise Killed
        await whole(self)

    Loop._iterate = iterate
    reward = configure(RewardConfig, reward="verifier", verifier=f"{__file__}:{job.pop('verifier', 'some_words')}")
    try:
        run_rl(replace(configure(METHODS[job.pop("method")], out=out, **job), rewards=reward))
        return "finished"
    except (Killed, SystemExit):
        return "left"
    except (UsageError, RunFailed) as error:
        return str(error)
    finally:
        Loop._iterate = whole


def never(row, response):
    return None


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for job in json.loads((folder / "jobs.json").read_text()):
        said = run(job, folder / job.pop("name"))
        with (folder / f"said.{processes().process_index}").open("a") as file:
            file.write(f"{said}\n")
