"""Help answers at once: nothing heavy is imported before a command needs it."""

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

import pytest

from tests.serving import listening

HEAVY = {
    "torch",
    "transformers",
    "numpy",
    "pandas",
    "pyarrow",
    "datasets",
    "vllm",
    "matplotlib",
    "jsonschema",
    "httpx",
    "sqlite3",
}
PROBE = """
import json, sys
sys.argv = ["rlaif", *{arguments}]
from rlaif.cli import main
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code or 0, sorted({heavy} & set(sys.modules))]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["label", "--help"],
        ["revise", "--help"],
        ["report", "--help"],
        ["lab", "rows", "--help"],
        ["evaluate", "agreement", "--help"],
        [],
    ],
)
def test_help_imports_nothing_heavy(arguments):
    probe = PROBE.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    code, imported = json.loads(done.stderr.splitlines()[-1])
    assert imported == []
    assert code == (0 if arguments else 2)
    assert "Usage" in done.stdout + done.stderr


class SaysA(BaseHTTPRequestHandler):
    """Speaks OpenAI's protocol, as far as a label goes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.reply({"data": [{"id": "judge"}]})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        listed = [{"token": label, "logprob": logprob} for label, logprob in (("A", -0.1), ("B", -2.5))]
        place = {**listed[0], "top_logprobs": listed}
        choice = {"message": {"content": "A"}, "finish_reason": "length", "logprobs": {"content": [place]}}
        self.reply({"choices": [{"index": 0, **choice}]})

    def reply(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def test_labelling_by_messages_of_a_server_needs_no_torch(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "q", "responses": ["one", "two"]}\n')
    with listening(SaysA) as url:
        arguments = ["label", str(rows), "--constitution", "lab", "--critic", url, "--out", str(tmp_path / "run")]
        probe = PROBE.format(
            arguments=[*arguments, "--store", str(tmp_path / "store")], heavy={"torch", "transformers", "vllm"}
        )
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == [0, []], done.stderr
