from rlaif.api.training import configuration_of
from rlaif.compare.files import WRITERS
from rlaif.compare.recipes import METHODS, ROWS, STEPS, Step, chain, plan, steps


def test_what_the_settings_name_comes_first():
    step = Step("train ppo", {"source": "{rows}", "reward_model": "{a}/model,{b}/model", "beta": 0.1}, after=("c", "a"))
    assert step.needs == ("rows", "a", "b", "c")


def test_every_method_is_a_chain_of_known_commands_that_begins_with_the_rows():
    for paired in (False, True):
        known = steps(paired)
        for method in METHODS.values():
            names = chain(method.step, known)
            assert names[-1:] == ([method.step] if method.step else [])
            for place, name in enumerate(names):
                needs = known[name].needs
                assert all(need == ROWS or need in names[:place] for need in needs)
                command = known[name].command
                assert command in ("sample", "label", *WRITERS) or configuration_of(command.removeprefix("train "))


def test_pairs_that_the_rows_bring_are_not_sampled():
    assert "samples" in chain("dpo", steps(False)) and "samples" not in chain("dpo", steps(True))


def test_steps_that_methods_share_are_planned_once():
    names = plan(["dpo", "rlaif", "rlhf"], STEPS)
    assert len(names) == len(set(names)) and names.count("labels") == 1
    assert names.index("labels") < names.index("known") < names.index("rlhf")


def test_rlaif_and_rlhf_differ_in_their_labels_alone():
    def commands(method):
        return [STEPS[name].command for name in chain(METHODS[method].step, STEPS)]

    ours, theirs = commands("rlaif"), commands("rlhf")
    theirs.remove("known")
    assert ours == theirs
