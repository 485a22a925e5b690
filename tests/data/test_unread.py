from typing import Any

import pytest

from rlaif.data.read import read_rows
from rlaif.data.shapes import to_row
from rlaif.data.unread import LONG, unread

MESSAGES = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "other"}]


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"reference_answer": "x"}, ["reference_answer"]),
        ({"dialog": MESSAGES}, ["dialog"]),
        ({"outputs": ["x", "y"]}, ["outputs"]),
        ({"story": "long " * LONG}, ["story"]),
        ({"messages": [{"role": "user", "content": " q"}, {"role": "assistant", "content": "a"}]}, []),
        ({"source": "x" * LONG, "rationale": "y" * LONG, "note": "short", "prompt_id": "1", "question_id": "q7"}, []),
        ({"score_chosen": 1.0, "answer_rating": "3", "messages": []}, []),
    ],
)
def test_columns_that_look_like_prompts_or_answers(more: dict[str, Any], names: list[str]) -> None:
    assert unread(to_row(1, {"prompt": "q", "chosen": "a", "rejected": "b", **more})) == names


def test_they_are_named_once_on_one_line(tmp_path: Any, capsys: Any) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "q", "chosen": "a", "rejected": "b", "old\\u001b[31m_answer": "c"}\n' * 3)
    for _ in range(2):
        assert len(list(read_rows(str(path)))) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "answer" in said and "--columns" in said and "\x1b" not in said
