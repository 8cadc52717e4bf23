"""The tokens that every method is calibrated on, as a JSON list of lists that needs nothing of ours to be read.

usage: python -m benchmarks.method_tokens MODEL OUT.json [--samples 64] [--seqlen 512]

They are windows of the first half of `pydoc_data.topics` ("default"), spread evenly, as `--calibration default` takes them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from qtquant_app.engine.language_model import LanguageModel, open_tokenizer
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.text import BUILT_IN, read_text


def calibration_tokens(model: str, samples: int, length: int) -> list[list[int]]:
    """At most `samples` windows of `length` token ids."""
    checkpoint = open_checkpoint(model)
    reader = LanguageModel(checkpoint.label, None, open_tokenizer(checkpoint), "cpu")
    first, _ = read_text(BUILT_IN).halves()
    return [ids.tolist() for ids in reader.windows(first, samples, length)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--seqlen", type=int, default=512)
    options = parser.parse_args()
    options.out.write_text(json.dumps(calibration_tokens(options.model, options.samples, options.seqlen)))


if __name__ == "__main__":
    main()
