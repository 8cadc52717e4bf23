"""How far a model with other weights is from the original, on prose: one JSON line.

usage: python -m benchmarks.judge MODEL WEIGHTS --text PROSE [--windows 16] [--seqlen 512] [--cache FILE.npy]

WEIGHTS is a .safetensors file that holds float weights by the checkpoint's tensor names, and need not hold all: what is missing
stays the original's. Or it is a folder: a quantized checkpoint, whoever wrote it, decoded by our readers; or one that holds such a
file as dequantized.safetensors.
Both models run in transformers, in float32, on windows spread evenly over PROSE. Of a window of n tokens n - 1 predictions count:
    perplexity  exp of the mean of -log q(next token)
    kl          mean of sum p (log p - log q), in nats a token: p is what the original says, q what the other weights say
    kl_p99      its 99th percentile over the tokens
    top1        share of the tokens where both find the same next token likeliest
    stored_bits what the files of a folder hold of the quantized linear layers, in bits per weight: codes with the padding of their
                packing, scales, zero points, orders of columns
--cache keeps what the original says (200 kB a token with 49152 words), so that the next call need not run it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from math import exp, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from benchmarks.runtimes import finished
from qtquant_app.engine.language_model import LanguageModel, open_tokenizer
from qtquant_app.engine.packed.whole import all_weights
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.text import read_text
from qtquant_app.engine.tools import open_tools
from qtquant_app.engine.verify import base_of, result_plan
from qtquant_app.engine.written import restored_weights
from qtquant_app.formats import find

DEQUANTIZED = "dequantized.safetensors"


def windows(model: str, text: str, count: int, length: int) -> list[Tensor]:
    """`count` windows of token ids [length] int64, spread evenly over the file `text`."""
    checkpoint = open_checkpoint(model)
    reader = LanguageModel(checkpoint.label, None, open_tokenizer(checkpoint), "cpu")
    return reader.windows(read_text(text), count, length)


def weights_of(path: Path, model: str) -> dict[str, Tensor]:
    """The float weights at `path`, a file or a folder, by the names of the checkpoint `model`.

    A folder is read as the runtimes of its format read it, whoever wrote it: products of codes and scales have the scales' dtype.
    """
    if path.is_file():
        return dict(load_file(path))
    if (path / DEQUANTIZED).exists():
        return dict(load_file(path / DEQUANTIZED))
    written = open_checkpoint(path)
    if written.packed_by:
        return all_weights(written)
    plan = result_plan(path)
    with open_tools(base_of(plan, model), find(plan.format), "cpu") as tools:
        return dict(finished(restored_weights(tools, path, plan)))


def stored_bits(folder: Path, model: str) -> float | None:
    """Bits per weight in the files of `folder`, of the layers that are kept there as something other than one weight."""
    kept = {
        name: size for file in folder.glob("*.safetensors") if file.name != DEQUANTIZED for name, size in _sizes(file)
    }
    weights = total = 0
    for tensor in open_checkpoint(model).tensors:
        prefix = tensor.name.removesuffix("weight")
        if tensor.name.endswith(".weight") and tensor.name not in kept:
            own = [size for name, size in kept.items() if name.startswith(prefix) and name != prefix + "bias"]
            total += 8 * sum(own)
            weights += prod(tensor.shape) if own else 0
    return total / weights if weights else None


def _sizes(file: Path) -> Iterator[tuple[str, int]]:
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    for name, entry in header.items():
        if name != "__metadata__":
            yield name, entry["data_offsets"][1] - entry["data_offsets"][0]


def opened(model: str) -> Any:
    """The model of transformers, in float32."""
    return AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, local_files_only=True).eval()


def replace_weights(net: Any, weights: Mapping[str, Tensor]) -> None:
    """Puts `weights` into `net`. Raises KeyError for a name, ValueError for a shape that the model does not have."""
    own = {**dict(net.named_parameters(remove_duplicate=False)), **dict(net.named_buffers())}
    with torch.no_grad():
        for name, weight in weights.items():
            if own[name].shape != weight.shape:
                raise ValueError(f"{name} is {tuple(weight.shape)}, and the model has {tuple(own[name].shape)}")
            own[name].copy_(weight)


def said(net: Any, parts: Sequence[Tensor]) -> Iterator[NDArray[np.float32]]:
    """Natural logarithms of the probabilities after each token but the last of each window, [length - 1, vocabulary]."""
    for ids in parts:
        with torch.inference_mode():
            yield torch.log_softmax(net(ids[None], use_cache=False).logits[0, :-1].float(), -1).numpy()


def original(model: str, parts: Sequence[Tensor], cache: Path | None) -> Iterator[NDArray[np.float32]]:
    """What the model itself says, window by window; from `cache` where it is there."""
    if cache is None:
        yield from said(opened(model), parts)
        return
    if not cache.exists():
        _keep(said(opened(model), parts), len(parts), cache)
    yield from np.load(cache, mmap_mode="r")


def _keep(found: Iterator[NDArray[np.float32]], count: int, cache: Path) -> None:
    partial = cache.with_suffix(".partial.npy")
    first = next(found)
    kept = np.lib.format.open_memmap(partial, "w+", np.float32, (count, *first.shape))
    kept[0] = first
    for at, window in enumerate(found, 1):
        kept[at] = window
    kept.flush()
    partial.rename(cache)


def judged(
    parts: Sequence[Tensor], base: Iterator[NDArray[np.float32]], own: Iterator[NDArray[np.float32]]
) -> dict[str, float | None]:
    """The measures of the docstring above, of what two models say about the same windows."""
    kl, loss, base_loss, same = [], [], [], []
    for ids, before, after in zip(parts, base, own, strict=True):
        p, q = torch.from_numpy(np.array(before)), torch.from_numpy(after)
        kl.append((p.exp() * (p - q)).sum(-1).double())
        loss.append(-q.gather(1, ids[1:, None])[:, 0].double())
        base_loss.append(-p.gather(1, ids[1:, None])[:, 0].double())
        same.append((p.argmax(-1) == q.argmax(-1)).double())
    each = torch.cat(kl)
    return {
        "tokens": len(each),
        "kl": float(each.mean()),
        "kl_p99": float(each.quantile(0.99)),
        "perplexity": exp(float(torch.cat(loss).mean())),
        "base_perplexity": exp(float(torch.cat(base_loss).mean())),
        "top1": float(torch.cat(same).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--text", required=True)
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--seqlen", type=int, default=512)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(2)
    parts = windows(options.model, options.text, options.windows, options.seqlen)
    net = opened(options.model)
    replace_weights(net, weights_of(options.weights, options.model))
    found = judged(parts, original(options.model, parts, options.cache), said(net, parts))
    if options.weights.is_dir():
        found["stored_bits"] = stored_bits(options.weights, options.model)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
