"""A teacher on a server says what the same model says here; what it says otherwise is no log-probability."""

import json
import math
from http.server import BaseHTTPRequestHandler

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlaif.engines.open import lab_model
from rlaif.engines.replies import BadReply
from rlaif.errors import RunFailed, UsageError
from rlaif.models.load import find_base
from rlaif.rl.batch import collate
from rlaif.rl.networks import Policy
from rlaif.rl.teacher import ServedTeacher, said_of
from tests.serving import listening


@pytest.fixture
def stub(tiny):
    """A server of the tiny model, as far as a teacher is one."""
    base = find_base(str(tiny), "causal", None, "float32", False)
    model = AutoModelForCausalLM.from_pretrained(tiny)

    def of(ids):
        with torch.no_grad():
            logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        said = [None, *({str(token): {"logprob": logprobs[at, token].item()}} for at, token in enumerate(ids[1:]))]
        return {"choices": [{"index": 0, "text": "", "finish_reason": "length", "prompt_logprobs": said}]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._send({"data": [{"id": "teacher", "owned_by": "vllm"}]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            tokens = base.tokenizer.encode(body["prompt"], add_special_tokens=False) if self.path == "/tokenize" else None
            self._send({"tokens": tokens} if tokens is not None else of(body["prompt"]))

        def _send(self, content):
            data = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with listening(Handler) as url:
        yield url, base, model


def test_it_says_of_each_token_what_the_model_does(stub, made_up):
    url, base, model = stub
    batch, here = collate(made_up(8), 0), Policy(model, None, False)
    with torch.no_grad(), here.active():
        wanted, _ = here.logprobs(batch, 1.0)
    teacher = ServedTeacher([url], base)
    with teacher.active():
        found, nothing = teacher.logprobs(batch, 1.0)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert nothing is None and not found[~batch.mask].any()


def test_another_tokenizer_is_refused_and_so_is_silence(stub):
    url, *_ = stub
    other = find_base(lab_model("lab:policy"), "causal", None, "float32", False)
    with pytest.raises(UsageError, match=r"--teacher .*: its tokenizer is not"):
        ServedTeacher([url], other)
    with pytest.raises(RunFailed, match="no server answers there"):
        ServedTeacher(["http://127.0.0.1:9"], other)


@pytest.mark.parametrize(
    "listed",
    [
        None,
        [None, {"5": {"logprob": -1.0}}],
        [None, {}, {"7": {"logprob": -1.0}}],
        [None, {}, {"6": {"logprob": 0.5}}],
        [None, {}, {"6": {"logprob": True}}],
        [None, {}, {"6": {"logprob": math.nan}}],
        [None, {}, {"6": -1.0}],
    ],
)
def test_what_is_no_log_probability_is_a_bad_reply(listed):
    with pytest.raises(BadReply):
        said_of({"prompt_logprobs": listed}, [4, 5, 6], 2)
    assert said_of({"prompt_logprobs": [None, {}, {"6": {"logprob": -2}}]}, [4, 5, 6], 2) == [-2.0]


@pytest.mark.vllm
def test_a_vllm_server_says_what_transformers_does(lab_server, made_up):
    folder = lab_model("lab")
    base = find_base(folder, "causal", None, "float32", False)
    batch, here = collate(made_up(8), 0), Policy(AutoModelForCausalLM.from_pretrained(folder), None, False)
    with torch.no_grad(), here.active():
        wanted, _ = here.logprobs(batch, 1.0)
    torch.testing.assert_close(ServedTeacher([lab_server], base).logprobs(batch, 1.0)[0], wanted, atol=1e-4, rtol=0)
