"""What runs besides the weights: every part is counted, and said."""

from __future__ import annotations

import pytest

from qtquant_app.core.device_memory import PREFILL, RUNTIME, SCORED, memory_use
from qtquant_app.core.errors import UsageError
from qtquant_app.core.target import Memory

LLAMA_8B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}


def test_the_parts_add_up_and_are_said_one_by_one() -> None:
    use = memory_use(LLAMA_8B, Memory(8_000_000_000), weights=4_500_000_000)
    assert use.cache == 32 * 8 * 128 * 2 * 2 * 8192
    assert use.overhead.runtime == RUNTIME
    assert use.overhead.logits == SCORED * 128256 * 4
    assert use.overhead.activations == PREFILL * (6 * 4096 + 3 * 14336) * 2
    assert use.total == use.weights + use.cache + use.overhead.total
    assert use.text == "weights 4.50 GB + cache 1.07 GB + overhead 1.04 GB = 6.61 GB of 8.00 GB"
    assert "500 MB for the runtime itself" in use.overhead.text and "logits" in use.overhead.text
    document = use.to_json()
    assert document["overhead"] == document["runtime"] + document["activations"] + document["logits"]
    assert document["limit"] == 8_000_000_000 and document["certain"]


def test_experts_are_computed_as_many_at_once_as_a_token_chooses() -> None:
    dense = memory_use(LLAMA_8B, Memory(1))
    experts = memory_use({**LLAMA_8B, "num_experts_per_tok": 8, "moe_intermediate_size": 4096}, Memory(1))
    more = PREFILL * 3 * (8 * 4096 - 14336) * 2
    assert experts.overhead.activations - dense.overhead.activations == more


def test_a_short_context_needs_less_than_a_stretch_of_a_prompt() -> None:
    short, long = (memory_use(LLAMA_8B, Memory(1, context=context)).overhead for context in (10, 10**6))
    assert short.logits == 10 * 128256 * 4 and short.activations * PREFILL == long.activations * 10


def test_an_encoder_and_a_model_without_a_config_need_the_runtime_at_least() -> None:
    encoder = memory_use({"model_type": "vit", "hidden_size": 64, "num_hidden_layers": 2}, Memory(1))
    assert encoder.cache == encoder.overhead.logits == 0 and encoder.overhead.activations > 0
    bare = memory_use({}, Memory(1))
    assert bare.overhead.total == RUNTIME and not bare.certain


@pytest.mark.parametrize("words", [{"bytes": 0}, {"bytes": 8, "context": 0}, {"bytes": 8, "sequences": -1}])
def test_a_device_has_memory_a_context_and_sequences(words: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="positive whole numbers"):
        Memory(**words)
    with pytest.raises(UsageError, match="bits are not kept"):
        Memory(8, kv_bits=5)
