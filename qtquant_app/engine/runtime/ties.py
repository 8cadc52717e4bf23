"""Weights that a model shares between modules, where one of the modules is quantized."""

from __future__ import annotations

from transformers import PreTrainedModel

from qtquant_app.engine.runtime.contents import COMPANIONS
from qtquant_app.engine.runtime.placement import PLAIN, Placement, is_plain_linear


def settle_ties(model: PreTrainedModel, placement: Placement) -> dict[str, str]:
    """Makes `model.all_tied_weights_keys` fit `placement`; returns tied module to the packed module it shares with.

    Where the checkpoint has both sides of a tie, they are apart there and stay apart. Where the other side is a linear layer too,
    the two share their packed tensors. Where it is not (an embedding), the weight is dequantized while loading.
    """
    shared: dict[str, str] = {}
    settled = True
    while settled:
        # Settling a tie changes them, and may be what another, of three modules with one weight, waits for.
        ties = list(model.all_tied_weights_keys.items())
        settled = any(_settle(model, placement, shared, *tie) for tie in ties)
    return shared


def _settle(model: PreTrainedModel, placement: Placement, shared: dict[str, str], target: str, source: str) -> bool:
    for mine, other in ((target, source), (source, target)):
        module = mine.rpartition(".")[0]
        holder = module if module in placement.packed else shared.get(module)
        if holder is None or not mine.endswith(".weight"):
            continue
        if other in placement.present:
            del model.all_tied_weights_keys[target]
        elif is_plain_linear(model, other):
            del model.all_tied_weights_keys[target]
            shared[other.rpartition(".")[0]] = holder
        else:
            placement.dense[mine] = {PLAIN: [f"{placement.packed.pop(holder)}.weight"]}
        return True
    return False


def tie_companions(model: PreTrainedModel, shared: dict[str, str]) -> None:
    """Ties the packed tensors of the modules that `settle_ties` found, once the modules have them."""
    for target, source in shared.items():
        for name in COMPANIONS:
            if getattr(model.get_submodule(source), name) is not None:
                model.all_tied_weights_keys[f"{target}.{name}"] = f"{source}.{name}"
