"""What a model's ``generation_config.json`` says of drawing texts: left alone, or followed, the same in every engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from rlaif.errors import UsageError

Source = Literal["neutral", "model"]
FOLLOWED = ("top_k", "top_p", "min_p", "repetition_penalty")
_NONE: Mapping[str, tuple[Any, ...]] = {
    "num_beams": (1,), "encoder_repetition_penalty": (1.0,), "no_repeat_ngram_size": (0,), "guidance_scale": (1.0,),
    "typical_p": (1.0,), "epsilon_cutoff": (0.0,), "eta_cutoff": (0.0,), "min_length": (0,), "min_new_tokens": (0,),
}  # fmt: skip
"""Other settings that change which texts are drawn, and how often, with their values that change nothing."""
_OTHERS = (
    *_NONE, "top_h", "bad_words_ids", "sequence_bias", "suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id",
    "forced_eos_token_id", "exponential_decay_length_penalty", "penalty_alpha",
)  # fmt: skip


class Drawing(NamedTuple):
    """How an engine draws, besides what each call says; the defaults leave the model's own distribution as it is.

    top_k: the likeliest tokens that may be drawn, 0 for all. top_p: as of a call, the smaller of the two counts. min_p: a token
    needs this share of the likeliest one's probability. repetition_penalty: the logits of tokens that the prompt or the text
    holds are divided by it, or multiplied where they are negative (Keskar et al. 2019, arXiv 1909.05858).

    In each engine the penalty comes first, then the temperature, min-p, top-k and top-p.
    """

    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    @property
    def manner(self) -> str:
        """What an engine's identity says of it."""
        given = [f"{name}={value:g}" for name, value in self._asdict().items() if value != Drawing._field_defaults[name]]
        return f" generation_config({' '.join(given)})" if given else ""


def drawing(source: Source, settings: Mapping[str, Any]) -> tuple[Drawing, tuple[str, ...]]:
    """How to draw, and what ``run.json`` says of it. settings: the model's own, from its ``generation_config.json``.

    source: ``neutral`` leaves the model's settings alone; ``model`` follows them, all but the temperature, which is the call's.

    Raises UsageError for ``model`` where the settings ask for what not every engine can do, or are not what they should be.
    """
    own = {name: settings[name] for name in FOLLOWED if settings.get(name) is not None}
    others = {
        name: settings[name] for name in _OTHERS if settings.get(name) is not None and settings[name] not in _NONE.get(name, ())
    }
    if source == "neutral":
        held = {"temperature": settings.get("temperature"), **own, **others}
        named = ", ".join(f"{name}={value}" for name, value in held.items() if value is not None)
        told = f"the model's generation settings ({named}) are not used: texts are drawn as the run says"
        return Drawing(), (told,) if named else ()
    if others:
        named = ", ".join(f"{name}={value}" for name, value in others.items())
        raise UsageError(
            f"--generation-config model: the model's generation_config.json has {named}, and only {', '.join(FOLLOWED)} can be "
            "followed in every engine; use --generation-config neutral, or take the others out of the file"
        )
    kept = Drawing(**own)
    for name, value in own.items():
        if isinstance(value, bool) or not isinstance(value, int if name == "top_k" else int | float) or not _holds(name, value):
            told = f"{name}={value!r}, which is no {name}"
            raise UsageError(f"--generation-config model: the model's generation_config.json has {told}")
    if not kept.manner:
        return kept, ("the model has no generation settings to follow",)
    return kept, (f"texts are drawn by the model's generation settings:{kept.manner.replace('generation_config', '')}",)


def _holds(name: str, value: float) -> bool:
    if name in ("top_p", "min_p"):
        return 0 <= value <= 1 and (name == "min_p" or value > 0)
    return value >= 0 if name == "top_k" else 0 < value < float("inf")
