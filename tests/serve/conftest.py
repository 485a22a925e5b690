"""A server's parts with a critic of the tests, and a client that asks them in this process."""

import httpx
import pytest

from rlaif.serve.app import State, make_app
from rlaif.serve.config import ServeConfig
from rlaif.serve.constitutions import Constitutions
from rlaif.serve.metrics import Metrics
from rlaif.settings import configure
from tests.serve.critic import Words

CONSTITUTION = """name: t
version: 1
principles:
  - {id: kind, text: The response is kind., weight: 3}
  - {id: short, text: The response is short.}
"""


class Served:
    """A server in this process. extra: settings of ``ServeConfig``."""

    def __init__(self, folder, keys=(), **extra):
        settings = {
            "constitution": folder / "t.yaml",
            "critic": "words",
            "engine": "tests.serve.critic:Words",
            "store": folder / "v.sqlite",
        }
        self.config = configure(ServeConfig, **{**settings, **extra})
        self.metrics, self.state = Metrics(), State()
        self.constitutions = Constitutions(self.config, self.metrics)
        self.engine = Words.opened[-1]
        self.app = make_app(self.config, self.constitutions, self.metrics, tuple(keys), self.state)

    def client(self, **more):
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://served", **more)

    def counted(self):
        """What /metrics says: name with labels, and value."""
        lines = self.metrics.text().decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


@pytest.fixture
def serve(tmp_path):
    (tmp_path / "t.yaml").write_text(CONSTITUTION)
    made = []

    def make(keys=(), **extra):
        made.append(Served(tmp_path, keys, **extra))
        return made[-1]

    yield make
    for served in made:
        served.constitutions._store.close()
