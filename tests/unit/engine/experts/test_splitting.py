"""Opening a checkpoint tells the experts of a stack apart: names, shapes and numbers, whatever the family's layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.checkpoint import Checkpoint, Kind
from qtquant_app.core.matrix import find
from qtquant_app.engine.experts import tiles
from qtquant_app.engine.experts.joining import joined
from qtquant_app.engine.experts.splitting import rejoined
from qtquant_app.engine.reader import TensorReader
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import LLAMA_CONFIG, small_llama, write_checkpoint
from tests.stacked_experts import EXPERTS, HIDDEN, INNER, KINDS, Tensors, stacked_tensors, write_stacked

DTYPES = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}


@pytest.fixture(scope="module", params=[(kind, dtype) for kind in KINDS for dtype in DTYPES], ids=str)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Tensors]:
    kind, dtype = request.param
    folder, matrices = write_stacked(tmp_path_factory.mktemp("stacked"), kind, dtype)
    return open_checkpoint(folder), matrices


def as_bytes(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def test_every_matrix_of_every_expert_is_a_tensor_of_its_own(opened: tuple[Checkpoint, Tensors]) -> None:
    checkpoint, matrices = opened
    found = {tensor.name: tensor for tensor in checkpoint.tensors if tensor.kind == Kind.EXPERT}
    assert found.keys() == matrices.keys()
    assert all(
        found[name].shape == tuple(matrix.shape) and found[name].quantizable for name, matrix in matrices.items()
    )
    assert not any(len(tensor.shape) == 3 for tensor in checkpoint.tensors)
    assert checkpoint.nbytes == sum(
        (checkpoint.root / file).stat().st_size for file in checkpoint.weight_files
    ) - _header(checkpoint)


def _header(checkpoint: Checkpoint) -> int:
    with (checkpoint.root / checkpoint.weight_files[0]).open("rb") as stream:
        return 8 + int.from_bytes(stream.read(8), "little")


def test_its_bytes_are_those_of_the_matrix(opened: tuple[Checkpoint, Tensors]) -> None:
    checkpoint, matrices = opened
    with TensorReader(checkpoint) as reader:
        for name, matrix in matrices.items():
            tensor = checkpoint.by_name[name]
            assert reader.bytes_of(tensor, 0, tensor.nbytes).tobytes() == as_bytes(matrix), name


@given(data=st.data())
def test_any_stretch_of_it_can_be_read(opened: tuple[Checkpoint, Tensors], data: st.DataObject) -> None:
    checkpoint, matrices = opened
    name = data.draw(st.sampled_from(sorted(matrices)))
    tensor = checkpoint.by_name[name]
    rows = sorted(data.draw(st.lists(st.integers(0, tensor.shape[0]), min_size=2, max_size=2, unique=True)))
    stretch = sorted(data.draw(st.lists(st.integers(0, tensor.nbytes), min_size=2, max_size=2, unique=True)))
    with TensorReader(checkpoint) as reader:
        assert reader.rows(tensor, *rows).tobytes() == as_bytes(matrices[name][slice(*rows)])
        assert reader.bytes_of(tensor, *stretch).tobytes() == as_bytes(matrices[name])[slice(*stretch)]


@pytest.mark.parametrize("block", [1, 1000, 1 << 20])
@pytest.mark.parametrize("waste", [1, 1000])
@pytest.mark.parametrize("kind", ["qwen", "gpt-oss"])
def test_however_it_is_read_it_is_the_same(
    kind: str, waste: int, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "_BLOCK", block)
    monkeypatch.setattr(tiles, "_WASTE", waste)
    folder, matrices = write_stacked(tmp_path, kind)
    checkpoint = open_checkpoint(folder)
    with TensorReader(checkpoint) as reader:
        for name, matrix in matrices.items():
            assert reader.rows(checkpoint.by_name[name], 5, 40).tobytes() == as_bytes(matrix[5:40])


def test_no_more_than_a_block_of_a_stack_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "_BLOCK", 2000)
    folder, matrices = write_stacked(tmp_path, "gpt-oss")
    checkpoint = open_checkpoint(folder)
    read: list[int] = []
    with TensorReader(checkpoint) as reader:
        fill = reader._fill
        monkeypatch.setattr(
            reader, "_fill", lambda buffer, file, offset, n: read.append(n) or fill(buffer, file, offset, n)
        )
        for name in matrices:
            reader.rows(checkpoint.by_name[name], 0, 32)
    assert read and max(read) <= 2000


def test_the_layout_follows_from_the_shapes_where_files_differ_from_their_family(tmp_path: Path) -> None:
    stored, matrices = stacked_tensors(KINDS["qwen"])
    turned = {name: t.transpose(1, 2).contiguous() if t.ndim == 3 else t for name, t in stored.items()}
    config = {**LLAMA_CONFIG, "model_type": "qwen3_vl_moe_text"}
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, turned, config))
    assert not any(stack.transposed for stack in checkpoint.stacks)
    with TensorReader(checkpoint) as reader:
        for name, matrix in matrices.items():
            assert reader.rows(checkpoint.by_name[name], 0, len(matrix)).tobytes() == as_bytes(matrix)


def test_a_square_slice_lies_as_the_other_stacks_do(tmp_path: Path) -> None:
    gate_up, down = torch.randn(2, 2 * HIDDEN, HIDDEN), torch.randn(2, HIDDEN, HIDDEN)
    tensors = {"m.0.mlp.experts.gate_up_proj": gate_up, "m.0.mlp.experts.down_proj": down}
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, tensors, {**LLAMA_CONFIG, "model_type": "qwen3_vl_moe"}))
    assert [stack.transposed for stack in checkpoint.stacks] == [False, False]


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "never_heard_of"},
        {"model_type": ["gpt_oss"]},
        {"hidden_size": 63},
        {"hidden_size": None},
        {"hidden_size": "64"},
    ],
    ids=str,
)
def test_what_is_not_known_stays_a_stack_and_is_said_to_be_one(change: dict[str, object], tmp_path: Path) -> None:
    folder, _ = write_stacked(tmp_path, "gpt-oss")
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    checkpoint = open_checkpoint(folder)
    assert not checkpoint.stacks
    stacks = [tensor for tensor in checkpoint.tensors if len(tensor.shape) == 3]
    assert len(stacks) == 4 and all(tensor.kind == Kind.EXPERT and not tensor.quantizable for tensor in stacks)
    assert find(checkpoint, f"{stacks[0].name}[{EXPERTS - 1}]").shape == stacks[0].shape[1:]


def test_a_stack_stays_where_a_matrix_would_take_another_tensors_name(tmp_path: Path) -> None:
    stored, matrices = stacked_tensors(KINDS["gemma"])
    name = next(iter(matrices))
    config = {**LLAMA_CONFIG, "model_type": "gemma4_text"}
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, stored | {name: torch.ones(INNER, HIDDEN)}, config))
    assert not checkpoint.stacks and checkpoint.by_name[name].dtype == "F32"


def test_a_stack_of_no_more_experts_than_a_model_has_is_taken_apart(tmp_path: Path) -> None:
    tensors = {"m.mlp.experts.gate_up_proj": torch.zeros(5000, 2, 1), "m.mlp.experts.down_proj": torch.zeros(2, 1, 3)}
    config = {**LLAMA_CONFIG, "model_type": "qwen3_moe", "hidden_size": 1}
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, tensors, config))
    assert [stack.tensor.name for stack in checkpoint.stacks] == ["m.mlp.experts.down_proj"]


def test_biases_of_experts_are_biases(tmp_path: Path) -> None:
    stored, _ = stacked_tensors(KINDS["gpt-oss"])
    bias = "model.layers.0.mlp.experts.gate_up_proj_bias"
    config = {**LLAMA_CONFIG, "model_type": "gpt_oss"}
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, stored | {bias: torch.zeros(EXPERTS, 2 * INNER)}, config))
    assert checkpoint.by_name[bias].kind == Kind.BIAS


def test_a_stack_put_back_stands_where_its_matrices_were(tmp_path: Path) -> None:
    folder, _ = write_stacked(tmp_path, "granite")
    checkpoint = open_checkpoint(folder)
    whole = {stack.tensor.name for stack in checkpoint.stacks}
    joined = rejoined(checkpoint, whole)
    stored, _ = stacked_tensors(KINDS["granite"])
    assert {tensor.name for tensor in joined.tensors} == stored.keys()
    with TensorReader(joined) as reader:
        for name in whole:
            tensor = joined.by_name[name]
            assert reader.bytes_of(tensor, 0, tensor.nbytes).tobytes() == as_bytes(stored[name])
    one = next(iter(sorted(whole)))
    assert {t.name for t in rejoined(checkpoint, {one}).tensors if len(t.shape) == 3} == {one}


def test_a_checkpoint_without_stacks_is_left_alone(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(small_llama(tmp_path))
    assert not checkpoint.stacks and all(tensor.part is None for tensor in checkpoint.tensors)
    assert np.all([len(tensor.shape) < 3 for tensor in checkpoint.tensors])


@pytest.mark.parametrize("kind", KINDS)
def test_matrices_are_put_together_as_the_file_has_them(kind: str, tmp_path: Path) -> None:
    folder, matrices = write_stacked(tmp_path, kind)
    stored, _ = stacked_tensors(KINDS[kind])
    found = joined(matrices, open_checkpoint(folder).stacks)
    assert found.keys() == {name for name, tensor in stored.items() if tensor.ndim == 3}
    assert all(torch.equal(tensor, stored[name]) for name, tensor in found.items())
    part = dict(list(matrices.items())[:-1])
    assert list(matrices)[-2] in joined(part, open_checkpoint(folder).stacks)
