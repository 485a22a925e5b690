"""The YAML form of a configuration: read, checked with its place, written so that it makes the same run again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.config_file import dump_config, read_config, schema, shown, write_config
from rlaif.errors import UsageError
from rlaif.label.config import LabelConfig
from rlaif.settings import configure, settings_of


def read(folder: Path, text: str, kind: type = LabelConfig):
    (folder / "c.yaml").write_text(text)
    return read_config(folder / "c.yaml", kind)


def test_settings_by_name_and_one_value_is_a_list(tmp_path):
    found = read(tmp_path, "critic: lab\nmax_tokens: 12\nclamp: [.4, .6]\nreasons: true\n")
    assert found == {"critic": ("lab",), "max_tokens": 12, "clamp": (0.4, 0.6), "reasons": True}


def test_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "rows.jsonl").write_text("")
    (tmp_path / "s.yaml").write_text("")
    found = read(tmp_path, "source: rows.jsonl\nout: run\ncritic: [script:s.yaml, lab, some/hub-id]\nconstitution: /c.yaml\n")
    assert found["source"] == str(tmp_path / "rows.jsonl") and found["out"] == tmp_path / "run"
    assert found["critic"] == (f"script:{tmp_path / 's.yaml'}", "lab", "some/hub-id")
    assert found["constitution"] == Path("/c.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("votes: 2\nvoets: 3\n", ":2:1: voets: unknown key; allowed: .*; did you mean votes?"),
        ("mode: compar\n", ":1:7: mode: --mode compar: expected one of compare, score, rank.*did you mean compare"),
        ("min_mass: 2\n", ":1:11: min_mass: found 2; allowed: a number at least 0 and at most 1"),
        ("limit: 0\n", ":1:8: limit: found 0; allowed: a whole number at least 1, or null"),
        ("engine: vlm\n", ":1:9: engine: --engine vlm: expected one of auto, transformers, vllm.*did you mean vllm"),
        ("- votes\n", ":1:1: found a list; allowed: a mapping"),
        ("votes: [\n", ":.*: not valid YAML"),
        ("seed: 1\nseed: 2\n", ":2:1: seed: set twice"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path, text, said):
    with pytest.raises(UsageError, match=said):
        read(tmp_path, text)


def test_every_setting_has_its_place_in_the_schema():
    assert schema(LabelConfig)["properties"].keys() == settings_of(LabelConfig).keys()


@given(
    votes=st.integers(1, 9),
    clamp=st.none() | st.just((0.4, 0.6)),
    limit=st.none() | st.integers(1, 99),
    export=st.sets(st.sampled_from(["sft", "rankings", "unpaired"])).map(lambda names: tuple(sorted(names))),
    critic=st.lists(st.sampled_from(["lab", "http://a:1,http://b:2", "script:rules.yaml", "a: b", "#x", "1e3"]), min_size=1),
)
def test_what_is_written_reads_back(tmp_path_factory, votes, clamp, limit, export, critic):
    folder = tmp_path_factory.mktemp("run")
    given = {"source": "hub/rows", "constitution": folder / "c.yaml", "out": folder, "critic": critic}
    config = configure(LabelConfig, **given, votes=votes, clamp=clamp, limit=limit, export=export)
    write_config(config, folder, "label")
    assert configure(LabelConfig, **read_config(folder / "config.yaml", LabelConfig)) == config


def test_it_is_relative_to_its_folder_and_leaves_defaults_out(tmp_path):
    (tmp_path / "rows.jsonl").write_text("")
    given = {"source": str(tmp_path / "rows.jsonl"), "constitution": tmp_path / "c.yaml", "critic": "lab"}
    text = dump_config(configure(LabelConfig, **given, out=tmp_path / "run"), tmp_path / "run", "label")
    assert str(tmp_path) not in text and "source: ../rows.jsonl" in text and "out: ." in text and "votes" not in text


def test_no_password_is_written(tmp_path):
    given = {"source": "x", "constitution": "c.yaml", "critic": "http://me:secret@host/v1", "out": tmp_path}
    config = configure(LabelConfig, **given)
    assert "secret" not in dump_config(config, tmp_path, "label") + repr(shown(config))


def test_a_shipped_constitutions_name_is_no_path(tmp_path):
    (tmp_path / "run.yaml").write_text("source: r.jsonl\nout: o\nconstitution: concise\ncritic: lab\n")
    config = configure(LabelConfig, **read_config(tmp_path / "run.yaml", LabelConfig))
    assert config.critic.constitution == Path("concise")
    assert "constitution: concise\n" in dump_config(config, tmp_path / "deeper", "label")
    (tmp_path / "concise").write_text("name: mine")
    assert read_config(tmp_path / "run.yaml", LabelConfig)["constitution"] == tmp_path / "concise"
