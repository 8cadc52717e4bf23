"""The keys and values that a running model keeps of its context, in bytes, from its config.json alone.

layers x key/value heads x (key + value numbers of a head) x bytes of a number x tokens x sequences, where each layer has its own
count of tokens. It is what vLLM, llama.cpp and transformers' `DynamicCache` fill up; a runtime that sets memory aside in larger
steps takes a little more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from qtquant_app.core.attention_layers import Heads, Kind, heads_of, kinds_of, layer_count, state_of, window_of
from qtquant_app.core.decoder_config import Config, decoder_of, generates, whole
from qtquant_app.core.quantities import bytes_text, plural

STORED_BITS = {16: Fraction(16), 8: Fraction(17, 2), 4: Fraction(9, 2)}
"""Bits that a number takes: below 16 bits 32 of them share a scale of 16, as in llama.cpp's q8_0 and q4_0; fp8 takes 8."""

_STATE_BYTES = 4
"""Recurrent states are summed up in float32."""

_KEEPING: tuple[Kind, ...] = ("full", "window")
_SPOKEN = "max_target_positions"
"""The tokens that a model of speech can ever make."""


@dataclass(frozen=True, slots=True)
class KvCache:
    """What a context takes besides the weights."""

    bytes: int
    counted: str
    """How, in a sentence for the user."""
    certain: bool = True
    """Whether the config says it all; if not, every layer was taken to attend to everything, or nothing could be counted."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The tokens of each sequence, how many of those there are, and the bits of a number."""

    context: int
    sequences: int
    bits: int

    def bytes(self, numbers: int) -> int:
        return -(-numbers * self.sequences * STORED_BITS[self.bits] // 8)


def kv_cache(config: Config, context: int, sequences: int = 1, bits: int = 16) -> KvCache:
    """The cache of `sequences` of `context` tokens each, in numbers of `bits` (16, 8 or 4), for the config.json of a model."""
    if not config:
        return KvCache(0, "there is no config.json to count the cache by", certain=False)
    if not generates(config):
        return KvCache(0, "an encoder keeps no keys and values")
    decoder = decoder_of(config)
    kinds, certain = kinds_of(decoder)
    counts = Counter(kinds)
    heads = {kind: found for kind in counts if kind in _KEEPING and (found := heads_of(decoder, kind)) is not None}
    if not kinds or any(kind in counts and kind not in heads for kind in _KEEPING):
        return KvCache(0, "config.json does not say enough about the attention to count the cache", certain=False)
    return _counted(decoder, counts, heads, certain, _Asked(context, sequences, bits))


def _counted(
    decoder: Config, counts: Counter[Kind], heads: Mapping[Kind, Heads], certain: bool, asked: _Asked
) -> KvCache:
    full = min(asked.context, whole(decoder, _SPOKEN) or asked.context)
    tokens = {"full": full, "window": min(full, window_of(decoder) or full)}
    numbers = sum(counts[kind] * found.width * tokens[kind] for kind, found in heads.items())
    crossed, source = _crossed(decoder, heads, asked.context)
    stateful, state = state_of(decoder)
    states = stateful * state * _STATE_BYTES * asked.sequences
    said = [_main(counts, heads, full, asked)]
    if "window" in heads:
        more = asked.bytes(counts["window"] * heads["window"].width * (full - tokens["window"]))
        kept = f"{_layers(counts['window'])} keep the last {plural(tokens['window'], 'token')} only"
        said.append(f"{kept}; a runtime that keeps all takes {bytes_text(more)} more" if more else kept)
    if crossed:
        said.append(f"{source:,} positions of the encoder besides")
    said += _without(counts, stateful, states)
    certain = certain and bool(state or not stateful) and "cross_attention_layers" not in decoder
    if not certain:
        said.append("its config.json does not say it all, so this is an estimate")
    return KvCache(asked.bytes(numbers + crossed) + states, "; ".join(said), certain)


def _without(counts: Counter[Kind], stateful: int, states: int) -> Iterator[str]:
    """What the layers do that keep no tokens of their own."""
    if counts["shared"]:
        yield f"{_layers(counts['shared'])} share those of others"
    idle = counts["none"] - min(stateful, counts["none"])
    if idle:
        yield f"{_layers(idle)} keep none"
    if stateful:
        yield f"{_layers(stateful)} keep a state of fixed size" + (f", {bytes_text(states)}" if states else "")


def _main(counts: Counter[Kind], heads: Mapping[Kind, Heads], tokens: int, asked: _Asked) -> str:
    attending = sum(counts[kind] for kind in heads)
    if not attending:
        return "no layer attends to earlier tokens"
    found = heads[max(heads, key=lambda kind: counts[kind])]
    sizes = f"{found.key}" if found.key == found.value else f"{found.key} and {found.value}"
    each = (
        f"one latent of {found.width:,} numbers"
        if found.latent
        else f"keys and values of {plural(found.heads, 'head')} of {sizes}"
    )
    many = "" if asked.sequences == 1 else f", {asked.sequences} times"
    return f"{_layers(attending)} with {each}, {asked.bits} bits a number, for {plural(tokens, 'token')}{many}"


def _layers(count: int) -> str:
    return plural(count, "layer")


def _crossed(decoder: Config, heads: Mapping[Kind, Heads], context: int) -> tuple[int, int]:
    """The numbers a decoder keeps of its encoder's output, and how many positions that has: as many as the context if not said."""
    if not decoder.get("is_encoder_decoder") or "full" not in heads:
        return 0, 0
    positions = whole(decoder, "max_source_positions") or context
    return layer_count(decoder) * heads["full"].width * positions, positions
