"""Where the two models of an evaluation get their weights: the original's files, a run's result, or somebody else's checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.plan import Plan
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.evaluation.rounding import Rounding
from qtquant_app.engine.layout import by_source
from qtquant_app.engine.reader import RangeReader, TensorReader
from qtquant_app.engine.tensor_work import Places
from qtquant_app.engine.tools import Tools, open_tools
from qtquant_app.engine.walk.fills import Read
from qtquant_app.engine.walk.net import Net, open_net
from qtquant_app.engine.walk.reading import float_weights
from qtquant_app.engine.written import restored_weight
from qtquant_app.formats import find

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Side:
    """One of the two models, in float32, its weights in the files until they are needed."""

    net: Net
    rounding: Rounding | None = None
    """What happens to the inputs of its layers, where something does."""


@dataclass(frozen=True)
class Pair:
    """Both models. Their blocks are the same."""

    base: Side
    own: Side


@contextmanager
def pair_with_result(checkpoint: Checkpoint, plan: Plan, root: Path, device: str) -> Iterator[Pair]:
    """The original at `checkpoint` beside what `plan` has written into `root`, whose layers round their inputs as its schemes say.

    Raises EvaluateError where transformers has no such model.
    """
    schemes = {t.name: t.scheme for t in plan.quantized if t.scheme is not None and t.scheme.activations != "none"}
    with open_tools(checkpoint, find(plan.format), "cpu") as tools, RangeReader(root) as written:
        read = _written_weights(tools, written, plan)
        base = _net(checkpoint, float_weights(tools.reader), device, schemes)
        own = _net(checkpoint, read, device, schemes)
        yield Pair(Side(base), Side(own, _rounding(own, schemes)))


@contextmanager
def pair_with_foreign(checkpoint: Checkpoint, foreign: Checkpoint, device: str) -> Iterator[Pair]:
    """The original beside a quantized checkpoint of somebody else's, of which the weights alone are looked at."""
    described = replace(foreign, config=checkpoint.config, architecture=checkpoint.architecture)
    with TensorReader(checkpoint) as reader, TensorReader(described) as other:
        base = _net(checkpoint, float_weights(reader), device)
        yield Pair(Side(base), Side(_net(described, float_weights(other), device)))


def _net(checkpoint: Checkpoint, read: Read, device: str, also: Collection[str] = ()) -> Net:
    import torch

    return open_net(checkpoint, device, torch.float32, read, also)


def _rounding(net: Net, schemes: Mapping[str, Scheme]) -> Rounding | None:
    return Rounding(net, schemes) if schemes else None


def _written_weights(tools: Tools, written: RangeReader, plan: Plan) -> Read:
    """Reads a tensor by its source's name as it was written; what the format leaves out, as it is in the source."""
    places: Mapping[str, Places] = by_source(plan.files)
    planned = {tensor.name: tensor for tensor in plan.tensors}
    source = float_weights(tools.reader)

    def read(name: str) -> Tensor:
        if name not in places:
            return source(name)
        tensor = tools.reader.checkpoint.by_name[name]
        steps = restored_weight(tools, written, tensor, planned[name], places[name])
        while True:
            try:
                next(steps)
            except StopIteration as end:
                weight: Tensor = end.value
                return weight

    return read
