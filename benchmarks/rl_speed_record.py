"""Runs the peer's driver in the peer's environment and keeps what its first iteration computed.

    python rl_speed_record.py OUT DRIVER [its options]

trl computes its losses inside one long method. Its ``masked_mean`` is called there with each of them, so that a look at the
caller's variables shows all that went in, without a change to the program that is measured against.
"""

import runpy
import sys
from typing import Any

import torch
import trl.experimental.ppo.ppo_trainer as peer

KEPT = ("query_responses", "context_length", "logprobs", "ref_logprobs", "scores", "values", "advantages", "returns")
CALLS = 4
"""Of masked_mean in each step: the value's loss and clip fraction, the policy's loss and clip fraction."""


def main(out: str, driver: str, arguments: list[str]) -> None:
    mean, calls = peer.masked_mean, 0
    computed: dict[str, Any] = {"epochs": []}

    def masked_mean(*given: Any, **named: Any) -> Any:
        nonlocal calls
        caller = sys._getframe(1)
        if caller.f_code.co_name != "train":
            return mean(*given, **named)
        here = caller.f_locals
        if calls == 0:
            computed.update({name: here[name] for name in KEPT})
            for name in ("policy", "value_model"):
                weights = getattr(here["self"].accelerator.unwrap_model(here["model"]), name).state_dict()
                computed[name] = {key: value.clone() for key, value in weights.items()}
            args = here["args"]
            computed["args"] = {
                name: getattr(args, name) for name in ("kl_coef", "gamma", "lam", "cliprange", "cliprange_value")
            }
        calls += 1
        if calls % CALLS == 0 and here["update"] == 1:
            step = {name: here[name].detach().clone() for name in ("new_logprobs", "vpred", "pg_loss", "vf_loss")}
            computed["epochs"].append({"rows": torch.as_tensor(here["micro_batch_inds"]), **step})
            torch.save(computed, out)
        return mean(*given, **named)

    peer.masked_mean = masked_mean
    sys.argv = [driver, *arguments]
    runpy.run_path(driver, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
