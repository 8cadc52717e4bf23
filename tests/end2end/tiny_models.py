"""Tiny random models of every kind that transformers has, and inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

HIDDEN, INNER, WORDS = 64, 96, 128

Inputs = dict[str, torch.Tensor]

_DECODER: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": WORDS,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
_ENCODER: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": WORDS,
    "max_position_embeddings": 64,
}
_PICTURE: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}


def llama(**changes: Any) -> PreTrainedModel:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**_DECODER, **changes}))


def mixtral(**changes: Any) -> PreTrainedModel:
    config = transformers.MixtralConfig(**{**_DECODER, "num_local_experts": 4, "num_experts_per_tok": 2, **changes})
    return transformers.MixtralForCausalLM(config)


def qwen3_moe() -> PreTrainedModel:
    config = transformers.Qwen3MoeConfig(
        **_DECODER, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=INNER, head_dim=16
    )
    return transformers.Qwen3MoeForCausalLM(config)


def bert() -> PreTrainedModel:
    return transformers.BertForMaskedLM(transformers.BertConfig(**_ENCODER))


def vit() -> PreTrainedModel:
    return transformers.ViTForImageClassification(transformers.ViTConfig(**_PICTURE, num_labels=5))


def whisper() -> PreTrainedModel:
    config = transformers.WhisperConfig(
        d_model=HIDDEN,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=INNER,
        decoder_ffn_dim=INNER,
        vocab_size=WORDS,
        num_mel_bins=8,
        max_source_positions=16,
        max_target_positions=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    return transformers.WhisperForConditionalGeneration(config)


def clip() -> PreTrainedModel:
    text = {**_ENCODER, "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0}
    config = transformers.CLIPConfig(text_config=text, vision_config=_PICTURE, projection_dim=HIDDEN)
    return transformers.CLIPModel(config)


def llava() -> PreTrainedModel:
    """Text and images in one; its checkpoint names differ from its module names."""
    config = transformers.LlavaConfig(
        vision_config={**_PICTURE, "model_type": "clip_vision_model"},
        text_config={**_DECODER, "model_type": "llama"},
        image_token_index=WORDS - 1,
        vision_feature_layer=-1,
    )
    return transformers.LlavaForConditionalGeneration(config)


def _words() -> torch.Tensor:
    return torch.randint(3, WORDS - 2, (2, 12))


def _text() -> Inputs:
    return {"input_ids": _words()}


def _picture() -> Inputs:
    return {"pixel_values": torch.randn(2, 3, 32, 32)}


def _sound() -> Inputs:
    return {"input_features": torch.randn(2, 8, 32), "decoder_input_ids": _words()}


def _text_after_picture() -> Inputs:
    patches = torch.full((2, 16), WORDS - 1)
    return {"input_ids": torch.cat([patches, _words()], dim=1), **_picture()}


KINDS: dict[str, tuple[Callable[[], PreTrainedModel], Callable[[], Inputs]]] = {
    "llama": (llama, _text),
    "mixtral": (mixtral, _text),
    "qwen3_moe": (qwen3_moe, _text),
    "bert": (bert, _text),
    "vit": (vit, _picture),
    "whisper": (whisper, _sound),
    "clip": (clip, lambda: {**_text(), **_picture()}),
    "llava": (llava, _text_after_picture),
}


def build(kind: str, dtype: torch.dtype) -> PreTrainedModel:
    """A random model, the same at every call, in evaluation mode."""
    torch.manual_seed(0)
    return KINDS[kind][0]().to(dtype).eval()


def inputs(kind: str, dtype: torch.dtype) -> Inputs:
    """Inputs for a model of that kind, floats among them in `dtype`."""
    torch.manual_seed(1)
    made = KINDS[kind][1]()
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in made.items()}


def outputs(model: PreTrainedModel, given: Inputs) -> torch.Tensor:
    """What the model makes of `given`, as float32: logits, or similarities of texts and images."""
    with torch.no_grad():
        made = model(**given)
    logits = made.logits_per_text if hasattr(made, "logits_per_text") else made.logits
    return logits.float()
