"""A sampler: transformers' own generate, a prompt at a time."""

import torch

from rlaif.rl.rollout import Rollout


class Generate:
    def __init__(self, config, base, policy):
        self._longest, self._tokenizer, self._policy = config.max_tokens, base.tokenizer, policy

    async def sample(self, queries, n, temperature, seed):
        for query in queries:
            torch.manual_seed(seed + query.group)
            yield self._draw(query, n, temperature)

    def update(self, model):
        """Nothing to do: it samples from the policy itself."""

    def close(self):
        pass

    @torch.no_grad()
    def _draw(self, query, n, temperature):
        prompt = torch.tensor([query.ids], device=self._policy.model.device)
        how = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0, "max_new_tokens": self._longest}
        with self._policy.active():
            out = self._policy.model.generate(
                prompt, **how, num_return_sequences=n, output_scores=True, return_dict_in_generate=True
            )
        logprobs = torch.stack(out.scores, 1).log_softmax(-1)
        rows = out.sequences[:, len(query.ids) :]
        return [self._rollout(query, *row) for row in zip(rows, logprobs, strict=True)]

    def _rollout(self, query, ids, logprobs):
        ends = (ids == self._tokenizer.eos_token_id).nonzero()
        many = int(ends[0]) + 1 if len(ends) else len(ids)
        values = logprobs[range(many), ids[:many]].tolist()
        text = self._tokenizer.decode(ids[:many], skip_special_tokens=True)
        return Rollout(query, tuple(ids[:many].tolist()), tuple(values), text, bool(len(ends)))
