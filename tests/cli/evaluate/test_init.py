"""The commands of ``rlaif evaluate``."""

from rlaif.cli.evaluate import app


def test_every_command_says_what_it_does(rlaif):
    code, out, _ = rlaif("evaluate", "--help")
    names = [command.name for command in app.registered_commands]
    assert code == 0 and all(name in out for name in names)
