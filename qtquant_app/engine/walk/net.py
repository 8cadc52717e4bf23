"""A model of transformers whose weights stay in the files until they are needed, a module at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError
from qtquant_app.engine.packed.whole import as_float
from qtquant_app.engine.walk.blocks import blocks_of
from qtquant_app.engine.walk.fills import Fill, Fills, Read

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel


class Net:
    """The model of a checkpoint, in evaluation mode, on `device` in `dtype`, built without weights.

    `blocks` are its repeated layers by name; a model without any is one block of its own, called "". What lies outside of the
    blocks is loaded by `read` when it is first called, and stays until `release`; what comes before the blocks, by `begin`, since
    some models ask their embedding where it is before they call it.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        model: PreTrainedModel,
        device: str,
        dtype: torch.dtype,
        read: Read,
        also: Collection[str] = (),
    ) -> None:
        import torch

        self.model = model
        self.checkpoint = checkpoint
        self.device = torch.device(device)
        self.dtype = dtype
        self.fills = Fills(model, checkpoint)
        self.blocks: dict[str, nn.Module] = blocks_of(model) or {"": model}
        self._read = read
        self._empty: dict[str, Tensor] = dict(model.state_dict(keep_vars=True))
        self._outside: list[str] = []
        if "" not in self.blocks:
            self.blocks |= self._owners(also)
        self._make_buffers()
        self._watch_outside()

    def _owners(self, names: Collection[str]) -> dict[str, nn.Module]:
        """The modules outside of the blocks that are filled with the checkpoint's tensors `names`."""
        inside, found = tuple(f"{block}." for block in self.blocks), {}
        for key in self._empty:
            fill = None if key.startswith(inside) else self.fills.of(key)
            if fill is not None and not set(names).isdisjoint(fill.names()):
                owner, _ = self._owner(key)
                if not list(owner.children()):
                    found[key.rpartition(".")[0]] = owner
        return found

    def matrices(self, block: str) -> list[str]:
        """The checkpoint's tensors that a block is filled with, each once."""
        found: dict[str, None] = {}
        for key in self._keys(block):
            fill = self.fills.of(key)
            found |= dict.fromkeys(fill.names() if fill else ())
        return list(found)

    def values(self, block: str) -> Iterator[tuple[str, Tensor]]:
        """The parameters and buffers of a block by name, as they are now."""
        for key in self._keys(block):
            owner, leaf = self._owner(key)
            value = owner._parameters.get(leaf)
            found = owner._buffers.get(leaf) if value is None else value
            if found is not None:
                yield key, found

    @contextmanager
    def filled(self, block: str, read: Read | None = None) -> Iterator[nn.Module]:
        """A block with its weights, taken from `read`, or else from the files. They are gone when the context ends."""
        keys = self._keys(block)
        try:
            self.fill(keys, read or self._read)
            yield self.blocks[block]
        finally:
            self._empty_out(keys)

    def fill(self, keys: Iterable[str], read: Read) -> None:
        """Fills parameters and buffers by name; what is filled stays so until it is emptied."""
        made: dict[str, Tensor] = {}
        for key in keys:
            source = self.fills.source_key(key)
            if source not in made:
                made |= self._fill_of(key).made(read, self.model)
            self._put(key, made[source])

    def refill(self, names: Iterable[str], block: str, read: Read) -> None:
        """Fills again, by `read`, whatever in a filled block is made of the tensors `names`."""
        changed = set(names)
        self.fill([key for key in self._keys(block) if changed & set(self._fill_of(key).names())], read)

    def begin(self) -> None:
        """Loads what stands before the first block in the module tree."""
        first = next(iter(self.blocks))
        before = takewhile(lambda key: not key.startswith(f"{first}."), self._empty)
        keys = [key for key in before if key not in self._outside] if first else []
        self.fill([key for key in keys if self.fills.of(key) is not None], self._read)
        self._outside += keys

    def release(self, *, everything: bool = True) -> None:
        """Empties what lies outside of the blocks; or only what is not a block's ancestor's, which may be at work still."""
        gone = [key for key in self._outside if everything or not self._around(key.rpartition(".")[0])]
        self._empty_out(gone)
        self._outside = [key for key in self._outside if key not in set(gone)]

    def _around(self, module: str) -> bool:
        return not module or any(block.startswith(f"{module}.") for block in self.blocks)

    def _keys(self, block: str) -> list[str]:
        prefix = f"{block}." if block else ""
        return [key for key in self._empty if key.startswith(prefix)]

    def _fill_of(self, key: str) -> Fill:
        fill = self.fills.of(key)
        if fill is None:
            raise EvaluateError(
                f"{self.checkpoint.label} has no tensor for {key}, which {type(self.model).__name__} needs",
                hint="use a data-free method, such as --method mse",
                code="model",
            )
        return fill

    def _put(self, key: str, value: Tensor) -> None:
        owner, leaf = self._owner(key)
        empty = self._empty[key]
        value = value.detach().to(self.device, self.dtype if empty.is_floating_point() else empty.dtype)
        if value.shape != empty.shape:
            raise EvaluateError(
                f"{key} is {list(empty.shape)} in {type(self.model).__name__}, not {list(value.shape)}",
                hint="check that config.json belongs to the weights",
                code="model",
            )
        self._set(owner, leaf, value.contiguous())

    def _empty_out(self, keys: Iterable[str]) -> None:
        for key in keys:
            owner, leaf = self._owner(key)
            self._set(owner, leaf, self._empty[key])

    @staticmethod
    def _set(owner: nn.Module, leaf: str, value: Tensor) -> None:
        from torch import nn

        if leaf in owner._parameters:
            kept = value if isinstance(value, nn.Parameter) else nn.Parameter(value, requires_grad=False)
            owner._parameters[leaf] = kept
        else:
            owner._buffers[leaf] = value

    def _is_empty(self, key: str) -> bool:
        owner, leaf = self._owner(key)
        value = owner._parameters.get(leaf)
        held = owner._buffers.get(leaf) if value is None else value
        return held is not None and held.is_meta

    def _owner(self, key: str) -> tuple[nn.Module, str]:
        path, _, leaf = key.rpartition(".")
        return self.model.get_submodule(path), leaf

    def _make_buffers(self) -> None:
        """Gives buffers that no file stores their values, as transformers does when it loads."""
        import torch

        for module in self.model.modules():
            missing = [name for name in module._non_persistent_buffers_set if module._buffers.get(name) is not None]
            for name in missing:
                module._buffers[name] = torch.zeros_like(module._buffers[name], device=self.device)  # type: ignore[arg-type]
            if missing:
                with torch.no_grad():
                    initialize: Any = self.model._init_weights
                    initialize(module)

    def _watch_outside(self) -> None:
        inside = tuple(f"{name}." for name in self.blocks if name)
        owners: dict[str, list[str]] = {}
        for key in self._empty:
            if inside and not key.startswith(inside):
                owners.setdefault(key.rpartition(".")[0], []).append(key)
        for name, keys in owners.items():
            self.model.get_submodule(name).register_forward_pre_hook(self._loading(keys))

    def _loading(self, keys: list[str]) -> Any:
        def load(module: nn.Module, arguments: object) -> None:
            missing = [key for key in keys if self._is_empty(key)]
            self.fill(missing, self._read)
            self._outside += [key for key in missing if key not in self._outside]

        return load


def open_net(checkpoint: Checkpoint, device: str, dtype: torch.dtype, read: Read, also: Collection[str] = ()) -> Net:
    """The model that the checkpoint's config names, of transformers' own classes; no code of the checkpoint is run.

    Layers outside of the blocks that are filled with the tensors `also` names, such as a head, count as blocks too.
    Raises EvaluateError where transformers has none.
    """
    from qtquant_app.formats.reader_names import skeleton

    model = skeleton(_plain(checkpoint.config))
    if model is None:
        raise EvaluateError(
            f"transformers cannot build the model that {checkpoint.label} describes",
            hint="use a data-free method, such as --method mse; or upgrade transformers",
            code="model",
        )
    model.eval().requires_grad_(False)
    model.config.use_cache = False
    as_float(model.config)
    if model._can_set_experts_implementation():
        model.set_experts_implementation("eager")  # one product for each expert, which can be watched
    return Net(checkpoint, model, device, dtype, read, also)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "quantization_config"}
