"""``rlaif critic check`` from the command line."""

CONSTITUTION = "name: c\nversion: 1\nprinciples:\n  - {id: kind, text: It is kind.}\n  - {id: short, text: It is short.}\n"
READS = r"""
rules:
  - {when: '(?s)<response_a>\s*</response_a>', choose: {A: 0.1, B: 0.85}}
  - {when: '(?s)<response_b>\s*</response_b>', choose: {A: 0.85, B: 0.1}}
  - {choose: {A: 0.48, B: 0.48}}
"""


def test_check_says_what_speaks_against_a_critic_and_what_the_job_would_cost(rlaif, tmp_path) -> None:
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "good.yaml").write_text(READS)
    (tmp_path / "bad.yaml").write_text("rules: [{choose: {A: 0.9, B: 0.05}}]\n")
    shared = ("--constitution", "c.yaml", "--store", "v.sqlite")
    code, out, _ = rlaif("critic", "check", "script:good.yaml", *shared, "--rows", "500")
    assert code == 0 and "an answer beats an empty one: 100.0%" in out
    assert "500 pairs: 2,000 questions" in out and out.endswith("script:good.yaml: nothing speaks against it\n")
    code, out, _ = rlaif("critic", "check", "script:bad.yaml", *shared)
    assert code == 1 and "! Position decides: 100.0%" in out
    assert out.endswith("script:bad.yaml: not worth asking as it is\n")


def test_check_needs_a_model_and_a_constitution(rlaif, tmp_path) -> None:
    assert rlaif("critic", "check")[0] == 2
    code, _, err = rlaif("critic", "check", "script:x.yaml")
    assert code == 2 and "--constitution is missing" in err
