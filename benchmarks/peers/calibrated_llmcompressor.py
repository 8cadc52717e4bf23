"""Quantizes a checkpoint with llm-compressor's GPTQ or AWQ and saves it as compressed-tensors.

usage: python calibrated_llmcompressor.py MODEL TOKENS OUT --bits B [--group-size 64] [--asymmetric] [--awq] [--samples N]
(needs: pip install torch llmcompressor)

TOKENS is a JSON list of lists of token ids, the first N of which are calibrated on. What is not said is as llm-compressor has it
when asked for nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from datasets import Dataset  # type: ignore[import-not-found]
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier
from llmcompressor.pipelines.cache import IntermediatesCache
from transformers import AutoModelForCausalLM, AutoTokenizer


def recipe(bits: int, group: int, symmetric: bool, awq: bool) -> list[Any]:
    weights = QuantizationArgs(num_bits=bits, type="int", symmetric=symmetric, strategy="group", group_size=group)
    groups = {"group_0": QuantizationScheme(targets=["Linear"], weights=weights)}
    if awq:
        return [AWQModifier(), QuantizationModifier(config_groups=groups, ignore=["lm_head"])]
    return [GPTQModifier(config_groups=groups, ignore=["lm_head"])]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("tokens", type=Path)
    parser.add_argument("out")
    parser.add_argument("--bits", type=int, required=True)
    parser.add_argument("--group-size", type=int, default=64)
    parser.add_argument("--asymmetric", action="store_true")
    parser.add_argument("--awq", action="store_true")
    parser.add_argument("--samples", type=int)
    options = parser.parse_args()
    tokens = json.loads(options.tokens.read_text())[: options.samples]
    if not torch.accelerator.is_available():
        # AWQ pins what it keeps between layers for the way to an accelerator, and fails where there is none.
        IntermediatesCache.pin_memory = lambda *_: None
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype="auto")
    oneshot(
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(options.model),
        dataset=Dataset.from_dict({"input_ids": tokens, "attention_mask": [[1] * len(ids) for ids in tokens]}),
        recipe=recipe(options.bits, options.group_size, not options.asymmetric, options.awq),
        num_calibration_samples=len(tokens),
        max_seq_length=len(tokens[0]),
        shuffle_calibration_samples=False,
    )
    model.save_pretrained(options.out, save_compressed=True)


if __name__ == "__main__":
    main()
