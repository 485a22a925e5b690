"""A critic's probabilities put right by labels: the maps, the file that keeps them, and when they apply.

A map is fitted (``evaluate.recalibration``) for one critic, asked in one way about one wording. The file says which, and a run
that asks otherwise is told so.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlaif.critic.judge import Judge
from rlaif.critic.jury import Judged
from rlaif.critic.verdict import Comparison
from rlaif.data.write import atomic_write, dumps
from rlaif.errors import UsageError

SIGN = "rlaif calibration"
SHAPING = ("orders", "labels", "reasons", "reasons_tokens", "thinking", "clamp", "votes", "votes_temperature", "shots")
"""Settings of the critic that change its probabilities."""
_LEAST = 1e-6
"""p nearer to 0 or 1 than that is taken to be so far away; files keep six decimals."""


class Map(NamedTuple):
    """p → σ(slope · logit p) where there is a slope, else straight lines between the points (x, y).

    Increasing, and f(1 − p) = 1 − f(p): which response is called the first is arbitrary. labels: it was fitted on so many.
    shared: over all principles, where this one had too few of its own.
    """

    labels: int
    slope: float | None = None
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    shared: bool = False

    def __call__(self, p: float) -> float:
        """The calibrated probability, in [0, 1]; ½ stays exactly ½."""
        if p == 0.5:
            return 0.5
        if self.slope is None:
            return float(np.interp(p, self.x, self.y))
        p = min(1.0 - _LEAST, max(_LEAST, p))
        return 1.0 / (1.0 + math.exp(-self.slope * math.log(p / (1.0 - p))))


@dataclass(frozen=True)
class Calibration:
    """critic, mode, template, settings: who was asked, and how, see ``SHAPING``. wordings: by principle, ``wording_of`` what
    was asked. principles: those that have a map. overall: of the preference that the calibrated principles make together by
    the constitution of this digest and by ``aggregate``; None where it has none."""

    critic: str
    mode: str
    template: str
    settings: Mapping[str, Any]
    constitution: str
    aggregate: str
    wordings: Mapping[str, str] = field(default_factory=dict)
    principles: Mapping[str, Map] = field(default_factory=dict)
    overall: Map | None = None

    @property
    def digest(self) -> str:
        """Changes with what it does."""
        return hashlib.sha256(dumps([_plain(self.principles), _plain(self.overall)]).encode()).hexdigest()[:16]

    def on_principles(self, judged: Judged) -> Judged:
        """The verdicts on a pair, each with its calibrated p; what has no map stays as it is."""
        return [
            (
                principle,
                replace(verdict, p=self.principles[principle.id](verdict.p), uncalibrated=verdict.p)
                if isinstance(verdict, Comparison) and principle.id in self.principles
                else verdict,
            )
            for principle, verdict in judged
        ]

    def on_overall(self, p: float | None) -> float | None:
        """The calibrated preference."""
        return p if p is None or self.overall is None else self.overall(p)

    def told(self) -> dict[str, Any]:
        """What ``run.json`` says of it."""
        return {"principles": list(self.principles), "overall": self.overall is not None}

    def fitting(self, file: Path, judge: Judge, identity: str, settings: Mapping[str, Any]) -> tuple[Calibration, list[str]]:
        """What of it applies to a run that asks by ``judge``, and what does not, in words.

        Raises UsageError where the critic or the way of asking is another, or nothing applies.
        """
        asked = {name: settings.get(name) for name in SHAPING}
        for what, then, now in (
            ("critic", self.critic, identity),
            ("mode", self.mode, judge.template.mode),
            ("prompt template", self.template, judge.template.digest),
            *((f"--{name.replace('_', '-')}", self.settings.get(name), asked[name]) for name in SHAPING),
        ):
            if then != now:
                raise UsageError(f"--calibration {file}: for another {what} ({then}, not {now}); calibrate a run of this one")
        constitution = judge.constitution
        wordings = {each["id"]: wording_of(each, self.mode, judge.shots) for each in constitution.resolved()["principles"]}
        kept = {name: each for name, each in self.principles.items() if wordings.get(name) == self.wordings.get(name)}
        left_out = [f"{name}: worded otherwise, or not there" for name in self.principles if name not in kept]
        same = (self.constitution, self.aggregate) == (constitution.digest, judge.aggregate)
        overall = self.overall if same else None
        if self.overall and not overall:
            left_out.append("the overall preference: made by another constitution or --aggregate")
        if not kept and overall is None:
            raise UsageError(f"--calibration {file}: nothing of it applies here ({'; '.join(left_out)})")
        return replace(self, principles=kept, overall=overall), left_out


def wording_of(principle: Mapping[str, Any], mode: str, shots: int | None) -> str:
    """A digest of all that the critic is told of a principle (as ``Constitution.resolved`` has it) in a mode."""
    told = [principle.get("text"), principle.get(mode), principle.get("examples") if shots else None]
    return hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:16]


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Put it into a file of JSON."""
    content = {
        "what": SIGN,
        **{item.name: getattr(calibration, item.name) for item in fields(calibration)},
        "principles": _plain(calibration.principles),
        "overall": _plain(calibration.overall),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(dumps(content, indent=2) + "\n")


def read_calibration(path: Path) -> Calibration:
    """Raises UsageError where the file is not there, or nothing that ``write_calibration`` wrote."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("what") != SIGN:
            raise ValueError("another kind of file")
        principles = {name: _map(each) for name, each in content.pop("principles").items()}
        overall = content.pop("overall")
        return Calibration(principles=principles, overall=overall and _map(overall), **content)
    except OSError as error:
        raise UsageError(f"--calibration {path}: cannot be read: {error.strerror}; rlaif critic calibrate writes one") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"--calibration {path}: not a file that rlaif critic calibrate wrote") from None


def _map(values: Mapping[str, Any]) -> Map:
    """Raises ValueError or TypeError where it is no increasing map into [0, 1]."""
    found = Map(**{**values, "x": tuple(values["x"]), "y": tuple(values["y"])})
    increasing = all([0, *points, 1] == sorted([0, *points, 1]) for points in (found.x, found.y))
    if not increasing or len(found.x) != len(found.y) or (found.slope is None) != bool(found.x):
        raise ValueError("no map")
    if found.slope is not None and not 0 <= found.slope < math.inf:
        raise ValueError("no slope")
    return found


def _plain(maps: Any) -> Any:
    if isinstance(maps, Map):
        return maps._asdict()
    return {name: each._asdict() for name, each in maps.items()} if maps is not None else None
