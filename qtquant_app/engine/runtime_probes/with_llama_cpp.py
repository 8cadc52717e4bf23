"""A result in llama.cpp, by way of llama-cpp-python."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def load(request: dict[str, Any]) -> tuple[Any, str]:
    """On the CPU. It says on stderr what it does not like, so it must not be silenced."""
    from llama_cpp import Llama

    room = len(request["ids"]) + request["new_tokens"] + 8
    model = Llama(
        model_path=str(Path(request["model"], request["file"])),
        n_ctx=room,
        n_batch=room,
        n_threads=request["threads"],
        n_threads_batch=request["threads"],
        n_gpu_layers=0,
        logits_all=True,
        verbose=True,
    )
    return model, ""


def run(model: Any, request: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Logits [tokens, vocabulary], the likeliest tokens that follow, and what its own vocabulary makes of the text."""
    ids = request["ids"]
    model.eval(ids)
    logits = model.scores[: len(ids)].copy()
    continued: list[int] = []
    while len(continued) < request["new_tokens"]:
        continued.append(int(model.scores[model.n_tokens - 1].argmax()))
        model.eval(continued[-1:])
    tokenized = model.tokenize(request["text"].encode(), add_bos=True, special=False)
    return logits, {"continued": continued, "tokenized": [int(token) for token in tokenized]}
