"""Tiny models with tokenizers and processors of their own, all made here."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.text import BUILT_IN, read_text
from tests.end2end.tiny_models import HIDDEN, INNER, WORDS, build

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
TEMPLATE = "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
STRICT = "{% if messages[0]['role'] != 'user' %}{{ raise_exception('begin with the user') }}{% endif %}" + TEMPLATE


@cache
def tokenizer(words: int = WORDS - 2, closed: bool = True) -> transformers.PreTrainedTokenizerFast:
    """Pieces of English; a text begins with <s>, and ends with </s> where it is `closed`."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    text = read_text(BUILT_IN).content[:20_000].encode("ascii", "ignore").decode()
    trainer = trainers.BpeTrainer(vocab_size=words, special_tokens=list(SPECIAL), show_progress=False)
    made.train_from_iterator([text], trainer)
    around = "<s> $A </s>" if closed else "<s> $A"
    made.post_processor = processors.TemplateProcessing(single=around, special_tokens=[("<s>", 1), ("</s>", 2)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


def seeing(folder: Path) -> Checkpoint:
    """A model that goes on with a text and the pictures in it, with a processor that puts them together."""
    build("llava", torch.float32).save_pretrained(folder)
    own = tokenizer(words=WORDS - 1, closed=False)
    own.add_special_tokens({"additional_special_tokens": ["<image>"]})
    size = {"height": 32, "width": 32}
    pictures = transformers.CLIPImageProcessorPil(size=size, crop_size=size)
    rules = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    transformers.LlavaProcessor(pictures, own, image_token="<image>", **rules).save_pretrained(folder)
    return open_checkpoint(folder)


def checkpoint(kind: str, folder: Path, *, processed: bool = True, template: str = "") -> Checkpoint:
    """A model of that kind of `tiny_models` in float32, with what it needs to read text, pictures and sounds."""
    model = t5() if kind == "t5" else build(kind, torch.float32)
    model.save_pretrained(folder)
    if processed:
        if kind != "vit":
            own = tokenizer(closed=kind in ("bert", "clip", "t5", "whisper"))
            own.chat_template = template or None
            own.save_pretrained(folder)
        for part in _processors(kind):
            part.save_pretrained(folder)
    return open_checkpoint(folder)


def t5() -> transformers.PreTrainedModel:
    """An encoder that reads a text, and a decoder that answers it."""
    torch.manual_seed(0)
    config = transformers.T5Config(
        d_model=HIDDEN, d_kv=16, d_ff=INNER, num_layers=2, num_heads=4, vocab_size=WORDS, decoder_start_token_id=0
    )
    return transformers.T5ForConditionalGeneration(config).eval()


def _processors(kind: str) -> list[object]:
    size = {"height": 32, "width": 32}
    if kind == "vit":
        return [transformers.ViTImageProcessorPil(size=size)]
    if kind == "clip":
        return [transformers.CLIPImageProcessorPil(size=size, crop_size=size)]
    if kind == "whisper":
        return [transformers.WhisperFeatureExtractor(feature_size=8, hop_length=500, chunk_length=1)]
    return []


def picture(file: Path, shade: int, side: int = 40) -> None:
    """A plain picture."""
    Image.fromarray(np.full((side, side + 4, 3), shade, np.uint8)).save(file)


def forward(found: Checkpoint, sample: dict[str, torch.Tensor]) -> torch.Tensor:
    """What transformers' own model makes of a sample: its first output."""
    model = getattr(transformers, found.architecture).from_pretrained(found.root).eval()
    with torch.no_grad():
        output: torch.Tensor = model(**sample)[0]
    return output
