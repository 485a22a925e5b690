"""A stand-in for vLLM with the parameters, and those alone, that the oldest supported version takes (0.20.0's signatures)."""

from __future__ import annotations

import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

from transformers import AutoTokenizer

SAMPLING = """n presence_penalty frequency_penalty repetition_penalty temperature top_p top_k min_p seed stop stop_token_ids
ignore_eos max_tokens min_tokens logprobs prompt_logprobs logprob_token_ids flat_logprobs detokenize skip_special_tokens
spaces_between_special_tokens include_stop_str_in_output output_kind structured_outputs logit_bias allowed_token_ids extra_args
bad_words skip_reading_prefix_cache thinking_token_budget repetition_detection""".split()
STRUCTURED = (
    "json regex choice grammar json_object disable_any_whitespace disable_additional_properties whitespace_pattern".split()
)
ENGINE = """tokenizer tokenizer_mode skip_tokenizer_init trust_remote_code load_format dtype kv_cache_dtype seed max_model_len
block_size enable_prefix_caching gpu_memory_utilization kv_cache_memory_bytes max_num_batched_tokens max_num_seqs max_logprobs
logprobs_mode disable_log_stats revision quantization enforce_eager generation_config enable_sleep_mode enable_lora
max_lora_rank weight_transfer_config tensor_parallel_size cpu_offload_gb compilation_config hf_overrides""".split()


class Known(SimpleNamespace):
    """Takes what its version knew by name; anything else is the TypeError that vLLM would raise."""

    names: tuple[str, ...] = ()

    def __init__(self, **given):
        unknown = given.keys() - set(self.names)
        if unknown:
            raise TypeError(f"{type(self).__name__} got an unexpected keyword argument {sorted(unknown)}")
        super().__init__(**given)


class SamplingParams(Known):
    names = tuple(SAMPLING)


class StructuredOutputsParams(Known):
    names = tuple(STRUCTURED)


class EngineArgs(Known):
    names = tuple(ENGINE)


def answer(request, params, end):
    """Two tokens, or one, then the end; with the log-probabilities that were asked for."""
    tokens = [5, end][: params.max_tokens]
    extra = getattr(params, "logprob_token_ids", None) or []
    positions = [{token: SimpleNamespace(logprob=-1.5) for token in {one, *extra}} for one in tokens]
    one = SimpleNamespace(token_ids=tokens, logprobs=positions, text="x", finish_reason="stop")
    return SimpleNamespace(request_id=request, finished=True, outputs=[one] * getattr(params, "n", 1))


class LoRARequest(Known):
    names = ("lora_name", "lora_int_id", "lora_path", "base_model_name", "tensorizer_config_dict", "load_inplace")

    def __init__(self, lora_name, lora_int_id, lora_path="", **given):
        super().__init__(lora_name=lora_name, lora_int_id=lora_int_id, lora_path=lora_path, **given)


class LLMEngine:
    def __init__(self, end):
        self.model_config = SimpleNamespace(max_model_len=512, dtype="torch.float32", try_get_generation_config=dict)
        self._end, self._requests, self.adapters = end, [], []

    def has_unfinished_requests(self):
        return bool(self._requests)

    def abort_request(self, request_ids, internal=False):
        self._requests = [one for one in self._requests if one[0] not in request_ids]

    def add_request(
        self, request_id, prompt, params, arrival_time=None, lora_request=None, tokenization_kwargs=None, trace_headers=None
    ):
        self._requests.append((request_id, params))
        self.adapters.append(lora_request)

    def add_lora(self, lora_request):
        assert (Path(lora_request.lora_path) / "adapter_model.safetensors").is_file()
        return True

    def step(self):
        done, self._requests = self._requests, []
        return [answer(request, params, self._end) for request, params in done]


class LLM:
    def __init__(self, model, **given):
        self.given = EngineArgs(**given)
        self._tokenizer = AutoTokenizer.from_pretrained(model)
        self.llm_engine = LLMEngine(self._tokenizer.eos_token_id)
        self.loaded: list[str] = []

    def get_tokenizer(self):
        return self._tokenizer

    def generate(self, prompts, sampling_params=None, *, use_tqdm=True, lora_request=None, priority=None):
        return [answer("", params, self._tokenizer.eos_token_id) for params in sampling_params]

    def collective_rpc(self, method, timeout=None, args=(), kwargs=None):
        return getattr(self, method)(*args, **(kwargs or {}))

    def reload_weights(self, weights_iterator=None, weights_path=None, is_checkpoint_format=True):
        self.loaded = [name for name, _ in weights_iterator]

    def apply_model(self, func):
        return [func(SimpleNamespace())]

    def sleep(self, level=1, mode="abort"):
        self.slept = level

    def wake_up(self, tags=None):
        self.slept = 0

    def reset_prefix_cache(self, reset_running_requests=False, reset_connector=False):
        return True


def install(monkeypatch):
    """Put it in vLLM's place."""
    vllm, params = types.ModuleType("vllm"), types.ModuleType("vllm.sampling_params")
    vllm.__spec__ = ModuleSpec("vllm", None)
    vllm.__version__, vllm.LLM, vllm.SamplingParams = "0.20.0", LLM, SamplingParams
    params.StructuredOutputsParams = StructuredOutputsParams
    params.RequestOutputKind = SimpleNamespace(FINAL_ONLY=2)
    vllm.sampling_params = params
    lora = types.ModuleType("vllm.lora.request")
    lora.LoRARequest = LoRARequest
    monkeypatch.setitem(sys.modules, "vllm.lora", types.ModuleType("vllm.lora"))
    monkeypatch.setitem(sys.modules, "vllm.lora.request", lora)
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", params)
