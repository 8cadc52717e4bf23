"""A result in transformers: with compressed-tensors, with gptqmodel (GPTQ and AWQ), its reader of GGUF, or our own quantizer."""

from __future__ import annotations

import sys
from typing import Any

_DEQUANTIZE = "CompressedTensorsConfig(dequantize=True)"


def load(request: dict[str, Any]) -> tuple[Any, str]:
    """Where compressed-tensors does not load as it is, it is tried again with `dequantize`."""
    import torch

    torch.set_num_threads(request["threads"])
    if request["format"] == "qtquant":
        sys.path.append(request["package_root"])
        import qtquant_app.transformers  # noqa: F401
    try:
        return _loaded(request), ""
    except Exception:
        if request["format"] != "compressed-tensors":
            raise
        import traceback

        traceback.print_exc()
    from transformers import CompressedTensorsConfig

    return _loaded(request, quantization_config=CompressedTensorsConfig(dequantize=True)), _DEQUANTIZE


def _loaded(request: dict[str, Any], **words: Any) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    if request["format"] == "gguf":
        words["gguf_file"] = request["file"]
    # Where the runtime has a dtype of its own; elsewhere float32 keeps the comparison free of rounding.
    dtype: Any = "auto" if request["half"] else torch.float32
    model = AutoModelForCausalLM.from_pretrained(
        request["model"], dtype=dtype, local_files_only=True, trust_remote_code=False, **words
    )
    return model.eval()


def run(model: Any, request: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Logits [tokens, vocabulary], and the likeliest tokens that follow, with the cache of keys and values."""
    import torch

    with torch.no_grad():
        given = model(torch.tensor([request["ids"]]), use_cache=True)
        logits = given.logits[0].float().numpy()
        continued: list[int] = []
        while len(continued) < request["new_tokens"]:
            continued.append(int(given.logits[0, -1].argmax()))
            given = model(torch.tensor([continued[-1:]]), past_key_values=given.past_key_values, use_cache=True)
    return logits, {"continued": continued}
