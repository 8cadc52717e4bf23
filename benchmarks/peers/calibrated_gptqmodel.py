"""Quantizes a checkpoint with GPTQModel and saves it as GPTQ.

usage: python calibrated_gptqmodel.py MODEL TOKENS OUT --bits B [--group-size 64] [--asymmetric]
(needs: pip install torch numpy setuptools wheel; pip install gptqmodel --no-build-isolation)

TOKENS is a JSON list of lists of token ids. What is not said is as GPTQModel has it when asked for nothing. Judge what it saves:
the zero points that it leaves in memory are one too low. With fewer than two workers it waits for ever, so there are two.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

from gptqmodel import GPTQModel, QuantizeConfig  # type: ignore[import-not-found]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("tokens", type=Path)
    parser.add_argument("out")
    parser.add_argument("--bits", type=int, required=True)
    parser.add_argument("--group-size", type=int, default=64)
    parser.add_argument("--asymmetric", action="store_true")
    options = parser.parse_args()
    tokens = json.loads(options.tokens.read_text())
    config = QuantizeConfig(bits=options.bits, group_size=options.group_size, sym=not options.asymmetric, device="cpu")
    model = GPTQModel.load(options.model, config)
    model.quantize([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in tokens], batch_size=1)
    model.save(options.out)


if __name__ == "__main__":
    main()
