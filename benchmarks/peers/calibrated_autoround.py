"""Quantizes a checkpoint with AutoRound and saves it as GPTQ.

usage: python calibrated_autoround.py MODEL TOKENS OUT --bits B [--group-size 64] [--asymmetric] [--iterations 200]
(needs: pip install torch auto-round)

TOKENS is a JSON list of lists of token ids. What is not said is as AutoRound has it when asked for nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from auto_round import AutoRound  # type: ignore[import-not-found]
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("tokens", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bits", type=int, required=True)
    parser.add_argument("--group-size", type=int, default=64)
    parser.add_argument("--asymmetric", action="store_true")
    parser.add_argument("--iterations", type=int, default=200)
    options = parser.parse_args()
    tokens = torch.tensor(json.loads(options.tokens.read_text()))
    rounding = AutoRound(
        AutoModelForCausalLM.from_pretrained(options.model, dtype="auto"),
        AutoTokenizer.from_pretrained(options.model),
        bits=options.bits,
        group_size=options.group_size,
        sym=not options.asymmetric,
        iters=options.iterations,
        dataset=[{"input_ids": ids[None], "attention_mask": torch.ones_like(ids)[None]} for ids in tokens],
        nsamples=len(tokens),
        seqlen=tokens.shape[1],
        device_map="cpu",
    )
    made = options.out.with_name(options.out.name + ".partial")
    rounding.quantize_and_save(str(made), format="auto_gptq")
    next(made.iterdir()).rename(options.out)  # it names a folder within the one that it is given
    made.rmdir()


if __name__ == "__main__":
    main()
