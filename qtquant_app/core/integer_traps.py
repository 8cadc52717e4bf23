"""Where readers of GPTQ and AWQ files trip: rows of the tables of `core.runtimes`."""

from __future__ import annotations

from qtquant_app.core.traps import Severity, Trap

_OPTIMUM = "[SRC] optimum 2.3, through which transformers 5.23 loads GPTQ: no `dynamic`, and layers of blocks only"

GPTQ_VLLM = (
    Trap(
        "gptq-asymmetric",
        Severity.REFUSES,
        "vLLM 0.33 reads symmetric GPTQ files only; gptqmodel reads asymmetric ones, and vLLM does as compressed-tensors",
        "[SRC] vLLM 0.33: (bits, sym) of (4, true) and (8, true)",
        {"quantized": (True,), "symmetric": (False,)},
        mend={"symmetric": True},
    ),
    Trap(
        "gptq-width",
        Severity.REFUSES,
        "vLLM 0.33 reads GPTQ files of 4 and 8 bits only; gptqmodel reads 2 and 3, and vLLM does as compressed-tensors",
        "[SRC] vLLM 0.33: (bits, sym) of (4, true) and (8, true)",
        {"quantized": (True,)},
        unless={"bits": (4, 8)},
        mend={"bits": 4},
    ),
)

GPTQ_TRANSFORMERS = (
    Trap(
        "gptq-mixed",
        Severity.REFUSES,
        "transformers 5.23 loads GPTQ files of one scheme for all layers only; gptqmodel and vLLM load mixed ones",
        _OPTIMUM,
        {"kind": ("linear",), "quantized": (True,), "all_alike": (False,)},
        mend="share-all",
        warned=True,
    ),
    Trap(
        "gptq-kept",
        Severity.WRONG,
        "transformers 5.23 takes every linear layer of a GPTQ file's blocks for quantized, and computes nonsense with one in float;"
        " gptqmodel and vLLM load it",
        _OPTIMUM,
        {"kind": ("linear",), "quantized": (False,)},
        mend="share-all",
        warned=True,
    ),
    Trap(
        "gptq-head",
        Severity.WRONG,
        "transformers 5.23 does not read a quantized head in a GPTQ file; gptqmodel does",
        _OPTIMUM,
        {"kind": ("head",), "quantized": (True,)},
        mend="keep",
        warned=True,
    ),
)

AWQ_TRANSFORMERS = (
    Trap(
        "awq-head",
        Severity.WRONG,
        "transformers 5.23 does not read a quantized head in an AWQ file",
        "[SRC] transformers 5.23: get_modules_to_not_convert adds the head by itself",
        {"kind": ("head",), "quantized": (True,)},
        mend="keep",
        warned=True,
    ),
)
