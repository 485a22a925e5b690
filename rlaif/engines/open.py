"""From ``--critic SPEC`` to an engine. Nothing heavy is imported until the kind of engine is known."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rlaif.engines.base import Engine
from rlaif.errors import UsageError

Backend = Literal["auto", "transformers", "vllm"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
LAB = Path(__file__).parents[1] / "lab" / "models"


def open_engine(
    spec: str,
    *,
    backend: Backend = "auto",
    dtype: Dtype = "auto",
    context: int | None = None,
    tokenizer: str | None = None,
    trust_remote_code: bool = False,
    gpu_memory: float = 0.9,
) -> Engine:
    """The engine that ``spec`` names.

    spec: ``script:FILE``; one or several comma-separated ``http://…[#model]`` base URLs; ``lab``, ``lab:fallible``,
        ``lab:policy`` or ``lab:reviser``; the folder of a training run; otherwise a local path or hub id.
    backend: for paths and hub ids. ``auto`` is vLLM where it is installed and a GPU is present, else transformers.
    dtype: ``auto`` is float32 on a CPU and the checkpoint's own on a GPU.
    context: tokens of prompt and answer together, where less than the model's own limit is wanted.
    tokenizer: path or hub id for a server whose model's tokenizer is not found under the name that it reports; ``none``
        to send messages whatever the server is.
    gpu_memory: share of the GPU's memory that vLLM may take, in (0, 1].

    Raises UsageError when the spec names nothing usable.
    """
    if spec.startswith("script:"):
        from rlaif.engines.scripted import ScriptedEngine

        return ScriptedEngine(Path(spec.removeprefix("script:")))
    if spec.startswith(("http://", "https://")):
        from rlaif.engines.server import ServerEngine

        return ServerEngine(spec.split(","), tokenizer=tokenizer, context=context)
    model = model_path(spec)
    if backend == "vllm" and find_spec("vllm") is None:
        raise UsageError("--engine vllm: vLLM is not installed; pip install 'rlaif[vllm]' (on a CPU: make install-vllm)")
    if backend == "vllm" or (backend == "auto" and find_spec("vllm") is not None and _gpu()):
        from rlaif.engines.vllm import VllmEngine

        return VllmEngine(model, dtype=dtype, context=context, trust_remote_code=trust_remote_code, gpu_memory=gpu_memory)
    from rlaif.engines.transformers import TransformersEngine

    return TransformersEngine(model, dtype=dtype, context=context, trust_remote_code=trust_remote_code)


def model_path(spec: str) -> str:
    """Where the model that ``spec`` names is: a lab model's folder, that in a training run's folder, or ``spec`` itself."""
    trained = Path(spec) / "model"
    is_run = (trained / "config.json").is_file() and not (Path(spec) / "config.json").is_file()
    return lab_model(spec) or (str(trained) if is_run else spec)


def lab_model(spec: str) -> str | None:
    """The folder of a shipped lab model, or None when ``spec`` does not name one."""
    if spec != "lab" and not spec.startswith("lab:"):
        return None
    folder = LAB / (spec.partition(":")[2] or "critic")
    if not (folder / "config.json").is_file():
        names = ", ".join(sorted(path.parent.name for path in LAB.glob("*/config.json"))) or "none are built: rlaif lab build"
        raise UsageError(f"{spec!r}: the lab has no such model; it has {names}")
    return str(folder)


def _gpu() -> bool:
    import torch

    return torch.cuda.is_available()
