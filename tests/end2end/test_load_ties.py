"""Weights that a model shares between modules, where the checkpoint quantizes them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.load import load
from qtquant_app.transformers import QuantizedLinear
from tests.end2end.round_trip import Trip, assert_alike, quantize
from tests.end2end.tiny_models import inputs, llama, outputs

GROUP_16 = Scheme(4, group_size=16)


def tied_in_config_only(trip: Trip) -> None:
    """Says in config.json that head and embedding are one weight."""
    config = json.loads((trip.output / "config.json").read_text())
    (trip.output / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))


def with_quantized_head(folder: Path) -> Trip:
    torch.manual_seed(0)
    return quantize(llama(), folder, Recipe(GROUP_16, (Rule("lm_head", GROUP_16),), format="qtquant"))


def test_a_quantized_head_beside_its_embedding_stays_apart_from_it(tmp_path: Path) -> None:
    trip, given = with_quantized_head(tmp_path), inputs("llama", torch.float32)
    tied_in_config_only(trip)
    model = load(trip.output)
    assert isinstance(model.lm_head, QuantizedLinear)
    expected = outputs(trip.reference(transformers.LlamaForCausalLM, torch.float32), given)
    assert_alike(outputs(model, given), expected)


def test_a_quantized_head_that_is_the_embedding_too_is_dequantized(tmp_path: Path) -> None:
    trip = with_quantized_head(tmp_path)
    tied_in_config_only(trip)
    tensors = load_file(trip.output / "model.safetensors")
    del tensors["model.embed_tokens.weight"]
    save_file(tensors, trip.output / "model.safetensors", metadata={"format": "pt"})
    model = load(trip.output)
    assert type(model.lm_head) is torch.nn.Linear
    assert model.lm_head.weight is model.model.embed_tokens.weight
    reference = trip.reference(transformers.LlamaForCausalLM, torch.float32)
    assert torch.equal(model.lm_head.weight, reference.lm_head.weight)


def test_layers_that_share_a_weight_share_its_packed_form(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = transformers.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], out_features=["stage1", "stage2"]
    )
    sizes = {"d_model": 64, "encoder_layers": 1, "decoder_layers": 3, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "num_queries": 5, "num_labels": 4}
    config = transformers.DeformableDetrConfig(backbone_config=backbone, num_feature_levels=2, **sizes, **heads)
    built = transformers.DeformableDetrForObjectDetection(config)
    trip = quantize(built, tmp_path, Recipe(GROUP_16, (Rule("*class_embed*", GROUP_16),), format="qtquant"))
    model, reference = load(trip.output), trip.reference(type(built), torch.float32)
    assert model.bbox_embed[0].layers[0].weight_packed is model.bbox_embed[2].layers[0].weight_packed
    picture = {"pixel_values": torch.randn(1, 3, 64, 64)}
    with torch.no_grad():
        made, expected = model(**picture), reference(**picture)
    assert_alike(made.pred_boxes, expected.pred_boxes)
    assert_alike(made.logits, expected.logits)
    model.save_pretrained(tmp_path / "again")
    with torch.no_grad():
        assert_alike(load(tmp_path / "again")(**picture).pred_boxes, made.pred_boxes)
