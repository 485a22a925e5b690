from rlaif.cli.echo import echo, suggest


def test_control_characters_are_spelled_out(capsys):
    echo("a\x1b[31mb\tc")
    out, err = capsys.readouterr()
    assert "\x1b" not in out and "a" in out and "b" in out and err == ""


def test_the_next_command_is_not_part_of_what_is_piped(capsys):
    echo("result")
    suggest("rlaif report runs/x\x07")
    out, err = capsys.readouterr()
    assert out == "result\n" and "rlaif report runs/x" in err and "\x07" not in err
