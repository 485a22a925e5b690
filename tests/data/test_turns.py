from typing import Any

import pytest

from rlaif.data.turns import after, alike, answer, conversation, hh_prompt, with_system, with_tools
from rlaif.data.values import BadRecordError


def said(turns: Any) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in turns]


@pytest.mark.parametrize(
    ("prompt", "turns"),
    [
        ("\n\nHuman: a\n\nAssistant:", [("user", "a")]),
        ("Human: a\n\nAssistant: ", [("user", "a")]),
        ("\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:", [("user", "a"), ("assistant", "b"), ("user", "c")]),
        ("\n\nHuman: a", [("user", "a")]),
        ("Be kind.\n\nHuman: a\n\nAssistant:", [("system", "Be kind."), ("user", "a")]),
        ("\n\nHuman: say Assistant: twice\n\nAssistant:", [("user", "say Assistant: twice")]),
        ("Human: is a word", []),
        ("What does Human: mean?", []),
        ("Explain this:\n\nHuman: hi\n\nAssistant: hello", []),
    ],
)
def test_transcripts_as_prompts(prompt: str, turns: list[tuple[str, str]]) -> None:
    assert said(hh_prompt(prompt)) == turns


@pytest.mark.parametrize(
    ("message", "turn"),
    [
        ({"from": "human", "value": "a"}, {"role": "user", "content": "a"}),
        ({"from": "gpt", "value": "a"}, {"role": "assistant", "content": "a"}),
        ({"role": "developer", "content": "a"}, {"role": "system", "content": "a"}),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, {"content": "ab"}),
        ({"role": "user", "content": ["a", "b"]}, {"content": "ab"}),
        ({"role": "user", "content": "a", "tool_calls": None, "name": "n"}, {"role": "user", "content": "a"}),
        ({"role": "assistant", "content": "a", "tool_calls": []}, {"role": "assistant", "content": "a"}),
        ({"role": "assistant", "content": "a", "reasoning": "r"}, {"content": "a", "reasoning_content": "r"}),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "r"}, {"type": "text", "text": "a"}]},
            {"content": "a", "reasoning_content": "r"},
        ),
        ({"role": "assistant", "content": None, "refusal": "no"}, {"content": "no"}),
        ({"role": "tool", "content": "a", "name": "n", "tool_call_id": "1"}, {"name": "n", "tool_call_id": "1"}),
    ],
)
def test_messages_in_the_forms_of_others(message: dict[str, Any], turn: dict[str, Any]) -> None:
    (found,) = conversation("prompt", [message])
    assert {key: found.get(key) for key in turn} == turn
    if turn.keys() == {"role", "content"}:
        assert list(found) == ["role", "content"]  # as stored answers know it


@pytest.mark.parametrize(
    "message",
    [
        {
            "role": "assistant",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}],
        },
        {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": '{"x": 1}'}]},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"x": 1}'}},
        {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
    ],
)
def test_calls_in_the_forms_of_others(message: dict[str, Any]) -> None:
    (turn,) = conversation("prompt", [message])
    assert turn["content"] == ""
    assert turn["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x": 1}'}


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}, "part 1: only parts of text .*'image_url'"),
        (
            {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]},
            "tool_calls, call 1: must be an object with function",
        ),
        ({"role": "assistant", "content": None}, "content: must be a text, found nothing"),
    ],
)
def test_what_a_message_cannot_be(message: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRecordError, match=says):
        conversation("prompt", [message])


def test_a_system_column_goes_first_unless_it_is_there() -> None:
    user = conversation("prompt", "q")
    assert said(with_system(user, "s")) == [("system", "s"), ("user", "q")]
    assert with_system(user, None) == with_system(user, "") == user
    assert said(with_system(with_system(user, "s"), "s ")) == [("system", "s"), ("user", "q")]
    with pytest.raises(BadRecordError, match="the two differ"):
        with_system(with_system(user, "s"), "t")


def test_tools_go_with_the_first_turn_and_stay_off_other_rows() -> None:
    user = conversation("prompt", "q")
    assert with_tools(user, [{"name": "f", "unused": None}])[0]["tools"] == '[{"name": "f"}]'
    assert with_tools(user, '[{"name": "f"}]')[0]["tools"] == '[{"name": "f"}]'
    for nothing in (None, [], "", ["hammer"], "hammer"):
        assert with_tools(user, nothing) == user
    assert with_tools(with_tools(user, [{"name": "f"}]), [{"name": "g"}])[0]["tools"] == '[{"name": "f"}]'


@pytest.mark.parametrize("space", ["", " ", "\n", " \n\t"])
def test_a_response_that_repeats_the_prompt_is_cut_whatever_the_white_space(space: str) -> None:
    prompt = conversation("prompt", [{"role": "system", "content": "s"}, {"role": "user", "content": f"a  question{space}"}])
    own = [{"role": "user", "content": f"{space}a question"}, {"role": "assistant", "content": f"b{space}"}]
    assert said(after(prompt, "chosen", answer("chosen", own))) == [("assistant", f"b{space}")]
    assert alike(prompt[1:], answer("chosen", own)[:1])
    with pytest.raises(BadRecordError, match="begins with a user turn that is not the prompt's"):
        after(prompt, "chosen", answer("chosen", [{"role": "user", "content": "another"}, own[1]]))
