"""What opens each kind of engine, and where the model that a user names is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rlaif.engines.base import Engine
from rlaif.engines.config import GPU_MEMORY, LAB, EngineConfig
from rlaif.errors import UsageError


def transformers(config: EngineConfig) -> Engine:
    from rlaif.engines.transformers import TransformersEngine

    return TransformersEngine(
        model_path(config.model),
        dtype=config.dtype,
        context=config.context,
        trust_remote_code=config.trust_remote_code,
        generation_config=config.generation_config,
    )


def vllm(config: EngineConfig) -> Engine:
    from rlaif.engines.vllm import VllmEngine

    return VllmEngine(
        model_path(config.model),
        dtype=config.dtype,
        context=config.context,
        trust_remote_code=config.trust_remote_code,
        gpu_memory=config.gpu_memory or GPU_MEMORY,
        generation_config=config.generation_config,
        sleep=config.can_sleep,
        tensor_parallel=config.tensor_parallel,
    )


def ray(config: EngineConfig) -> Engine:
    from rlaif.engines.ray import RayEngine

    folder = Path(model_path(config.model))
    here = folder.is_dir() and not config.model.startswith("lab")  # the lab's models come with the package, wherever it is
    return RayEngine(replace(config, model=str(folder.resolve())) if here else config)


def server(config: EngineConfig) -> Engine:
    from rlaif.engines.server import ServerEngine

    urls, how = config.model.split(","), config.generation_config
    return ServerEngine(urls, tokenizer=config.tokenizer, context=config.context, generation_config=how)


def litellm(config: EngineConfig) -> Engine:
    from rlaif.engines.litellm import LitellmEngine

    return LitellmEngine(config.model, context=config.context)


def scripted(config: EngineConfig) -> Engine:
    from rlaif.engines.scripted import ScriptedEngine

    return ScriptedEngine(Path(config.model.removeprefix("script:")))


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
