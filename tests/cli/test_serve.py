"""``rlaif serve`` from the command line; the server itself is tested in ``tests/serve``."""

import pytest


def test_what_is_missing_or_wrong_is_said_before_anything_listens(rlaif, tmp_path):
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.8, B: 0.1}}]")
    for arguments, words in (
        (["--critic", "script:s.yaml"], "--constitution is missing"),
        (["--constitution", "concise"], "--critic is missing"),
        (["--constitution", "concise", "--also", "concise", "--critic", "script:s.yaml"], "two constitutions"),
        (["--constitution", "concise", "--also", "nowhere.yaml", "--critic", "script:s.yaml"], "nowhere.yaml"),
    ):
        code, _, err = rlaif("serve", *arguments)
        assert code == 2 and words in err


@pytest.mark.parametrize("absent", ["fastapi", "uvicorn", "prometheus_client"])
def test_without_its_packages_it_names_the_extra(rlaif, monkeypatch, absent):
    from importlib.util import find_spec

    monkeypatch.setattr("rlaif.cli.serve.find_spec", lambda name: None if name == absent else find_spec(name))
    code, _, err = rlaif("serve", "--constitution", "concise", "--critic", "lab")
    assert code == 2 and absent in err and "rlaif[serve]" in err
