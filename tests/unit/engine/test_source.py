"""Opening checkpoints, good and bad."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
import torch

from qtquant_app.core.checkpoint import Kind
from qtquant_app.core.errors import SourceError
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import llama_tensors, small_llama, write_checkpoint


def _refused(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        open_checkpoint(path)
    assert caught.value.exit_status == 2
    return caught.value.message


def _raw(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_a_sharded_folder_opens_with_every_tensor_its_kind_and_the_files_to_carry(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(small_llama(tmp_path / "m", shards=3))
    assert len(checkpoint.weight_files) == 3
    assert checkpoint.carried_files == ("tokenizer_config.json",)
    assert checkpoint.architecture == "LlamaForCausalLM"
    kinds = {name: tensor.kind for name, tensor in checkpoint.by_name.items()}
    assert kinds["model.layers.1.mlp.down_proj.weight"] == Kind.LINEAR
    assert kinds["model.embed_tokens.weight"] == Kind.EMBEDDING
    assert kinds["lm_head.weight"] == Kind.HEAD
    assert kinds["model.layers.0.input_layernorm.weight"] == Kind.NORM
    assert checkpoint.parameters == sum(t.numel() for t in llama_tensors().values())


def test_headers_say_where_the_bytes_are(tmp_path: Path) -> None:
    tensors = llama_tensors()
    checkpoint = open_checkpoint(small_llama(tmp_path / "m", shards=2))
    for tensor in checkpoint.tensors:
        with (checkpoint.root / tensor.file).open("rb") as stream:
            stream.seek(tensor.offset)
            found = torch.frombuffer(bytearray(stream.read(tensor.nbytes)), dtype=torch.bfloat16)
        assert torch.equal(found.view(tensor.shape), tensors[tensor.name])


@pytest.mark.parametrize("wrap", [False, True])
def test_a_state_dict_opens_in_place_and_its_aliases_are_known(tmp_path: Path, wrap: bool) -> None:
    tensors = llama_tensors()
    tensors["tied.weight"] = tensors["lm_head.weight"]
    torch.save({"state_dict": tensors, "epoch": 3} if wrap else tensors, tmp_path / "model.bin")
    checkpoint = open_checkpoint(tmp_path / "model.bin")
    assert checkpoint.pickled
    assert {checkpoint.by_name["tied.weight"].tied_to, checkpoint.by_name["lm_head.weight"].tied_to} == {
        None,
        "lm_head.weight",
    } or checkpoint.by_name["lm_head.weight"].tied_to == "tied.weight"
    tensor = checkpoint.by_name["model.layers.0.mlp.up_proj.weight"]
    raw = (tmp_path / "model.bin").read_bytes()[tensor.offset : tensor.offset + tensor.nbytes]
    assert raw == tensors[tensor.name].view(torch.int16).numpy().tobytes()


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pwned",)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(2), "b": _Code()}, tmp_path / "model.pt")
    assert "could run code" in _refused(tmp_path / "model.pt")
    assert not (tmp_path / "pwned").exists()


def test_a_state_dict_of_the_old_format_and_a_transposed_view_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(4, 4)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "torch 1.6" in _refused(tmp_path / "old.pt")
    torch.save({"a": torch.ones(4, 6).t()}, tmp_path / "view.pt")
    assert "'a'" in _refused(tmp_path / "view.pt")


def test_a_folder_without_weights_or_nothing_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert "no weights" in _refused(tmp_path)
    assert "not a file or folder" in _refused(tmp_path / "nowhere")
    assert "neither" in _refused(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("header", "data", "says"),
    [
        (b"not json", b"", "not JSON"),
        ([], b"", "not a JSON object"),
        (
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"shape":[1],"dtype":"F32","data_offsets":[0,4]}}',
            b"0000",
            "'a' appears twice",
        ),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"0000", "outside"),
        ({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"0" * 8, "takes 12"),
        ({"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}, b"0" * 8, "unknown dtype"),
        ({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, b"0" * 8, "shape"),
        ({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, b"0" * 4, "shape"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, b"0" * 8, "outside"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}, b"0" * 8, "offsets"),
        ({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, b"0" * 4, "takes"),
        ({"a": 3}, b"", "not an object"),
        (
            {
                "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                "b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
            },
            b"0" * 8,
            "overlapping",
        ),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"0" * 8, "belong to no tensor"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"0" * 9, "belong to no tensor"),
    ],
)
def test_a_lying_header_is_refused_in_a_sentence(tmp_path: Path, header: object, data: bytes, says: str) -> None:
    message = _refused(_raw(tmp_path / "x.safetensors", header, data))
    assert message.startswith("x.safetensors ") and says in message and "\n" not in message


def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path) -> None:
    whole = (small_llama(tmp_path / "m") / "model.safetensors").read_bytes()
    for length in (0, 3, 8, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.safetensors").write_bytes(whole[:length])
        assert "cut.safetensors" in _refused(tmp_path / "cut.safetensors")


def test_a_header_length_beyond_the_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    assert "header takes" in _refused(tmp_path / "x.safetensors")


@pytest.mark.parametrize("name", ["../up.safetensors", "/etc/x.safetensors", "a\\b.safetensors", "", 3, "C:x"])
def test_an_index_that_leaves_its_folder_is_refused(tmp_path: Path, name: object) -> None:
    folder = small_llama(tmp_path / "m", shards=2)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    assert "index" in _refused(folder)


def test_an_index_naming_a_missing_shard_is_refused(tmp_path: Path) -> None:
    folder = small_llama(tmp_path / "m", shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    assert "model-00002-of-00003.safetensors, which is missing" in _refused(folder)


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    tensors = llama_tensors()
    write_checkpoint(tmp_path / "a", tensors)
    folder = tmp_path / "a"
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    (folder / "two.safetensors").write_bytes((folder / "one.safetensors").read_bytes())
    assert "again in two.safetensors" in _refused(folder)


def test_the_fingerprint_changes_with_the_tensors_and_not_with_the_place(tmp_path: Path) -> None:
    one = open_checkpoint(small_llama(tmp_path / "a"))
    assert open_checkpoint(small_llama(tmp_path / "b")).fingerprint == one.fingerprint
    assert open_checkpoint(small_llama(tmp_path / "c", blocks=1)).fingerprint != one.fingerprint
