"""The index of several weight files is the one that json writes, whatever the names."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.plan import OutFile, OutTensor
from qtquant_app.engine.layout import index_text


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
