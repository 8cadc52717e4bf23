"""The `general.*` values: what the model is called, whose it is, and how it was quantized."""

from __future__ import annotations

import re
from collections.abc import Mapping

from qtquant_app.formats.gguf.values import Value, text, u32

QUANTIZATION_VERSION = 2
"""ggml's version of its block layouts."""

FILE_TYPES = {
    "F32": 0,
    "F16": 1,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q8_0": 7,
    "Q5_0": 8,
    "Q5_1": 9,
    "Q2_K": 10,
    "Q3_K_S": 11,
    "Q3_K_M": 12,
    "Q3_K_L": 13,
    "Q4_K_S": 14,
    "Q4_K_M": 15,
    "Q5_K_S": 16,
    "Q5_K_M": 17,
    "Q6_K": 18,
    "BF16": 32,
}
"""llama.cpp's number of each mixture (enum llama_ftype)."""
_UNIFORM = {"Q3_K": "Q3_K_S", "Q4_K": "Q4_K_S", "Q5_K": "Q5_K_S"}
_GUESSED = 1024

_ENTRY = re.compile(r"^(license|license_name|base_model):[ \t]*(.*)$", re.MULTILINE)
_ITEM = re.compile(r"\s*-[ \t]*(\S+)")
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)


def file_type(mixture: str) -> int:
    """llama.cpp's number for a mixture, or for a file most of whose tensors have one type; 1024, "guessed", for anything else."""
    return FILE_TYPES.get(_UNIFORM.get(mixture, mixture), _GUESSED)


def general(architecture: str, name: str, mixture: str, readme: str) -> dict[str, Value]:
    """What every file says of itself; the licence and the base model where the README's head names them."""
    found = {
        "general.architecture": text(architecture),
        "general.type": text("model"),
        "general.name": text(name),
        "general.file_type": u32(file_type(mixture)),
        "general.quantization_version": u32(QUANTIZATION_VERSION),
    }
    said = _said(readme)
    if said.get("license"):
        found["general.license"] = text(said["license"])
    return found | _base(said.get("base_model", ""))


def _base(repository: str) -> dict[str, Value]:
    if not _REPOSITORY.fullmatch(repository):
        return {}
    organization, name = repository.split("/")
    return {
        "general.base_model.count": u32(1),
        "general.base_model.0.name": text(name),
        "general.base_model.0.organization": text(organization),
        "general.base_model.0.repo_url": text(f"https://huggingface.co/{repository}"),
    }


def _said(readme: str) -> Mapping[str, str]:
    """The licence and the first base model of the block between `---` with which a model card begins."""
    if not readme.startswith("---"):
        return {}
    head = readme[3:].partition("\n---")[0]
    found = {}
    for entry in _ENTRY.finditer(head):
        item = _ITEM.match(head, entry.end())
        value = entry[2].strip() or (item[1] if item else "")
        found[entry[1]] = value.strip("\"'[] ")
    return found
