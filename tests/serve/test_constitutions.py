import asyncio

import pytest

from rlaif.api.judging import row_of
from rlaif.errors import UsageError
from rlaif.serve.constitutions import TooLarge, UnknownConstitution
from tests.serve.conftest import CONSTITUTION

ROW = [row_of(1, "q", ["good", "bad"])]


def asked(served, name=None):
    """The principles of the verdict, and how many questions went to the engine for it."""
    before = sum(map(len, served.engine.batches))
    (found,) = asyncio.run(served.constitutions.compared(served.constitutions.named(name), ROW))
    return list(found.principles), sum(map(len, served.engine.batches)) - before


def test_an_edited_principle_is_asked_again_and_no_other(serve, tmp_path):
    served = serve()
    assert asked(served) == (["kind", "short"], 4)
    served.constitutions.reload()
    assert asked(served) == (["kind", "short"], 0)
    (tmp_path / "t.yaml").write_text(CONSTITUTION.replace("is short", "is really short"))
    served.constitutions.reload()
    assert asked(served) == (["kind", "short"], 2)
    (tmp_path / "t.yaml").write_text(CONSTITUTION.replace("is short", "is really short").replace("3", "11"))
    served.constitutions.reload()
    assert asked(served) == (["kind", "short"], 0)
    assert served.counted()['rlaif_constitution_reloads_total{constitution="t",outcome="used"}'] == 2


@pytest.mark.parametrize("text", ["name: t\nversion: [", CONSTITUTION.replace("name: t", "name: other")])
def test_an_edit_that_cannot_be_used_leaves_the_last_good_one_at_work(serve, tmp_path, text, capsys):
    served = serve()
    (tmp_path / "t.yaml").write_text(text)
    served.constitutions.reload()
    served.constitutions.reload()
    assert asked(served)[0] == ["kind", "short"]
    assert served.constitutions.named(None).trouble and "not used" in capsys.readouterr().err
    (tmp_path / "t.yaml").unlink()
    served.constitutions.reload()
    assert asked(served)[0] == ["kind", "short"]
    (tmp_path / "t.yaml").write_text(CONSTITUTION + "  - {id: new, text: New.}\n")
    served.constitutions.reload()
    assert asked(served)[0] == ["kind", "short", "new"] and served.constitutions.named(None).trouble is None


def test_the_file_that_a_constitution_extends_is_watched_too(serve, tmp_path):
    (tmp_path / "base.yaml").write_text("{name: base, version: 1, principles: [{id: kind, text: Kind.}]}")
    (tmp_path / "u.yaml").write_text("{name: u, version: 1, extends: base.yaml, principles: [{id: brief, text: Brief.}]}")
    served = serve(also=[tmp_path / "u.yaml"])
    (tmp_path / "base.yaml").write_text("{name: base, version: 1, principles: [{id: kinder, text: Kinder.}]}")
    served.constitutions.reload()
    assert asked(served, "u")[0] == ["kinder", "brief"]


def test_names_choose(serve, tmp_path):
    (tmp_path / "u.yaml").write_text(CONSTITUTION)
    with pytest.raises(UsageError, match="two constitutions have the name 't'"):
        serve(also=[tmp_path / "u.yaml"])
    with pytest.raises(UnknownConstitution, match="there are: t"):
        serve().constitutions.named("x")


def test_settings_that_go_with_comparisons_alone_leave_the_scores_out(serve):
    served = serve(orders="ab")
    assert asked(served)[1] == 2
    with pytest.raises(UsageError, match="cannot score by its settings: --orders ab"):
        asyncio.run(served.constitutions.scored(served.constitutions.named(None), [row_of(1, "q", ["x"])]))


def test_a_small_request_with_many_pairs_is_refused_before_it_is_planned(serve):
    served = serve()
    with pytest.raises(TooLarge, match="questions"):
        asyncio.run(served.constitutions.ranked(served.constitutions.named(None), [row_of(1, "q", ["x"] * 500)]))


def test_what_was_opened_is_given_back(serve):
    served = serve()
    asyncio.run(served.constitutions.close())
    assert served.engine.closed
