"""Where readers trip over floating-point codes: rows of the tables of `core.runtimes`."""

from __future__ import annotations

from qtquant_app.core.traps import Severity, Trap

_BLOCKS = {"type": ("float",), "strategy": ("block",)}
_FLOAT_4 = {"type": ("float",), "bits": (4,)}
_NVFP4 = {**_FLOAT_4, "group": (16,)}
_CHANNEL_SCHEME = {"strategy": "channel", "group_size": None}
_RUN = "[RUN] transformers 5.23 with compressed-tensors 0.20"

FLOATS_VLLM = (
    Trap(
        "block-columns",
        Severity.REFUSES,
        "vLLM takes FP8 in square blocks only where the columns, on each rank, are made of whole blocks",
        "[SRC] compressed-tensors 0.20 on vLLM's kernels: columns must divide by the block, rows need not",
        {**_BLOCKS, "groups_whole": (False,)},
        mend=_CHANNEL_SCHEME,
        warned=True,
    ),
)

FLOATS_VLLM_CPU = (
    Trap(
        "cpu-float",
        Severity.NOTE,
        "floating-point codes have not been tried with vLLM on a CPU",
        "no run and no source: what is known is of packed integers",
        {"type": ("float",)},
        mend={"type": "int", "bits": 4, "strategy": "group", "group_size": 32, "activations": "none"},
    ),
)

FLOATS_TRANSFORMERS = (
    Trap(
        "float4-dtype",
        Severity.NEEDS,
        "transformers decodes NVFP4 and MXFP4 to bfloat16, beside which a model of another dtype fails: load it with"
        " dtype=torch.bfloat16",
        _RUN,
        {**_FLOAT_4, "dtype": ("F16", "F32")},
        mend={"bits": 8, **_CHANNEL_SCHEME},
        warned=True,
    ),
    Trap(
        "nvfp4-experts",
        Severity.WRONG,
        "transformers 5.23 decodes experts in NVFP4 wrongly; those in MXFP4 and FP8 come out right",
        _RUN,
        {"kind": ("expert",), **_NVFP4},
        mend={"group_size": 32},
        warned=True,
    ),
    Trap(
        "block-activations",
        Severity.REFUSES,
        "transformers rounds activations beside square blocks 128 columns at a time, and fails where these do not fill them",
        _RUN,
        {**_BLOCKS, "activations": ("fp8",), "groups_whole": (False,)},
        mend=_CHANNEL_SCHEME,
        warned=True,
    ),
    Trap(
        "split-scales",
        Severity.REFUSES,
        "transformers takes {tensor} apart while loading, and cannot do so with one scale for the tensor or with square blocks:"
        " use one per row",
        _RUN,
        {"type": ("float",), "strategy": ("tensor", "block"), "taken_apart": (True,)},
        mend=_CHANNEL_SCHEME,
        warned=True,
    ),
    Trap(
        "split-nvfp4",
        Severity.REFUSES,
        "transformers takes {tensor} apart while loading, and cannot do so with NVFP4's global scale; MXFP4 loads",
        _RUN,
        {**_NVFP4, "taken_apart": (True,)},
        mend={"group_size": 32},
        warned=True,
    ),
)
