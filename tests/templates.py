"""Chat templates that do what those of well-known families do, written for the tests."""


def _turns(content):
    return "{% for m in messages %}<|im_start|>{{ m.role }}\n" + content + "<|im_end|>\n{% endfor %}"


def _generate(more=""):
    return "{% if add_generation_prompt %}<|im_start|>assistant\n" + more + "{% endif %}"


_THOUGHT = (
    "{% if m.role == 'assistant' and loop.last %}<think>\n{{ (m.reasoning_content or '').strip('\n') }}\n</think>\n\n"
    "{% endif %}{{ m.content.lstrip('\n') }}"
)
_OFF = "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"

PASSING = _turns("{{ m.content }}") + _generate()
"""Writes what the content holds, tags and all."""
KEYED = _turns(_THOUGHT) + _generate(_OFF)
"""Reasoning under a key, of the last turn alone; an empty block where it is switched off (like Qwen3)."""
OPENING = _turns(_THOUGHT) + _generate("<think>\n")
"""The same, and opens the reasoning itself, always (like Qwen3's thinking-only models)."""
STRIPPING = _turns(
    "{% if '</think>' in m.content %}{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}"
) + _generate("<think>\n")
"""Opens the reasoning itself and leaves it out of every turn that it is given (like DeepSeek-R1)."""
SPLITTING = (
    _turns(
        "{% if '</think>' in m.content %}<think>\n{{ m.content.split('</think>')[0].split('<think>')[-1].strip('\n') }}\n"
        "</think>\n\n{{ m.content.split('</think>')[-1].lstrip('\n') }}{% else %}{{ m.content }}{% endif %}"
    )
    + _generate()
)
"""Splits the content at the tags and writes the parts in its own way."""
CHANNELS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% if m.thinking %}<|im_start|>assistant analysis\n{{ m.thinking }}"
    "<|im_end|>{% endif %}<|im_start|>assistant final\n{{ m.content }}<|im_end|>{% else %}<|im_start|>{{ m.role }}\n"
    "{{ m.content }}<|im_end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
)
"""Reasoning as a message of its own, before the final one (like gpt-oss)."""


def _form(opening, closing, empty, bare, opened, by_key, exact):
    return {
        "opening": opening, "closing": closing, "empty": empty, "bare": bare,
        "opened": opened, "by_key": by_key, "exact": exact,
    }  # fmt: skip


_END, _EMPTY = "\n</think>\n\n", "<think>\n\n</think>\n\n"
REASONING = {
    "passing": (PASSING, _form("<think>", "</think>", "", "", False, False, True)),
    "keyed": (KEYED, _form("<think>\n", _END, _EMPTY, "", False, True, False)),
    "opening": (OPENING, _form("", _END, _END, _END, True, True, False)),
    "stripping": (STRIPPING, _form("", _END, _END, _END, True, False, False)),
    "splitting": (SPLITTING, _form("<think>\n", _END, "", "", False, False, False)),
    "channels": (
        CHANNELS,
        _form(
            " analysis\n", "<|im_end|><|im_start|>assistant final\n", " final\n", " final\n", False, True, False,
        ),
    ),
}  # fmt: skip

TOOLS = (
    "{% if tools %}<|im_start|>system\nTools:{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}{% for call in m.tool_calls or [] %}"
    '<tool_call>\n{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n</tool_call>'
    "{% endfor %}<|im_end|>\n{% endfor %}"
) + _generate()
"""Knows tools, in JSON (like Qwen2.5)."""
TOOLS_RAW = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}{% for call in m.tool_calls or [] %}"
    "<function={{ call.function.name }}>{% for name, value in call.function.arguments | items %}[{{ name }}={{ value }}]"
    "{% endfor %}</function>{% endfor %}<|im_end|>\n{% endfor %}"
) + _generate()
"""Knows calls, and writes each argument as it is; leaves out what tools there are."""
STRICT = (
    "{% for m in messages %}{% if m.role not in ('user', 'assistant') %}{{ raise_exception('only two roles') }}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
) + _generate()
"""Knows two roles and nothing of tools (like Gemma)."""
DATED = "<|im_start|>system\nToday is {{ strftime_now('%d %b %Y') }}.<|im_end|>\n" + PASSING
