"""Nothing here may reach a network: no model hub, no data hub."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)  # what passes once passes again; a new test is another draw
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory):
    """The URL of a vLLM server with the lab's critic, one for the session."""
    from rlaif.engines.open import lab_model
    from tests.serving import vllm_server

    with vllm_server(lab_model("lab"), tmp_path_factory.mktemp("server") / "log") as url:
        yield url
