import asyncio
from dataclasses import replace

import pytest

from rlaif.engines.config import EngineConfig
from rlaif.errors import UsageError
from rlaif.rl.rewards.base import SOURCES, Context, given


def test_sources_share_an_engine(tmp_path):
    (tmp_path / "s.yaml").write_text('rules:\n  - {choose: {"9": 1.0}}\n')
    context = Context(None, 8, None)
    config = EngineConfig()
    engine = context.engine(f"script:{tmp_path}/s.yaml", config)
    assert context.engine(f"script:{tmp_path}/s.yaml", replace(config)) is engine
    asyncio.run(context.exits.aclose())


def test_each_of_ours_can_be_imported():
    assert all(callable(SOURCES[name]) for name in ("critic", "model", "verifier", "gold"))


def test_what_is_missing_is_named():
    assert given("x", "critic", "--critic") == "x"
    with pytest.raises(UsageError, match="--reward critic needs --critic"):
        given((), "critic", "--critic")


def test_engines_are_opened_to_sleep_where_the_run_wants_it(monkeypatch):
    class Asleep:
        def sleep(self): ...
        def wake(self): ...
        async def close(self): ...

    class Never:
        async def close(self): ...

    opened = []

    def open_(self):
        opened.append(self)
        return Asleep() if self.model == "vllm" else Never()

    monkeypatch.setattr(EngineConfig, "open", open_)
    for wanted in (False, True):
        context = Context(None, 8, None, sleep=wanted)
        engines: list[object] = [context.engine(name, EngineConfig()) for name in ("vllm", "transformers", "vllm")]
        assert context.sleepers() == (engines[:1] if wanted else []) and engines[0] is engines[2]
        assert [config.can_sleep for config in opened[-2:]] == [wanted, wanted]
