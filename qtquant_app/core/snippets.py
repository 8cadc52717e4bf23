"""Lines of code that load what was saved, ready to paste."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

GGUF_FILE = "model.gguf"
"""What a run calls the one file of a GGUF result."""


@dataclass(frozen=True, slots=True)
class Snippet:
    title: str
    code: str


def snippets(format: str, folder: str, *, dequantize: bool = False, hub: bool = False) -> tuple[Snippet, ...]:
    """How to load the checkpoint in `folder`, which is a repository's name where `hub` is set.

    `dequantize` is for asymmetric weights, which transformers needs told.
    """
    if format == "compressed-tensors":
        return _transformers(folder, dequantize), _vllm(folder)
    if format == "qtquant":
        return _own(folder, hub), _own_transformers(folder)
    if format == "gguf":
        return (_llama_cpp_hub(folder) if hub else _llama_cpp(folder),)
    if format == "mlx":
        return (_mlx(folder),)
    if format in ("gptq", "awq"):
        return _plain(folder, "transformers optimum gptqmodel"), _vllm(folder)
    return (_plain(folder, "transformers"), _vllm(folder)) if format == "safetensors" else ()


def _transformers(folder: str, dequantize: bool) -> Snippet:
    names = "AutoModelForCausalLM, AutoTokenizer" + (", CompressedTensorsConfig" if dequantize else "")
    config = ",\n    quantization_config=CompressedTensorsConfig(dequantize=True)," if dequantize else ""
    load = f"AutoModelForCausalLM.from_pretrained(\n    folder{config}\n)" if config else _PLAIN_LOAD
    return Snippet(
        "transformers",
        "# pip install transformers compressed-tensors\n"
        f"from transformers import {names}\n\n"
        f"folder = {folder!r}\n"
        f"model = {load}\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n" + _GENERATE,
    )


_PLAIN_LOAD = "AutoModelForCausalLM.from_pretrained(folder)"

_GENERATE = (
    'inputs = tokenizer("The capital of France is", return_tensors="pt")\n'
    "out = model.generate(**inputs, max_new_tokens=20)\n"
    "print(tokenizer.decode(out[0]))\n"
)


def _vllm(folder: str) -> Snippet:
    return Snippet(
        "vLLM",
        "# pip install vllm; or on the command line: vllm serve FOLDER\n"
        "from vllm import LLM, SamplingParams\n\n"
        f"model = LLM(model={folder!r})\n"
        "sampling = SamplingParams(max_tokens=20)\n"
        'out = model.generate("The capital of France is", sampling)\n'
        "print(out[0].outputs[0].text)\n",
    )


def _llama_cpp(folder: str) -> Snippet:
    return Snippet(
        "llama.cpp",
        "# pip install llama-cpp-python; or on the command line: llama-cli -m FILE\n"
        "from llama_cpp import Llama\n\n"
        f"model = Llama({str(PurePath(folder, GGUF_FILE))!r})\n"
        'out = model("The capital of France is", max_tokens=20)\n'
        'print(out["choices"][0]["text"])\n',
    )


def _llama_cpp_hub(repo: str) -> Snippet:
    return Snippet(
        "llama.cpp",
        "# pip install llama-cpp-python huggingface_hub; or: llama-cli --hf-repo REPO --hf-file FILE\n"
        "from llama_cpp import Llama\n\n"
        f"model = Llama.from_pretrained({repo!r}, filename={GGUF_FILE!r})\n"
        'out = model("The capital of France is", max_tokens=20)\n'
        'print(out["choices"][0]["text"])\n',
    )


def _mlx(folder: str) -> Snippet:
    return Snippet(
        "mlx-lm",
        "# pip install mlx-lm\n"
        "from mlx_lm import generate, load\n\n"
        f"model, tokenizer = load({folder!r})\n"
        'print(generate(model, tokenizer, prompt="The capital of France is", max_tokens=20))\n',
    )


def _plain(folder: str, install: str) -> Snippet:
    return Snippet(
        "transformers",
        f"# pip install {install}\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"folder = {folder!r}\n"
        f"model = {_PLAIN_LOAD}\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n" + _GENERATE,
    )


def _own(folder: str, hub: bool) -> Snippet:
    fetching = "from huggingface_hub import snapshot_download\n" if hub else ""
    return Snippet(
        "qtquant_app.load",
        "# pip install qtquant\n"
        "import qtquant_app\n"
        f"{fetching}from transformers import AutoTokenizer\n\n"
        f"folder = {f'snapshot_download({folder!r})' if hub else repr(folder)}\n"
        "model = qtquant_app.load(folder)\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n" + _GENERATE,
    )


def _own_transformers(folder: str) -> Snippet:
    return Snippet(
        "transformers",
        "import qtquant_app.transformers  # teaches transformers to read the format\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"folder = {folder!r}\n"
        f"model = {_PLAIN_LOAD}\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n" + _GENERATE,
    )
