"""A model's chat template is a program that somebody else wrote: it runs in a child process, with little time and memory.

The child is a fork, so that it costs no imports; it ends when nothing has been asked of it for a few seconds, so that it does
not keep alive the memory that the parent writes anew.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import struct
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from rlaif.errors import UsageError, one_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROCESSOR_SECONDS = 5
WAITING_SECONDS = 60.0
IDLE_SECONDS = 3.0
MEMORY = 1 << 30
"""Bytes beside what the process holds already."""
MOST = 1 << 22
"""Characters that a template may write."""
DAY = datetime(2024, 7, 26)
"""Llama 3's template falls back on it where it is not told the date."""
_LENGTH = struct.Struct("!Q")


class TemplateRefusedError(Exception):
    """The template raised an error, as some do for a system turn."""


def render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Any]], **options: Any) -> str:
    """``messages`` as the tokenizer's chat template writes them.

    Raises UsageError where the template takes more time or memory than any template needs, TemplateRefusedError where it
    raises an error of its own.
    """
    conversation = [dict(message) for message in messages]
    options = {"strftime_now": strftime_always, **options}
    if hasattr(os, "fork"):
        kind, text = _asked(tokenizer, conversation, options)
    else:
        kind, text = _rendered(tokenizer, conversation, options)
    if kind == "refused":
        raise TemplateRefusedError(text)
    if kind == "bounds":
        raise UsageError(
            f"the model's chat template needs more than {PROCESSOR_SECONDS} seconds, {MEMORY >> 30} GiB of memory or {MOST:,} "
            "characters for one prompt; it is broken or hostile: give another model, or mend its chat_template"
        )
    return text


def strftime_always(pattern: str) -> str:
    """The day that templates print as today's: the same on every day, or no prompt and no run could be made again."""
    return DAY.strftime(pattern)


Reply = tuple[str, str]
"""``text``, ``refused`` or ``bounds``; the text, or the template's words."""


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, Any]], options: Mapping[str, Any]) -> Reply:
    try:
        text = str(tokenizer.apply_chat_template(messages, tokenize=False, **options))
    except MemoryError:
        return "bounds", ""
    except Exception as error:  # whatever the template does
        return "refused", one_line(f"{error}" or type(error).__name__)
    return ("text", text) if len(text) <= MOST else ("bounds", "")


@dataclass
class _Child:
    """A process that renders for one tokenizer and template."""

    tokenizer: PreTrainedTokenizerBase
    template: Any
    process: int
    line: socket.socket

    def ask(self, request: bytes) -> bytes | None:
        """The reply; None where there is none."""
        try:
            _send(self.line, request)
            return _receive(self.line, WAITING_SECONDS)
        except OSError:
            return None

    def end(self) -> bool:
        """Whether the child had ended by itself, and not by its limits."""
        self.line.close()
        ended, status = os.waitpid(self.process, os.WNOHANG)
        if not ended:
            select.select([], [], [], 0.05)  # what closed the line may be on its way out
            ended, status = os.waitpid(self.process, os.WNOHANG)
        if not ended:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        return bool(ended) and status == 0


_children: list[_Child] = []
_lock = Lock()


def _asked(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, Any]], options: Mapping[str, Any]) -> Reply:
    request = pickle.dumps((messages, dict(options)))
    with _lock:
        while True:
            child = _child_for(tokenizer)
            reply = child.ask(request)
            if reply is not None:
                kind, text = pickle.loads(reply)
                return kind, text
            _children.remove(child)
            if not child.end():
                return "bounds", ""


def _child_for(tokenizer: PreTrainedTokenizerBase) -> _Child:
    for child in list(_children):
        if child.tokenizer is tokenizer and child.template == tokenizer.chat_template:
            return child
        _children.remove(child)
        child.end()
    ours, theirs = socket.socketpair()
    with warnings.catch_warnings():  # the child touches no thread, lock or device of the parent's
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
        ours.close()
        _serve(theirs, tokenizer)
    theirs.close()
    _children.append(_Child(tokenizer, tokenizer.chat_template, process, ours))
    return _children[-1]


def _serve(line: socket.socket, tokenizer: PreTrainedTokenizerBase) -> None:
    """Render what is asked, until nothing is any more; then end the process, without any of the parent's clean-up."""
    try:
        _limit_memory()
        while (request := _receive(line, IDLE_SECONDS)) is not None:
            _limit_time()
            _send(line, pickle.dumps(_rendered(tokenizer, *pickle.loads(request))))
        os._exit(0)
    finally:
        os._exit(1)


def _limit_memory() -> None:
    import resource

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says what an interrupt means
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    statistics = Path("/proc/self/statm")
    if statistics.is_file():
        held = int(statistics.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))


def _limit_time() -> None:
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + PROCESSOR_SECONDS, hard))


def _send(line: socket.socket, data: bytes) -> None:
    line.sendall(_LENGTH.pack(len(data)) + data)


def _receive(line: socket.socket, seconds: float) -> bytes | None:
    """The next message, None where it does not come in time, or the other end is closed."""
    line.settimeout(seconds)
    try:
        size = _LENGTH.unpack(_exactly(line, _LENGTH.size))[0]
        return _exactly(line, size)
    except (OSError, EOFError):
        return None


def _exactly(line: socket.socket, size: int) -> bytes:
    parts = list[bytes]()
    while size:
        part = line.recv(min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
