import io

from rlaif.cli.console import Console, print_paths


def test_control_characters_of_a_text_are_spelled_out_and_styles_stay():
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, color_system="standard", width=80)
    console.print("evil\x1b]0;title\x07text", style="red", markup=False)
    shown = text.getvalue()
    assert "\x1b]0;" not in shown and "\x07" not in shown
    assert "\x1b[31m" in shown and "evil" in shown and "text" in shown


def test_paths_are_one_a_line_and_never_wrapped_or_read_as_markup(capsys):
    long = "runs/" + "a" * 200
    print_paths(("model", long), ("metrics", "runs/[red]x/metrics.jsonl"))
    assert capsys.readouterr().out.splitlines() == [f"model    {long}", "metrics  runs/[red]x/metrics.jsonl"]
