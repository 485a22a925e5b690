from rlaif.annotate.terminal import ask


def test_keys_answer_undo_and_quit(session):
    one, shown = session(), []
    keys = iter(["1", "x", "2", "u", "T", "q"])
    ask(one, lambda prompt: next(keys), shown.append)
    assert list(one.answered.values()) == ["response_1", "tie"] and len(shown) == 6
    assert "0 of 12 answered" in shown[0] and "[response 2]" in shown[0]


def test_it_ends_with_the_input_and_when_all_are_answered(session):
    one = session(limit=2)
    ask(one, lambda prompt: "s", lambda text: None)
    assert one.current is None

    def ended(prompt):
        raise EOFError

    ask(session(annotator="ben"), ended, lambda text: None)


def test_what_a_text_holds_moves_no_cursor(session, run):
    shown = []
    path = run / "preferences.jsonl"
    path.write_text(path.read_text().replace("Answer", "\\u001b[2JAnswer").replace("Reply", "\\u202eReply"))
    ask(session(), lambda prompt: "q", shown.append)
    assert "\x1b" not in shown[0] and "\u202e" not in shown[0] and "\\x1b[2J" in shown[0]
