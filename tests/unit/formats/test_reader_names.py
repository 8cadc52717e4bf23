from __future__ import annotations

import pytest
import transformers

from qtquant_app.formats.reader_names import ReaderNames, reader_names

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 64}


def config_of(kind: type[transformers.PreTrainedConfig], model: type, **more: object) -> dict[str, object]:
    return {**kind(**SIZES, **more).to_dict(), "architectures": [model.__name__]}


def test_modules_that_transformers_renames_are_found_under_both_names() -> None:
    config = config_of(transformers.ViTConfig, transformers.ViTForImageClassification)
    names = reader_names(config, ["vit.encoder.layer.0.attention.attention.query.weight", "classifier.weight"])
    assert names.linear == {"vit.encoder.layer.0.attention.attention.query": ("vit.layers.0.attention.q_proj",)}


def test_a_projection_that_is_split_fills_several_layers() -> None:
    config = config_of(transformers.NomicBertConfig, transformers.NomicBertModel)
    names = reader_names(config, ["encoder.layers.0.attn.Wqkv.weight"])
    filled = tuple(f"layers.0.self_attn.{name}_proj" for name in "qkv")
    assert names.linear == {"encoder.layers.0.attn.Wqkv": filled}
    assert names.converted == {"encoder.layers.0.attn.Wqkv"} and not set(filled) & set(names.unfilled)


def test_a_tied_head_is_a_layer_that_no_tensor_fills() -> None:
    config = config_of(transformers.BertConfig, transformers.BertForMaskedLM)
    names = reader_names(config, ["bert.embeddings.word_embeddings.weight", "cls.predictions.bias"])
    assert "cls.predictions.decoder" in names.unfilled


def test_experts_are_converted_and_no_layer_has_them() -> None:
    config = config_of(transformers.MixtralConfig, transformers.MixtralForCausalLM, num_key_value_heads=1)
    expert = "model.layers.0.block_sparse_moe.experts.0.w1"
    names = reader_names(config, [f"{expert}.weight"])
    assert names.converted == {expert} and expert not in names.linear


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model_type": "somebodys"},
        {"model_type": "llama", "architectures": ["SomebodysModel"], "num_hidden_layers": "many"},
        {"model_type": ["llama"]},
    ],
)
def test_what_transformers_does_not_know_has_no_names(config: dict[str, object]) -> None:
    assert reader_names(config, ["model.a.weight"]) == ReaderNames()
