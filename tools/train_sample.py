#!/usr/bin/env python3
"""Train the built-in sample model from nothing: a small Llama on the text of CPython's ``pydoc_data.topics``.

The text is the Python language reference as ``help()`` shows it. About 8 % of it, whole topics, is held out; a
paragraph of a held-out topic that another topic repeats is taken out of the training text as well. The output folder
is an ordinary ``save_pretrained`` folder (two safetensors shards in bfloat16), with the held-out text and a model card
whose figures this script measures.

needs: pip install torch transformers tokenizers; about six minutes on two CPU cores with bfloat16 instructions
"""

import argparse
import copy
import hashlib
import math
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

import tokenizers
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

END = "<|endoftext|>"
CONTEXT = 512
VOCABULARY = 1536
BATCH = 2  # windows of the context length per step
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1.0
NOISE = 0.2  # share of the input tokens replaced by random ones, lest so small a text be learnt by heart
HELD_OUT_SHARE = 0.08
LONGEST_HELD_OUT = 10_000  # characters: the held-out part shall be a mixture of topics and not one long one
PROMPT = "The import statement"
DEFAULT_OUT = Path(__file__).resolve().parent.parent / "qtquant_app" / "resources" / "sample"


def split_corpus() -> tuple[list[str], list[str]]:
    """Give the names of the held-out topics, drawn by a hash, and the other topics with every paragraph used once."""
    target = HELD_OUT_SHARE * sum(len(text) for text in topics.values())
    names: list[str] = []
    for name in sorted(topics, key=lambda topic: hashlib.sha256(topic.encode()).digest()):
        size = sum(len(topics[chosen]) for chosen in [*names, name])
        if len(topics[name]) <= LONGEST_HELD_OUT and size <= target:
            names.append(name)
    names.sort()
    seen = {"".join(paragraph.split()) for name in names for paragraph in topics[name].split("\n\n")}
    training: list[str] = []
    # Long topics first: a short one is often a section of a long one, where the text has its surroundings.
    for name in sorted(set(topics) - set(names), key=lambda topic: (-len(topics[topic]), topic)):
        # Compared without spaces: the same paragraph may be indented differently elsewhere.
        paragraphs = {"".join(paragraph.split()): paragraph for paragraph in topics[name].split("\n\n")}
        kept = [paragraph for key, paragraph in paragraphs.items() if key not in seen]
        training.append("\n\n".join(kept).strip("\n") + "\n")
        seen |= paragraphs.keys()
    return names, [document for document in training if document.strip()]


def train_tokenizer(documents: list[str]) -> Tokenizer:
    """Train a byte-level BPE tokenizer whose entry 0 is the end-of-text token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=[END], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def windows(ids: torch.Tensor) -> Iterator[torch.Tensor]:
    """Cut a row of ids into consecutive windows of the context length, the last one shorter."""
    return (ids[start : start + CONTEXT] for start in range(0, len(ids) - 1, CONTEXT))


@torch.inference_mode()
def mean_loss(model: LlamaForCausalLM, ids: torch.Tensor) -> float:
    """Measure the mean negative log likelihood per predicted token, the logarithms in float32."""
    losses: list[torch.Tensor] = []
    for window in windows(ids):
        logits = model(input_ids=window[None]).logits[0, :-1].float()
        losses.append(torch.nn.functional.cross_entropy(logits, window[1:], reduction="none"))
    return torch.cat(losses).mean().item()


def build_model() -> LlamaForCausalLM:
    """Make the model with random float32 weights."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config)


def train(model: LlamaForCausalLM, documents: list[torch.Tensor], held: torch.Tensor, epochs: int) -> int:
    """Train the model and leave the weights of its best epoch, by held-out loss, in it; give that epoch."""
    matrices, gains = ([p for p in model.parameters() if (p.dim() > 1) == matrix] for matrix in (True, False))
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": gains, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    best, best_epoch, best_weights = math.inf, 0, model.state_dict()
    for epoch in range(1, epochs + 1):
        # Every epoch cuts the text elsewhere: the documents in another order, the row of tokens turned.
        ids = torch.cat([documents[index] for index in torch.randperm(len(documents)).tolist()])
        ids = ids.roll(int(torch.randint(CONTEXT, ()).item()))
        rows = ids[: len(ids) // CONTEXT * CONTEXT].view(-1, CONTEXT)
        batches = torch.split(rows[torch.randperm(len(rows))], BATCH)
        model.train()
        for step, batch in enumerate(batches):
            done = (epoch - 1 + step / len(batches)) / epochs
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * min(1.0, done / 0.05) * (0.51 + 0.49 * math.cos(math.pi * done))
            noise = torch.randint(VOCABULARY, batch.shape)
            shown = torch.where(torch.rand(batch.shape) < NOISE, noise, batch)
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(input_ids=shown, labels=batch).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        model.eval()
        measured = mean_loss(model, held)
        if measured < best:
            best, best_epoch, best_weights = measured, epoch, copy.deepcopy(model.state_dict())
        print(f"epoch {epoch:3d}  held out {measured:.3f}", flush=True)
    model.load_state_dict(best_weights)
    return best_epoch


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, held_out: str, out: Path) -> None:
    """Write the model in two bfloat16 shards, the tokenizer and the held-out text."""
    out.mkdir(parents=True, exist_ok=True)
    model.bfloat16().save_pretrained(out, max_shard_size=int(model.num_parameters() * 2 * 0.6))
    names = {"bos_token": END, "eos_token": END, "pad_token": END}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=CONTEXT, **names).save_pretrained(out)
    for path in out.iterdir():
        path.chmod(0o644)  # the shards come out readable by their owner only
    config = out / "tokenizer_config.json"  # the class name that older transformers know too
    config.write_text(config.read_text().replace("TokenizersBackend", "PreTrainedTokenizerFast"))
    (out / "heldout.txt").write_text(held_out, encoding="utf-8", newline="\n")


def describe(best_epoch: int, args: argparse.Namespace) -> str:
    """Read the saved folder back, measure it and give the text of the model card."""
    names, documents = split_corpus()
    tokenizer = AutoTokenizer.from_pretrained(args.out)
    model = AutoModelForCausalLM.from_pretrained(args.out, dtype=torch.bfloat16).eval()
    config = model.config
    text = (args.out / "heldout.txt").read_text(encoding="utf-8")
    held_out = torch.tensor(tokenizer(text)["input_ids"])
    scored = torch.cat([window[1:] for window in windows(held_out)])
    training = torch.tensor([token for document in documents for token in tokenizer(document + END)["input_ids"]])
    counts = torch.bincount(training, minlength=len(tokenizer)).double() + 1.0
    model_ppl = math.exp(mean_loss(model, held_out))
    unigram_ppl = math.exp(-(counts / counts.sum()).log()[scored].mean().item())
    continuation = model.generate(**tokenizer(PROMPT, return_tensors="pt"), do_sample=False, max_new_tokens=80)[0]
    versions = ", ".join(f"{module.__name__} {module.__version__}" for module in (torch, transformers, tokenizers))
    licence = Path(os.__file__).with_name("LICENSE.txt").read_text(encoding="utf-8")
    agreement = licence.partition("LICENSE VERSION 2\n---")[2].partition("BEOPEN.COM LICENSE")[0].lstrip("-\n")
    return f"""---
license: other
license_name: psf-2.0
language: en
library_name: transformers
---

# Sample model

A small Llama causal language model that ships with the application, so that every step can be tried at once, offline.
It has read nothing but the Python language reference and imitates its prose; it answers no questions.

- {model.num_parameters():,} parameters in bfloat16 (embedding and output head tied), in two shards
- {config.num_hidden_layers} layers, hidden size {config.hidden_size}, intermediate size {config.intermediate_size}, \
{config.num_attention_heads} attention heads, {config.num_key_value_heads} key-value heads, context {CONTEXT}
- byte-level BPE tokenizer, vocabulary {config.vocab_size}, trained on the training text

## Training

Made from random weights by `tools/train_sample.py` (`--seed {args.seed} --epochs {args.epochs}`) with {versions}.
The text is `pydoc_data.topics` of CPython {platform.python_version()}, repeated paragraphs used once.
Training: {sum(map(len, documents)):,} characters, {len(training):,} tokens. Held out: {len(text):,} characters, \
{len(held_out):,} tokens, all in `heldout.txt`; these topics as a whole: {", ".join(names)}.
A paragraph of theirs that another topic repeats was not trained on. AdamW, cosine schedule, bfloat16 autocast.
The weights after epoch {best_epoch} were kept for their held-out loss, the lowest; that favours the figure below.

## Measured

Perplexity per token over {len(scored):,} predicted tokens of `heldout.txt`, cut into consecutive windows of {CONTEXT}
tokens whose first token only serves as context:

| | Held-out perplexity |
|---|---|
| This model in bfloat16, read back from this folder | {model_ppl:.2f} |
| Unigram baseline (token counts of the training text, add-one smoothing) | {unigram_ppl:.2f} |

Greedy continuation of "{PROMPT}":

```text
{tokenizer.decode(continuation).rstrip()}
```

## Licence

The text is the documentation of Python, under the Python Software Foundation License Version 2; its code examples are
also under the Zero Clause BSD License. `heldout.txt` is an unchanged part of that text, the weights and the tokenizer
are derived from the rest of it; all are given under the same licence.

```text
{agreement.rstrip()}
```
"""


def main() -> None:
    """Train, save, measure and describe the sample model."""
    parser = argparse.ArgumentParser(description="Train the built-in sample model on the text of pydoc_data.topics.")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="output folder (default: the application's)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=28)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(2)  # another number of threads adds up in another order
    torch.use_deterministic_algorithms(True)
    names, training = split_corpus()
    held_out = "\n".join(topics[name].strip("\n") + "\n" for name in names)
    tokenizer, model = train_tokenizer(training), build_model()
    documents = [torch.tensor(tokenizer.encode(text + END).ids) for text in training]
    best_epoch = train(model, documents, torch.tensor(tokenizer.encode(held_out).ids), args.epochs)
    save(model, tokenizer, held_out, args.out)
    card = describe(best_epoch, args)
    (args.out / "README.md").write_text(card, encoding="utf-8", newline="\n")
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(card[card.index("## Measured") : card.index("## Licence")] + f"{size:,} bytes")
    sys.exit("the folder is too large" if size >= 8_000_000 else 0)


if __name__ == "__main__":
    main()
