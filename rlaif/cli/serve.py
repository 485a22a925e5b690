"""``rlaif serve``: the critic behind HTTP."""

from __future__ import annotations

from importlib.util import find_spec

from rlaif.cli.echo import echo
from rlaif.cli.flags import from_config
from rlaif.errors import UsageError
from rlaif.serve.config import ServeConfig

NEEDED = ("fastapi", "uvicorn", "prometheus_client")


def _serve(config: ServeConfig) -> None:
    if absent := [name for name in NEEDED if find_spec(name) is None]:
        raise UsageError(f"rlaif serve needs {', '.join(absent)}: pip install 'rlaif[serve]'")
    from rlaif.serve.run import run_serve

    run_serve(config, lambda url: echo(f"serving on {url} (what can be asked: {url}/docs)"))


serve = from_config(ServeConfig, _serve, "serve")
serve.__doc__ = """Answer over HTTP: compare, score, rank, and the reward protocols of OpenRLHF and LLaMA-Factory.

Clients show a key where RLAIF_SERVE_KEYS holds some, comma-separated. Edited constitutions take effect at once.
"""
