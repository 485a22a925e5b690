"""Checkpoints: the newest stays, policies stay until they are let go, and what is read is what was written."""

import pytest
import torch
from torch import nn

from rlaif.errors import UsageError
from rlaif.rl import state


def steps(folder, name):
    return sorted(path.name for path in folder.glob(f"{name}-*.pt"))


def test_of_a_folder_without_checkpoints_there_is_none(tmp_path):
    assert state.load_newest(tmp_path) is None and state.load_newest(tmp_path / "nowhere") is None


def test_the_newest_by_number_and_not_by_name_is_read_and_no_other_is_kept(tmp_path):
    for step in (2, 9, 10):
        state.save(tmp_path, step, {"step": step, "weights": torch.full((2,), float(step))})
    assert steps(tmp_path, "step") == ["step-10.pt"]
    newest = state.load_newest(tmp_path)
    assert newest["step"] == 10 and newest["weights"].tolist() == [10.0, 10.0]


def test_policies_are_removed_only_when_told(tmp_path):
    for step in (0, 4, 12):
        state.save_policy(tmp_path, step, {"w": torch.tensor([float(step)])})
    state.save(tmp_path, 12, {})
    assert steps(tmp_path, "policy") == ["policy-0.pt", "policy-12.pt", "policy-4.pt"]
    state.prune_policies(tmp_path, {4})
    assert steps(tmp_path, "policy") == ["policy-4.pt"] and steps(tmp_path, "step") == ["step-12.pt"]
    assert state.load_policy(tmp_path, 4)["w"].tolist() == [4.0]


def test_what_a_finished_run_does_not_need_is_removed(tmp_path):
    state.save(tmp_path, 3, {"step": 3})
    state.save_policy(tmp_path, 3, {"w": torch.ones(1)})
    state.remove(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["policy-3.pt"]


def test_a_policy_is_kept_in_the_precision_that_it_is_saved_in(tmp_path):
    for dtype, found in ((torch.bfloat16, torch.bfloat16), (None, torch.float32)):
        state.save_policy(tmp_path, 1, {"w": torch.tensor([1.0, 1e-3])}, dtype)
        assert state.load_policy(tmp_path, 1)["w"].dtype == found


def test_weights_that_were_put_back_are_the_same_and_still_learn(tmp_path):
    layer = nn.Linear(3, 2)
    parameters = dict(layer.named_parameters())
    state.save_policy(tmp_path, 1, state.weights_of(parameters))
    before = {name: value.clone() for name, value in parameters.items()}
    with torch.no_grad():
        layer.weight.add_(1)
    state.put(parameters, state.load_policy(tmp_path, 1))
    assert all(torch.equal(parameters[name], value) and parameters[name].requires_grad for name, value in before.items())


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path):
    state.save(tmp_path, 3, {"step": 3})
    with pytest.raises(Exception, match="pickle"):
        state.save(tmp_path, 4, {"step": lambda: None})
    assert state.load_newest(tmp_path)["step"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-3.pt"]


def test_a_checkpoint_of_another_version_is_refused_by_name(tmp_path):
    torch.save({"step": 3}, tmp_path / "step-3.pt")
    with pytest.raises(UsageError, match=r"step-3\.pt: a checkpoint of another version of rlaif.*--overwrite"):
        state.load_newest(tmp_path)
