"""What ``rlaif serve`` is asked to do. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlaif.critic.config import PANEL as CRITIC
from rlaif.critic.config import CriticConfig
from rlaif.settings import nested, setting

Feedback = Literal["score", "group"]
SERVER, REWARD = "Server", "Reward of trainers"


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """also: constitutions besides the first, which is the one for requests that name none.

    queue: questions to the critic that may wait; what comes on top is answered 429. max_body: bytes of a request.
    timeout: seconds for an answer, and to finish what is under way when the server is told to end. read_timeout: seconds within
        which a client must have sent its whole request.
    feedback: of ``/v1/reward``, by itself or beside the other samples of its prompt in the same request.
    response_start, response_end: how the trainer's chat template begins and ends an answer, for a client that sends prompt and
        response in one text.
    """

    also: tuple[Path, ...] = setting(
        (), "Serve this constitution too; requests choose by its name. Repeat.", metavar="FILE|NAME", panel=CRITIC, shipped=True
    )
    critic: CriticConfig = nested(CriticConfig, without=("mode",))
    host: str = setting("127.0.0.1", "Address to listen on.", panel=SERVER)
    port: int = setting(8200, "Port to listen on; 0 takes a free one.", panel=SERVER, least=0, most=65535)
    queue: int = setting(20_000, "Questions that may wait; beyond, clients are told 429.", panel=SERVER, least=1)
    max_body: int = setting(4 << 20, "Largest request, in bytes.", panel=SERVER, least=1)
    timeout: float = setting(300.0, "Seconds for an answer, and for what is under way at the end.", panel=SERVER, above=0)
    read_timeout: float = setting(20.0, "Seconds for a client to send its request.", panel=SERVER, above=0)
    feedback: Feedback = setting("score", "/v1/reward: score each response, or compare a prompt's samples.", panel=REWARD)
    response_start: str | None = setting(
        None, "/v1/reward without prompts: what stands before the response, such as '<|im_start|>assistant'.", panel=REWARD
    )
    response_end: str | None = setting(None, "/v1/reward: what ends it, such as '<|im_end|>'.", panel=REWARD)
