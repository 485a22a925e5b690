"""The same in a terminal, for machines without a browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rlaif.annotate.session import KEYS, Session
from rlaif.errors import RunFailed, UsageError, printable

HELP = "1 the first is better · 2 the second · t tie · s skip · u undo · q quit"


def ask(session: Session, read: Callable[[str], str] = input, write: Callable[[str], None] = print) -> None:
    """Ask the session's questions until all are answered, or the person quits or the input ends."""
    while (number := session.current) is not None:
        write(_screen(session))
        try:
            key = read(f"{HELP}: ").strip().lower()
        except EOFError:
            return
        if key == "q":
            return
        try:
            if key == "u":
                session.undo()
            elif key in KEYS:
                session.answer(number, key)
        except (RunFailed, UsageError) as error:
            write(f"not saved: {printable(str(error))}")


def _screen(session: Session) -> str:
    state = session.state()
    parts = [f"\n{'─' * 60}\n{state['done']} of {state['total']} answered. {state['words']}"]
    for name, place in (("prompt", "prompt"), ("response 1", "first"), ("response 2", "second")):
        parts.append(f"\n[{name}]\n{_text(state[place])}")
    asked = "\n".join(text for text in (state["question"], state["principle"]) if text)
    return printable("\n".join([*parts, f"\n{asked}"]))


def _text(turns: Sequence[Sequence[str]]) -> str:
    return turns[0][1] if len(turns) == 1 else "\n".join(f"{who}: {text}" for who, text in turns)
