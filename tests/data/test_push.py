"""From a dataset on the hub to labels on the hub, by its HTTP API; by command, as the hub's client reads its address once."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlaif.data.push import check_hub, push
from rlaif.errors import RunFailed, UsageError
from tests.data.hub_server import TOKEN, serving

ROWS = [{"ask": f"Question {n}?", "good": "Yes, surely.", "bad": "No."} for n in range(7)]


def parquet(rows):
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def test_labels_of_a_dataset_on_the_hub_go_back_to_it_with_its_licence(tmp_path):
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.7, B: 0.2}}]")
    (tmp_path / "c.yaml").write_text("{name: kindness, version: 1, principles: [{id: kind, text: The response is kind.}]}")
    command = "label hf://datasets/them/pairs:train --columns prompt=ask,chosen=good,rejected=bad --constitution c.yaml"
    command += " --critic script:s.yaml --out run --push-to-hub me/labels"
    files = {"data/train-00000-of-00001.parquet": parquet(ROWS)}
    with serving("them/pairs", files, {"license": "cc-by-4.0"}) as hub:

        def run():
            return subprocess.run(
                [sys.executable, "-m", "rlaif", *command.split()],
                cwd=tmp_path,
                env={**os.environ, **hub.environment, "HF_HOME": str(tmp_path / "hf")},
                capture_output=True,
                text=True,
                timeout=300,
            )

        hub.refuses = True
        stopped = run()
        assert stopped.returncode == 1 and "the same command tries again" in stopped.stderr, stopped.stderr
        hub.refuses = False
        done = run()  # continues: nothing is asked again
    assert done.returncode == 0, done.stderr
    assert "7 rows in, 7 preferences out · 0 asked, 14 from the store" in done.stdout
    assert all(asked["visibility"] == "private" and asked["type"] == "dataset" for asked in hub.made), hub.made
    written = hub.written["datasets/me/labels"]
    assert pq.read_table(io.BytesIO(written["preferences.parquet"])).num_rows == 7
    assert not [name for name in written if name.startswith(".") or name.endswith((".part", ".sqlite"))]
    card = huggingface_hub.DatasetCard(written["README.md"].decode())
    assert card.data.license == "cc-by-4.0" and card.data.source_datasets == ["them/pairs"]
    run_json = json.loads(written["run.json"])
    assert run_json["origin"] == {"dataset": "them/pairs", "licence": "cc-by-4.0"}
    assert "`kindness`" in card.text and run_json["constitution"]["digest"] in card.text
    assert not any(TOKEN.encode() in content for content in written.values())


class Hub:
    """What the hub's client was told."""

    def __init__(self, **_):
        self.calls = []

    def whoami(self):
        raise huggingface_hub.errors.LocalTokenNotFoundError("no token")

    def create_repo(self, *_, **__):
        raise OSError("no network")


def test_what_cannot_be_pushed_is_known_before_anything_is_asked(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    check_hub("")
    with pytest.raises(UsageError, match="--push-to-hub a/b/c: no name on the hub"):
        check_hub("a/b/c")
    with pytest.raises(UsageError, match="hf auth login, or set HF_TOKEN"):
        check_hub("me/labels")


def test_what_was_written_stays_when_the_hub_is_gone(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    push("", tmp_path, "model")
    with pytest.raises(RunFailed, match=f"all is written to {Path(tmp_path)}, and the hub did not take it"):
        push("me/model", tmp_path, "model")
