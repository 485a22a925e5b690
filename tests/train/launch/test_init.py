"""The configurations for several devices are files that accelerate takes; another name is one message."""

import subprocess
import sys

import pytest
import yaml

from rlaif.errors import UsageError
from rlaif.train.launch import path


@pytest.mark.parametrize("name", ["fsdp2", "deepspeed-zero2", "deepspeed-zero3"])
def test_each_is_a_configuration_of_accelerate(name):
    config = yaml.safe_load(path(name).read_text(encoding="utf-8"))
    assert config["distributed_type"] in ("FSDP", "DEEPSPEED")


@pytest.mark.parametrize("name", ["", "fsdp", "../fsdp2", "fsdp2.yaml"])
def test_another_name_lists_those_that_there_are(name):
    with pytest.raises(UsageError, match="there are deepspeed-zero2, deepspeed-zero3, fsdp2"):
        path(name)


@pytest.mark.parametrize(("name", "code"), [("fsdp2", 0), ("none", 1)])
def test_the_command_prints_the_path_or_the_message(name, code):
    done = subprocess.run([sys.executable, "-m", "rlaif.train.launch", name], capture_output=True, text=True)
    assert done.returncode == code and "Traceback" not in done.stderr
    assert (done.stdout.strip() == str(path("fsdp2"))) == (code == 0)
