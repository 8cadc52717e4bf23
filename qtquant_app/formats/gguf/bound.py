"""A checkpoint as a GGUF file: what each tensor becomes, and what the header says. All of it is decided from names, shapes and
config.json; of the weights nothing is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.errors import PlanError
from qtquant_app.core.foreign_files import check_inside, read_bounded
from qtquant_app.core.json_text import shown
from qtquant_app.core.layouts import LAYOUTS, MIXTURES
from qtquant_app.formats.gguf.architectures import architecture_of, config_error
from qtquant_app.formats.gguf.architectures.base import Architecture, Target
from qtquant_app.formats.gguf.architectures.config import Config
from qtquant_app.formats.gguf.architectures.rope import Factors
from qtquant_app.formats.gguf.general import general
from qtquant_app.formats.gguf.mixtures import Model, is_quantized, type_of
from qtquant_app.formats.gguf.tokenizers.files import tokenizer_metadata
from qtquant_app.formats.gguf.values import Value

Table = Sequence[tuple[str, str, tuple[int, ...]]]
"""Name, type and row-major shape of each tensor of a file."""

_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"
_README, _MOST_README = "README.md", 1 << 22


@dataclass(frozen=True)
class Bound:
    """One checkpoint and its architecture. `targets` has every tensor of the checkpoint that has bytes of its own."""

    checkpoint: Checkpoint
    architecture: Architecture
    config: Config
    targets: Mapping[str, Target | None]
    model: Model

    def metadata(self, table: Table) -> dict[str, Value]:
        """All that the header says besides the tensors. Raises PlanError naming what is missing."""
        name = model_name(self.checkpoint.path)
        rows = next(shape[0] for title, _, shape in table if title == _EMBEDDING)
        found = general(self.architecture.name, name, mixture_of(table, self.model), _readme(self.checkpoint))
        try:
            found |= self.architecture.metadata(self.config)
        except ValueError as error:
            raise config_error(error) from None
        return found | tokenizer_metadata(self.checkpoint.bring(), rows, self.checkpoint.config)

    def made(self) -> Mapping[str, Factors]:
        """The float32 tensors that are computed from config.json."""
        try:
            return self.architecture.made(self.config)
        except ValueError as error:
            raise config_error(error) from None

    @property
    def left_out(self) -> list[str]:
        """Tensors that are not of the text's part of the model."""
        return [name for name, target in self.targets.items() if target is None and "vision" in name]


def model_name(path: Path) -> str:
    """What the checkpoint at `path`, resolved, is called: its folder, or its repository where it lies in the Hub's cache."""
    folder = path if not path.suffix or path.is_dir() else path.parent
    if folder.parent.name == "snapshots" and "--" in folder.parent.parent.name:
        return folder.parent.parent.name.rpartition("--")[2]
    return folder.name


def bind(checkpoint: Checkpoint) -> Bound:
    """What `checkpoint` becomes as a GGUF file.

    Raises PlanError where its architecture is none that there is a file for, where a tensor has no place in it, or where one that
    belongs there is missing.
    """
    architecture, config = architecture_of(checkpoint.config)
    own = [tensor for tensor in checkpoint.tensors if tensor.tied_to is None]
    try:
        targets = {tensor.name: architecture.target(config, tensor.name) for tensor in own}
        model = Model(
            architecture.name,
            config.layers,
            config.heads // config.kv_heads,
            config.experts,
            tied=all(target is None or target.name != _HEAD for target in targets.values()),
        )
        _with_embedding(targets)
        _check_complete(config, targets)
    except ValueError as error:
        raise PlanError(
            f"llama.cpp's {architecture.name} {error}",
            hint="another format takes any model",
            code="architecture",
        ) from None
    return Bound(checkpoint, architecture, config, targets, model)


def _with_embedding(targets: dict[str, Target | None]) -> None:
    """Where head and embedding are one and the bytes are the head's, the head becomes the embedding."""
    if any(target is not None and target.name == _EMBEDDING for target in targets.values()):
        return
    for name, target in targets.items():
        if target is None and name.endswith("lm_head.weight"):
            targets[name] = Target(_EMBEDDING)


def _check_complete(config: Config, targets: Mapping[str, Target | None]) -> None:
    """Raises ValueError where two tensors are one, a block has less than others, or a stack not all of its experts."""
    stacks: dict[str, list[int]] = defaultdict(list)
    sources: dict[str, str] = {}
    for source, target in targets.items():
        if target is not None and target.expert is not None:
            stacks[target.name].append(target.expert)
        elif target is not None and target.name in sources:
            raise ValueError(f"has one {target.name} for {shown(source)} and {shown(sources[target.name])}")
        elif target is not None:
            sources[target.name] = source
    if _EMBEDDING not in sources:
        raise ValueError("needs an embedding, and the checkpoint has none")
    for name, experts in stacks.items():
        if sorted(experts) != list(range(config.experts)):
            raise ValueError(f"needs {config.experts} experts in {name}, and the checkpoint has {len(experts)} of them")
    _check_blocks(config.layers, (*sources, *stacks))


def _check_blocks(layers: int, names: Sequence[str]) -> None:
    blocks: dict[int, set[str]] = defaultdict(set)
    for name in names:
        if name.startswith("blk."):
            _, number, rest = name.split(".", 2)
            blocks[int(number)].add(rest)
    every = set().union(*blocks.values())
    for layer in range(layers):
        missing = sorted(every - blocks[layer])
        if missing or not every:
            raise ValueError(
                f"needs blk.{layer}.{missing[0] if missing else '*'}, and the checkpoint has nothing for it"
            )


def _readme(checkpoint: Checkpoint) -> str:
    """The model card; empty where there is none that can be read."""
    if not (checkpoint.root / _README).is_file():
        return ""
    check_inside(checkpoint.root, _README)
    try:
        return read_bounded(checkpoint.root / _README, _MOST_README).decode(errors="replace")
    except OSError:
        return ""


def mixture_of(table: Table, model: Model) -> str:
    """The mixture that gives every tensor of `table` the type it has; else the type that most weights have."""
    quantized = [(name, type_, shape) for name, type_, shape in table if is_quantized(name, len(shape))]
    for mixture in MIXTURES:
        if all(type_of(mixture, name, shape, model) == type_ for name, type_, shape in quantized):
            return mixture
    weights: dict[str, int] = defaultdict(int)
    for _, type_, shape in quantized:
        weights[type_] += shape[-1] * shape[-2]
    return max(weights, key=lambda type_: weights[type_], default="F32")


def kept_type(tensor: TensorInfo, name: str) -> str:
    """The type of a tensor that is not quantized: float32 for what llama.cpp reads so, else its own.

    Raises ValueError where it is no float that a GGUF file holds.
    """
    if not is_quantized(name, len(tensor.shape)):
        if tensor.dtype not in ("F64", "F32", "F16", "BF16"):
            raise ValueError(f"holds {shown(tensor.name)} as numbers, and the checkpoint has {tensor.dtype}")
        return "F32"
    if tensor.dtype not in ("F32", "F16", "BF16"):
        raise ValueError(f"cannot keep {shown(tensor.name)} as {tensor.dtype}")
    return tensor.dtype


def layout_for(bits: int, symmetric: bool) -> str | None:
    """The block type nearest to plain codes of so many bits; None where there is none."""
    name = {
        2: "Q2_K",
        3: "Q3_K",
        4: "Q4_0" if symmetric else "Q4_1",
        5: "Q5_0" if symmetric else "Q5_1",
        6: "Q6_K",
        8: "Q8_0",
    }
    found = name.get(bits)
    return found if found in LAYOUTS else None
