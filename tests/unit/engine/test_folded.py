"""Reading folded tensors: any bytes of them are what folding all of them gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from qtquant_app.core.errors import VerifyError
from qtquant_app.core.folding import Folding
from qtquant_app.engine.folded import with_columns, with_foldings, with_rows
from qtquant_app.engine.reader import TensorReader
from qtquant_app.engine.source import open_checkpoint

DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


def factors(count: int) -> np.ndarray:
    return np.random.default_rng(count).uniform(0.25, 4, count).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(DTYPES)), st.integers(0, 200), st.integers(1, 80), st.booleans())
def test_any_part_of_a_folded_tensor_is_that_part_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, first: int, count: int, both: bool
) -> None:
    folder = tmp_path_factory.mktemp("folded")
    torch.manual_seed(first)
    weight, norm = torch.randn(12, 24).to(DTYPES[dtype]), torch.randn(24).to(DTYPES[dtype])
    save_file({"a.weight": weight, "norm.weight": norm}, folder / "model.safetensors")
    rows, columns = factors(12), factors(24)
    folding = with_rows(with_columns(Folding(), columns), rows) if both else with_columns(Folding(), columns)
    checkpoint = with_foldings(
        open_checkpoint(folder), {"a.weight": folding, "norm.weight": with_rows(Folding(), columns, 1.0)}
    )
    expected = weight.float() * (torch.from_numpy(rows)[:, None] if both else 1.0) * torch.from_numpy(columns)
    expected_norm = (norm.float() + 1) * torch.from_numpy(columns) - 1
    with TensorReader(checkpoint) as reader:
        size = weight.element_size()
        start, stop = first * size, min(first + count, 288) * size
        found = reader.bytes_of(checkpoint.by_name["a.weight"], start, stop)
        found_norm = reader.bytes_of(checkpoint.by_name["norm.weight"], 0, 24 * size)
    assert found.tobytes() == bytes_of(expected.to(DTYPES[dtype]))[start:stop]
    assert found_norm.tobytes() == bytes_of(expected_norm.to(DTYPES[dtype]))


def bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def test_a_folding_travels_as_json() -> None:
    folding = with_rows(with_columns(Folding(), factors(5)), factors(3), 1.0)
    assert Folding.from_json(folding.to_json()) == folding
    assert Folding.from_json({}) == Folding()


@pytest.mark.parametrize(
    "data", [{"rows": "AAAA"}, {"columns": "!"}, {"rows": "AAAAAA=="}, [], {"offset": float("nan")}]
)
def test_a_damaged_folding_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match=r"folding|offset"):
        Folding.from_json(data)


def test_a_folding_that_fits_no_tensor_is_refused_by_name(tmp_path: Path) -> None:
    save_file({"a.weight": torch.randn(4, 4)}, tmp_path / "model.safetensors")
    for name, folding in (("b.weight", Folding()), ("a.weight", with_rows(Folding(), factors(3)))):
        with pytest.raises(VerifyError, match=name):
            with_foldings(open_checkpoint(tmp_path), {name: folding})
