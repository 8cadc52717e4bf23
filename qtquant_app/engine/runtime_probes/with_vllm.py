"""A result in vLLM, its engine within this process."""

from __future__ import annotations

import os
from typing import Any


def load(request: dict[str, Any]) -> tuple[Any, str]:
    """In bfloat16, which all its kernels take, with room for this text only."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    from vllm import LLM

    model = LLM(
        request["model"],
        skip_tokenizer_init=True,
        trust_remote_code=False,
        enforce_eager=True,
        max_model_len=len(request["ids"]) + request["new_tokens"] + 16,
        max_num_seqs=1,
        max_logprobs=-1,
        dtype="bfloat16",
        seed=0,
    )
    return model, ""


def run(model: Any, request: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Log-probabilities in place of logits, which differ from them by a constant a token, and the likeliest tokens that follow."""
    from vllm import SamplingParams

    words: dict[str, Any] = {"temperature": 0.0, "detokenize": False, "ignore_eos": True}
    prompt = {"prompt_token_ids": request["ids"]}
    wanted = SamplingParams(max_tokens=1, prompt_logprobs=-1, logprobs=-1, **words)
    read = model.generate([prompt], wanted, use_tqdm=False)[0]
    rows = [*(read.prompt_logprobs or ())[1:], *(read.outputs[0].logprobs or ())]
    going_on = model.generate([prompt], SamplingParams(max_tokens=request["new_tokens"], **words), use_tqdm=False)[0]
    return _dense(rows), {"continued": [int(token) for token in going_on.outputs[0].token_ids]}


def _dense(rows: list[Any]) -> Any:
    """[tokens, vocabulary] float32, from a mapping of token ids to log-probabilities for each."""
    import numpy as np

    found = np.full((len(rows), max(map(len, rows))), np.nan, np.float32)
    for out, row in zip(found, rows, strict=True):
        for token, entry in row.items():
            if token < len(out):
                out[token] = entry.logprob
    return found
