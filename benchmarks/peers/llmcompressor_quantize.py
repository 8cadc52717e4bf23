"""Quantizes a checkpoint with llm-compressor's model_free_ptq: round to nearest, 4 bits, group 128, a shard at a time.

usage: python llmcompressor_quantize.py FOLDER OUT        (needs: pip install llmcompressor)
"""

from __future__ import annotations

import sys

from llmcompressor import model_free_ptq

if __name__ == "__main__":
    model_free_ptq(
        model_stub=sys.argv[1],
        save_directory=sys.argv[2],
        scheme="W4A16",
        ignore=["lm_head", "re:.*embed_tokens$"],
        device="cpu",
        max_workers=1,
    )
