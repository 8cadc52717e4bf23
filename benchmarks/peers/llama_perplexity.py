"""Perplexity of GGUF files in llama.cpp, over the same tokens, and what each says next; or llama.cpp's own quantizer.

usage: python llama_perplexity.py TEXT FIRST.gguf [OTHER.gguf ...]     one JSON line a file; FIRST's vocabulary makes the tokens
       python llama_perplexity.py --quantize FTYPE IN.gguf OUT.gguf    with llama.cpp's own choice of types
(needs: pip install llama-cpp-python numpy)
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np

WINDOWS, LENGTH = 8, 512
PROMPT = "The capital of France is"


def quantize(ftype: int, source: str, out: str) -> int:
    """llama.cpp's status: 0 is success."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = ftype, 2
    status: int = llama_cpp.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(params))
    return status


def perplexities(text: str, files: Sequence[str]) -> None:
    """Prints a line for each file: exp of the mean negative log-likelihood of each token after those before it in its window."""
    ids: list[int] = []
    for file in files:
        model = llama_cpp.Llama(file, n_ctx=LENGTH, n_batch=LENGTH, logits_all=True, verbose=False, n_threads=2)
        ids = ids or model.tokenize(text.encode(), add_bos=False)
        losses = [_losses(model, ids[at : at + LENGTH]) for at in range(0, WINDOWS * LENGTH, LENGTH)]
        said = model.create_completion(PROMPT, max_tokens=12, temperature=0)["choices"][0]["text"]
        print(json.dumps({"file": file, "perplexity": float(np.exp(np.concatenate(losses).mean())), "says": said}))


def _losses(model: llama_cpp.Llama, ids: Sequence[int]) -> np.ndarray:
    model.reset()
    model.eval(ids)
    logits = np.array(model.scores[: len(ids)], np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    chosen = logits[np.arange(len(ids) - 1), ids[1:]]
    return np.asarray(np.log(np.exp(logits).sum(axis=1))[:-1] - chosen)


if __name__ == "__main__":
    if sys.argv[1] == "--quantize":
        sys.exit(quantize(int(sys.argv[2]), *sys.argv[3:]))
    perplexities(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2:])
