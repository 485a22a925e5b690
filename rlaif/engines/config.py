"""Which engine, and how it is opened: the settings that every command with a model of its own to ask has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rlaif.engines.drawing import Source
from rlaif.engines.installed import check_vllm
from rlaif.errors import UsageError
from rlaif.registry import Registry
from rlaif.settings import setting

if TYPE_CHECKING:
    from rlaif.engines.base import Engine

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
PANEL = "Engine"
GPU_MEMORY = 0.9
"""Share of the GPU that the models of a run take together, unless the user says otherwise."""
LAB = Path(__file__).parents[1] / "lab" / "models"
"""Where the lab's models are."""

ENGINES = Registry(
    "engine",
    "--engine",
    "rlaif.engines",
    {
        "transformers": "rlaif.engines.open:transformers",
        "vllm": "rlaif.engines.open:vllm",
        "server": "rlaif.engines.open:server",
        "ray": "rlaif.engines.open:ray",
        "litellm": "rlaif.engines.open:litellm",
        "scripted": "rlaif.engines.open:scripted",
    },
)
"""Name to a function (or class) that makes an engine of an ``EngineConfig``."""


def names() -> list[str]:
    """What ``--engine`` takes, besides ``module:Name``."""
    return ["auto", *ENGINES]


@dataclass(frozen=True)
class EngineConfig:
    """A model and what it runs on.

    model: ``script:FILE``; one or several comma-separated ``http://…[#model]`` base URLs; ``litellm:PROVIDER/MODEL``; ``lab``,
        ``lab:fallible``, ``lab:policy`` or ``lab:reviser``; the folder of a training run; otherwise a local path or hub id.
    engine: ``auto`` is the server's, litellm's or the script's for those models, else vLLM where it is installed and a GPU is
        present, else transformers. dtype: ``auto`` is float32 on a CPU and the checkpoint's own on a GPU.
    context: tokens of prompt and answer together; None is the model's own limit.
    tokenizer: path or hub id for a server whose model's tokenizer is not found under the name that it reports; ``none`` to send
        messages whatever the server is.
    generation_config: where the rest of how texts are drawn comes from, see ``drawing``.
    can_sleep: vLLM can give the GPU's memory back for a while.
    gpu_memory: share of the GPU's memory that vLLM may take, in (0, 1]; None is an even share among the run's models.
    tensor_parallel: GPUs that hold one model together, in vLLM. replicas: actors of Ray's that each hold the model; None is as
        many as the cluster's GPUs can hold.
    """

    model: str = setting("", hidden=True)
    generation_config: Source = setting("neutral", hidden=True)
    can_sleep: bool = setting(False, hidden=True)
    engine: str = setting("auto", "auto, transformers, vllm, ray, litellm, or module:Name.", panel=PANEL, known=names)
    dtype: Dtype = setting("auto", "auto: float32 on a CPU, the checkpoint's own on a GPU.", panel=PANEL)
    context: int | None = setting(None, "Tokens of prompt and answer, less than the model's.", panel=PANEL, least=16)
    tokenizer: str | None = setting(None, "A server's tokenizer (path or hub id); none: send messages.", panel=PANEL, path=True)
    trust_remote_code: bool = setting(False, "Run code that comes with the model.", panel=PANEL, resumable=True)
    gpu_memory: float | None = setting(
        None,
        "Share of the GPU for vLLM; by default shared among the run's models.",
        panel=PANEL,
        least=0.01,
        most=1,
        resumable=True,
    )
    tensor_parallel: int = setting(1, "GPUs that hold one model together, in vLLM.", panel=PANEL, least=1, resumable=True)
    replicas: int | None = setting(
        None, "With --engine ray: how many hold the model; by default one per GPU.", panel=PANEL, least=1, resumable=True
    )

    def open(self) -> Engine:
        """The engine. Nothing heavy is imported before its kind is known.

        Raises UsageError when the model names nothing usable.
        """
        kind = self._kind()
        if self.tensor_parallel > 1 and kind in ("transformers", "server", "litellm", "scripted"):
            raise UsageError(
                f"--tensor-parallel {self.tensor_parallel}: only vLLM spreads a model over GPUs, and {self.model} is not asked "
                "through it in this process; give --engine vllm"
            )
        engine: Engine = ENGINES[kind](self)
        return engine

    def sharing(self, models: int) -> EngineConfig:
        """The same beside others: of the GPU's memory an even share, where the user gave none."""
        return replace(self, gpu_memory=self.gpu_memory or GPU_MEMORY / max(1, models))

    def _kind(self) -> str:
        if self.replicas and self.engine != "ray":
            raise UsageError("--replicas needs --engine ray (which needs no cluster); of servers, each URL of --critic is one")
        if self.engine == "ray":
            if find_spec("ray") is None:
                raise UsageError("--engine ray: Ray is not installed; pip install 'rlaif[ray]'")
            if self.model.startswith(("script:", "http://", "https://", "litellm:")):
                raise UsageError(f"--engine ray holds models in its actors, and {self.model} is asked elsewhere")
            return "ray"
        if self.engine not in ("auto", "transformers", "vllm"):
            return self.engine
        if self.model.startswith("script:"):
            return "scripted"
        if self.model.startswith(("http://", "https://")):
            return "server"
        if self.model.startswith("litellm:"):
            return "litellm"
        kind = self.engine
        if kind == "auto":
            kind = "vllm" if find_spec("vllm") is not None and _gpu() else "transformers"
        if kind == "vllm":
            check_vllm(f"--engine {self.engine}")
        return kind


def _gpu() -> bool:
    import torch

    return torch.cuda.is_available()
