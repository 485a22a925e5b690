"""A hub on loopback: one dataset in Parquet that can be streamed, and repositories that can be made and written to.

Its routes and the fields of their replies are those of the hub's HTTP API, as far as reading a dataset and committing to a
repository need them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

from tests.serving import listening

SHA = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_a_token_of_the_tests"


@dataclass
class Hub:
    """files: of the dataset ``name``. made: repositories, as they were asked for. written: files by repository."""

    name: str
    files: Mapping[str, bytes]
    card: Mapping[str, Any]
    url: str = ""
    made: list[dict[str, Any]] = field(default_factory=list)
    written: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refuses: bool = False

    @property
    def environment(self) -> dict[str, str]:
        return {"HF_ENDPOINT": self.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"}

    def get(self, path: str) -> tuple[int, Any]:
        if path == "/api/whoami-v2":
            return 200, {"type": "user", "name": "me", "orgs": [], "auth": {"accessToken": {"role": "write"}}}
        if path in (f"/api/datasets/{self.name}", f"/api/datasets/{self.name}/revision/{SHA}"):
            siblings = [{"rfilename": name} for name in self.files]
            about = {"id": self.name, "sha": SHA, "private": False, "gated": False, "disabled": False, "tags": []}
            return 200, {**about, "siblings": siblings, "cardData": dict(self.card), "downloads": 0, "likes": 0}
        if path.startswith(f"/api/datasets/{self.name}/tree/{SHA}"):
            under = path.partition(SHA)[2].strip("/")
            return 200, [self._entry(name) for name in self.files if name.startswith(under)]
        if found := re.fullmatch(rf"/datasets/{self.name}/resolve/{SHA}/(.+)", path):
            return (200, self.files[found[1]]) if found[1] in self.files else (404, None)
        return 404, {"error": "not found"}

    def post(self, path: str, body: bytes) -> tuple[int, Any]:
        if path == f"/api/datasets/{self.name}/paths-info/{SHA}":
            wanted = parse_qs(body.decode())["paths"]
            return 200, [self._entry(name) for name in wanted if name in self.files]
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            asked = json.loads(body)
            self.made.append(asked)
            return 200, {"url": f"{self.url}/datasets/me/{asked['name']}"}
        if path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            return 200, {"files": [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files]}
        if found := re.fullmatch(r"/api/(\w+/me/[\w-]+)/commit/main", path):
            if self.refuses:
                return 403, {"error": "storage quota exceeded"}
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.written.setdefault(found[1], {})[line["value"]["path"]] = content
            return 200, {"commitUrl": f"{self.url}/{found[1]}/commit/{SHA}", "commitOid": SHA, "hookOutput": ""}
        return 404, {"error": "not found"}

    def _entry(self, name: str) -> dict[str, Any]:
        return {"type": "file", "path": name, "size": len(self.files[name]), "oid": SHA}


@contextmanager
def serving(name: str, files: Mapping[str, bytes], card: Mapping[str, Any]) -> Iterator[Hub]:
    hub = Hub(name, files, card)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(*hub.get(self.path.partition("?")[0]))

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            self._answer(*hub.post(self.path.partition("?")[0], self._body()))

        def _body(self) -> bytes:
            if "content-length" in self.headers:
                return self.rfile.read(int(self.headers["content-length"]))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def _answer(self, status: int, content: Any) -> None:
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
            if wanted and isinstance(content, bytes):
                first, last = int(wanted[1]), min(int(wanted[2] or len(raw) - 1), len(raw) - 1)
                more = {"content-range": f"bytes {first}-{last}/{len(raw)}"}
                status, raw = 206, raw[first : last + 1]
            else:
                more = {"x-error-code": "EntryNotFound"} if status == 404 else {}
            self.send_response(status)
            kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
            headers = {"content-type": kind, "etag": f'"{SHA}"', "x-repo-commit": SHA, "accept-ranges": "bytes", **more}
            for name, value in {**headers, "content-length": str(len(raw))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as hub.url:
        yield hub
