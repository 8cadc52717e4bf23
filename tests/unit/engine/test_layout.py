"""Output files, laid out before anything is written: what is made by hand for speed is what json writes, whatever the names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.dtypes import ITEM_BITS, nbytes
from qtquant_app.core.errors import PlanError
from qtquant_app.core.plan import OutFile, OutTensor
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.layout import Decision, alike, index_text
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.safetensors_header import build_header
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import LLAMA_CONFIG, llama_tensors, write_checkpoint

WHOLE = sorted(dtype for dtype, bits in ITEM_BITS.items() if bits >= 8)
NAMES = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1)
SHAPES = st.lists(st.integers(0, 1 << 40), max_size=4).map(tuple)
W4, W8 = Scheme(group_size=32), Scheme(bits=8, strategy="channel", group_size=None)


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 1), min_size=1))
def test_the_index_is_what_json_writes_for_it(names: dict[str, int]) -> None:
    files = [f"model-{number}.safetensors" for number in (1, 2)]
    held: list[list[OutTensor]] = [[], []]
    for name, file in names.items():
        held[file].append(OutTensor(name, "F32", (2,), 0, 8, name, "kept"))
    made = index_text([OutFile(name, 0, 0, tuple(tensors)) for name, tensors in zip(files, held, strict=True)])
    weight_map = {name: files[names[name]] for name in sorted(names)}
    expected = {"metadata": {"total_size": 8 * len(names)}, "weight_map": weight_map}
    assert made == json.dumps(expected, indent=2) + "\n"


@given(
    st.dictionaries(NAMES, st.tuples(st.sampled_from(WHOLE), SHAPES)),
    st.dictionaries(NAMES, NAMES, max_size=2),
)
def test_a_header_is_what_json_writes_for_it(
    tensors: dict[str, tuple[str, tuple[int, ...]]], metadata: dict[str, str]
) -> None:
    expected: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    at = 0
    for name, (dtype, shape) in tensors.items():
        end = at + nbytes(dtype, shape)
        expected[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    made = build_header(((name, *kind, nbytes(*kind)) for name, kind in tensors.items()), metadata)
    text = json.dumps(expected, separators=(",", ":"), ensure_ascii=False).encode()
    assert made[8:].rstrip(b" ") == text.rstrip(b" ") and len(made) % 8 == 0
    assert int.from_bytes(made[:8], "little") == len(made) - 8


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("F32", "BF16")), st.sampled_from(((4, 32), (8, 32))), st.sampled_from((None, W4, W8))
        )
    )
)
def test_tensors_that_are_stored_alike_are_looked_at_once_and_counted_as_often_as_they_come(
    kinds: list[tuple[str, tuple[int, int], Scheme | None]],
) -> None:
    decisions = [
        Decision(TensorInfo(f"m{i}.weight", dtype, shape, "f", 0, nbytes(dtype, shape)), scheme)
        for i, (dtype, shape, scheme) in enumerate(kinds)
    ]
    found = [(one.tensor.dtype, one.tensor.shape, one.scheme, many) for one, many in alike(decisions)]
    assert found == [(*kind, kinds.count(kind)) for kind in dict.fromkeys(kinds)]


@pytest.mark.parametrize("shards", [1, 2])
def test_two_tensors_that_would_be_written_under_one_name_are_refused(tmp_path: Path, shards: int) -> None:
    tensors = llama_tensors()
    tensors["model.layers.0.mlp.up_proj.weight_shape"] = torch.ones(4)
    source = write_checkpoint(tmp_path / "m", tensors, LLAMA_CONFIG, shards=shards)
    checkpoint = open_checkpoint(source)
    with pytest.raises(PlanError) as caught:
        make_plan(checkpoint, Recipe(W4), device="cpu")
    assert "would both be written as model.layers.0.mlp.up_proj.weight_shape" in caught.value.message
    assert "--ignore model.layers.0.mlp.up_proj" in caught.value.hint
    make_plan(checkpoint, Recipe(W4, ignore=("model.layers.0.mlp.up_proj",)), device="cpu")
