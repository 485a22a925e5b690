"""A server that answers at once, for ``benchmarks.label_speed``: what is left is the client's own work.

    python -m benchmarks.label_stub MODEL [PORT]

Speaks vLLM's protocol for the model in the folder MODEL: every prompt gets the same log-probabilities. Prints its port.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

EVEN = -1.6
"""Log-probability of every label token; a label may have two."""


class Connection(asyncio.Protocol):
    """One client's connection: requests come one after the other."""

    def __init__(self, model: str, tokenizer: Tokenizer) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._held = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end].decode().lower()
            length = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
            if len(self._held) < end + 4 + length:
                return
            body = bytes(self._held[end + 4 : end + 4 + length])
            del self._held[: end + 4 + length]
            content = json.dumps(self._answer(head.split(" ", 2)[1], body)).encode()
            start = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
            self._transport.write(start.encode() + content)

    def _answer(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/v1/models":
            return {"data": [{"id": "stub", "root": self._model, "owned_by": "vllm", "max_model_len": 2048}]}
        if path == "/v1/completions":
            wanted = re.search(rb'"logprob_token_ids": ?(\[[^]]*\])', body)
            labels = {f"token_id:{token}": EVEN for token in json.loads(wanted[1] if wanted else b"[]")}
            choice = {"text": "A", "finish_reason": "length", "logprobs": {"top_logprobs": [labels]}}
            return {"choices": [{"index": index, **choice} for index in range(body.count(b"], [") + body.count(b"],[") + 1)]}
        asked = json.loads(body)
        if path == "/tokenize":
            return {"tokens": self._tokenizer.encode(asked["prompt"], add_special_tokens=False).ids}
        listed = [{"token": label, "logprob": EVEN} for label in "AB"]
        place = {"token": "A", "logprob": EVEN, "top_logprobs": listed}
        message = {"message": {"content": "A"}, "finish_reason": "length", "logprobs": {"content": [place]}}
        return {"choices": [{"index": 0, **message}], "usage": {"prompt_tokens": 100}}


async def main() -> None:
    model = sys.argv[1]
    tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    loop = asyncio.get_running_loop()
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    server = await loop.create_server(lambda: Connection(model, tokenizer), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
