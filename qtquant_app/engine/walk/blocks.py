"""Finds the blocks of a model in its module tree: what repeats, and holds most of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def blocks_of(net: nn.Module) -> dict[str, nn.Module]:
    """The repeated layers of `net` by name, in the order of the tree, none inside another.

    A list of modules holds blocks where two or more of its members are of one class and linear layers make up most of what they
    hold. A model with several such lists, as one with an encoder and a decoder, has the blocks of all of them.
    """
    from torch import nn

    found: dict[str, nn.Module] = {}
    for name, module in net.named_modules():
        inside = any(name.startswith(f"{block}.") for block in found)
        if isinstance(module, (nn.ModuleList, nn.Sequential)) and not inside and _repeats(module):
            found |= {f"{name}.{key}": child for key, child in module.named_children()}
    return found


def _repeats(modules: nn.Module) -> bool:
    children = list(modules.children())
    kinds = {type(child) for child in children}
    return len(children) > 1 and len(kinds) < len(children) and all(_has_matrices(child) for child in children)


def _has_matrices(module: nn.Module) -> bool:
    """Whether it is more than one layer, and matrices, stacked ones too, hold most of its weights."""
    if not any(True for _ in module.children()):
        return False
    sizes = [(weight.dim(), weight.numel()) for weight in module.parameters()]
    matrices = sum(count for dimensions, count in sizes if dimensions in (2, 3))
    return 2 * matrices > sum(count for _, count in sizes)
