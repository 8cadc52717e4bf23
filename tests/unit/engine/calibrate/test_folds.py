"""Foldings are found by watching a block run, and leave what the model says as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.folding import Folding
from qtquant_app.engine.calibrate.factors import foldings_of
from qtquant_app.engine.calibrate.folds import Fold, FoldFinder
from qtquant_app.engine.folded import with_foldings
from qtquant_app.engine.reader import TensorReader
from qtquant_app.engine.walk.reading import float_weights
from qtquant_app.engine.walk.walk import Chain, Walk
from tests.end2end import tiny_models
from tests.unit.engine.walk.nets import opened, saved
from tests.unit.engine.walk.test_walk import KINDS, text, whole


def folds_of(checkpoint: Checkpoint, batch: dict[str, torch.Tensor]) -> list[Fold]:
    """All that are found in all blocks."""
    found: list[Fold] = []
    with opened(checkpoint) as net, Walk([Chain(net, [batch])]) as walk:
        for visit in walk.visits():
            with net.filled(visit.block) as module:
                matrices = [name for name in net.matrices(visit.block) if len(checkpoint.by_name[name].shape) == 2]
                finder = FoldFinder(net, visit.block, module, visit.calls()[0], matrices)
                found += finder.found([t.name for t in checkpoint.quantizable])
                list(visit.run(module))
    return found


def leaf(name: str) -> str:
    return name.removesuffix(".weight").rpartition(".")[2]


def said(folds: list[Fold]) -> set[tuple[str, tuple[str, ...]]]:
    return {(leaf(fold.producer[0]), tuple(sorted({leaf(name) for name in fold.consumers}))) for fold in folds}


EXPECTED = {
    "llama": {
        ("input_layernorm", ("k_proj", "q_proj", "v_proj")),
        ("post_attention_layernorm", ("gate_proj", "up_proj")),
        ("v_proj", ("o_proj",)),
        ("up_proj", ("down_proj",)),
    },
    "mixtral": {
        ("input_layernorm", ("k_proj", "q_proj", "v_proj")),
        ("post_attention_layernorm", ("gate", "w1", "w3")),
        ("v_proj", ("o_proj",)),
        ("w3", ("w2",)),
    },
    "bert": {("value", ("dense",))},  # norms feed the residual stream too, and gelu is not linear
    "vit": {("layernorm_before", ("key", "query", "value")), ("layernorm_after", ("dense",)), ("value", ("dense",))},
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_what_can_be_folded_is_found_in_any_architecture(kind: str, tmp_path: Path) -> None:
    build, inputs, _ = KINDS[kind]
    torch.manual_seed(0)
    folds = folds_of(saved(build(), tmp_path), inputs())
    assert said(folds) == EXPECTED[kind]
    assert all(fold.offset == 0 for fold in folds)


def folded_model(checkpoint: Checkpoint, folds: list[Fold]) -> PreTrainedModel:
    """The float model of the folded checkpoint, factors drawn by chance."""
    foldings: dict[str, Folding] = {}
    for number, fold in enumerate(folds):
        rows = torch.empty(int(fold.rows.max()) + 1).uniform_(0.3, 3, generator=torch.Generator().manual_seed(number))
        foldings_of(fold, rows[fold.rows], foldings)
    reader = TensorReader(with_foldings(checkpoint, foldings))
    read = float_weights(reader)
    model = AutoModelForCausalLM.from_pretrained(checkpoint.root, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(read(name))
    return model.eval()


@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_a_folded_model_says_what_the_model_says(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = tiny_models.llama() if family == "llama" else gemma()
    batch = text()
    checkpoint = saved(model, tmp_path)
    folds = folds_of(checkpoint, batch)
    assert len(folds) == 8
    assert {fold.offset for fold in folds} == ({0.0} if family == "llama" else {0.0, 1.0})
    torch.testing.assert_close(whole(folded_model(checkpoint, folds), batch), whole(model, batch), rtol=1e-3, atol=1e-4)


def gemma() -> PreTrainedModel:
    """A model whose norms multiply with 1 + weight."""
    config = transformers.GemmaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=128,
        pad_token_id=0,
    )
    model = transformers.GemmaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(-0.5, 0.5)
    return model


def test_columns_that_come_from_one_row_get_one_factor(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folds = folds_of(saved(tiny_models.llama(), tmp_path), text())
    (shared,) = {tuple(fold.rows.tolist()) for fold in folds if leaf(fold.producer[0]) == "v_proj"}
    assert shared == tuple((head // 2) * 16 + at for head in range(4) for at in range(16))
