"""Checkpoints made to harm: nothing outside their folder is read, nothing runs, no number is believed before it fits."""

from __future__ import annotations

import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import pytest

from qtquant_app.core.described import modest, own_words
from qtquant_app.core.errors import QtQuantError, SourceError, UsageError, VerifyError
from qtquant_app.core.json_text import parse_json, shown
from qtquant_app.engine.architecture import module_classes
from qtquant_app.engine.foreign_files import portable, read_bounded
from qtquant_app.engine.recipes import read_recipe
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.verify import verify
from tests.checkpoints import LLAMA_CONFIG, small_llama
from tests.driving import quantize, result

SECRET = "not yours"


def refused(folder: Path | str, error: type[QtQuantError] = SourceError) -> str:
    with pytest.raises(error) as found:
        open_checkpoint(folder)
    assert len(found.value.message) < 1_000
    return found.value.message


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    return file


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer_config.json"])
def test_a_link_out_of_the_folder_is_refused_by_name(tmp_path: Path, secret: Path, name: str) -> None:
    folder = small_llama(tmp_path / "model")
    (folder / name).rename(tmp_path / "outside")
    (folder / name).symlink_to(tmp_path / "outside")
    assert name in refused(folder) and "outside the model's folder" in refused(folder)


def test_so_is_a_folder_that_is_a_link(tmp_path: Path) -> None:
    folder = small_llama(tmp_path / "model")
    (tmp_path / "elsewhere").mkdir()
    (folder / "model.safetensors").rename(tmp_path / "elsewhere" / "x.safetensors")
    (folder / "sub").symlink_to(tmp_path / "elsewhere")
    index = {"weight_map": {"a": "sub/x.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "sub/x.safetensors" in refused(folder)


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    folder = small_llama(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "weights")
    (folder / "model.safetensors").symlink_to("weights")
    assert open_checkpoint(folder).tensors
    (tmp_path / "alias").symlink_to(folder)
    assert open_checkpoint(tmp_path / "alias").tensors


def test_a_snapshot_in_the_hubs_cache_links_to_its_blobs(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--name" / "snapshots" / "0123"
    small_llama(snapshot)
    blobs = tmp_path / "models--org--name" / "blobs"
    blobs.mkdir()
    for file in list(snapshot.iterdir()):
        file.rename(blobs / file.name)
        file.symlink_to(Path("../../blobs") / file.name)
    assert len(open_checkpoint(snapshot).carried_files) == 1
    (snapshot / "vocab.json").symlink_to("../../../secret.json")
    (tmp_path / "secret.json").write_text(SECRET)
    assert "vocab.json" in refused(snapshot)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/x",
        "a/../../x",
        "C:x",
        "a\\b",
        "nul",
        "CON.bin",
        "com1.x",
        "x.",
        "x ",
        "a\0",
        "a\n",
        "\u202ea",
        "",
        5,
        "é" * 200,
    ],
)
def test_a_path_that_is_none_everywhere_is_told(name: object) -> None:
    assert portable(name) is not None


@pytest.mark.parametrize("name", ["model-00001-of-00002.safetensors", "a/b.c", ".hidden", "console.json", "ü.json"])
def test_a_usual_path_is_not(name: str) -> None:
    assert portable(name) is None


@pytest.mark.parametrize(
    "path", ["a" * 5_000, "a\0b", "~nobody-of-this-name/x", "\ud800", "/proc/self/mem", "org/na\0me"]
)
def test_a_path_that_cannot_be_is_refused_in_a_sentence(path: str) -> None:
    refused(path)
    with pytest.raises(QtQuantError):
        read_recipe(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have names on POSIX only")
def test_a_pipe_is_no_config(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "recipe.json")
    with pytest.raises(UsageError, match="not a regular file"):
        read_recipe(tmp_path / "recipe.json")


def test_a_file_beyond_its_bound_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "x"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(OSError, match="more than any such file needs"):
        read_bounded(file, 1_000)


def test_code_beside_the_weights_is_carried_and_never_run(tmp_path: Path) -> None:
    folder = small_llama(tmp_path / "model")
    mark = tmp_path / "ran"
    code = f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
    for name in ("modeling_evil.py", "configuration_evil.py", "torch.py", "json.py"):
        (folder / name).write_text(code)
    own = {
        "AutoModelForCausalLM": "modeling_evil.Evil",
        "AutoConfig": "configuration_evil.Evil",
        "AutoModel": "modeling_evil.Evil",
    }
    for kind in ("llama", "unheard-of"):
        config = {**LLAMA_CONFIG, "model_type": kind, "auto_map": own}
        (folder / "config.json").write_text(json.dumps(config))
        checkpoint = open_checkpoint(folder)
        module_classes(checkpoint.config)
        quantize(folder, tmp_path / kind)
    assert not mark.exists()
    assert (tmp_path / "llama" / "modeling_evil.py").read_text() == code
    assert "modeling_evil" not in sys.modules


@pytest.mark.parametrize("name", ["Trainer", "pipeline", "logging", "AutoTokenizer", "__file__"])
def test_only_models_are_made_from_a_config(name: str) -> None:
    module_classes({**LLAMA_CONFIG, "architectures": [name]})


def test_a_config_of_a_billion_layers_builds_nothing() -> None:
    assert modest(LLAMA_CONFIG, 20)
    for words in ({"num_hidden_layers": 10**9}, {"text_config": {"n_layer": 10**6}}, {"num_experts": [10**5]}):
        assert not modest({**LLAMA_CONFIG, **words}, 20)
    assert modest({**LLAMA_CONFIG, "time_step_limit": [0.0, float("inf")]}, 20)
    assert own_words({"auto_map": {}, "text_config": {"auto_map": 1, "a": [{"use_pretrained_backbone": True}]}}) == {
        "text_config": {"a": [{}]}
    }


def _pickled(file: Path, *entries: tuple[str, bytes], compressed: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "w", compressed) as archive:
        for name, data in (*entries, ("x/version", b"3\n"), ("x/byteorder", b"little")):
            archive.writestr(name, data)
    return file


class _Runs:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_a_pickle_runs_nothing_and_takes_no_memory(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    file = _pickled(tmp_path / "x.bin", ("x/data.pkl", pickle.dumps(_Runs(mark), 2)))
    assert "could run code" in refused(file) and not mark.exists()
    huge = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x40\x85R."
    assert "could take all memory" in refused(_pickled(tmp_path / "y.bin", ("x/data.pkl", huge)))
    doubled = b"\x80\x02}K\x01" + b"".join(b"q%ch%ch%c\x86" % (i, i, i) for i in range(40)) + b"K\x01s."
    assert "could take all memory" in refused(_pickled(tmp_path / "z.bin", ("x/data.pkl", doubled)))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = _pickled(
        tmp_path / "x.bin", ("x/data.pkl", b"."), ("x/data/0", bytes(10_000_000)), compressed=zipfile.ZIP_DEFLATED
    )
    assert bomb.stat().st_size < 100_000
    assert "compressed inside" in refused(bomb)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[" * 5_000, "too deeply"),
        (b"[" * 500 + b"]" * 500, "too deeply"),
        (b"9" * 5_000, "too many digits"),
        (b'"\\ud800"', "half a character"),
        (b'{"\\udfff": 1}', "half a character"),
        (b'"\xed\xa0\x80"', "no text in UTF-8"),
        (b"[" + b"[]," * 500_000 + b"[]]", "more values than text"),
    ],
)
def test_json_is_bounded(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


@pytest.mark.parametrize(
    "text", [b"\xef\xbb\xbf[1]", "[1]".encode("utf-16"), b'["\\ud83d\\ude00", NaN]', b"[" * 90 + b"]" * 90]
)
def test_unusual_json_is_read(text: bytes) -> None:
    assert parse_json(text)


@pytest.mark.parametrize(
    "value", ["x" * 10_000, pytest.param(10**9_000, id="digits"), [[[[[["x"]]]]]] * 500, {"a" * 5_000: 1}]
)
def test_what_is_shown_of_a_value_is_short(value: object) -> None:
    assert len(shown(value)) < 1_000


def _record(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "qtquant.json").read_text())
    return found


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "..\\secret"])
def test_a_record_leads_nowhere_else(tmp_path: Path, secret: Path, name: str) -> None:
    quantize(small_llama(tmp_path / "model"), tmp_path / "out")
    record = _record(tmp_path / "out")
    record["sha256"] = {name: "0"}
    (tmp_path / "out" / "qtquant.json").write_text(json.dumps(record))
    assert [m.text for m in result(verify(tmp_path / "out")).mismatches] == ["is outside the folder"]
    record["plan"]["files"][0]["name"] = name  # type: ignore[index]
    (tmp_path / "out" / "qtquant.json").write_text(json.dumps(record))
    with pytest.raises(VerifyError, match="names the file"):
        result(verify(tmp_path / "out"))


def test_a_result_that_links_outside_is_no_result(tmp_path: Path) -> None:
    quantize(small_llama(tmp_path / "model"), tmp_path / "out")
    weights = tmp_path / "out" / "model.safetensors"
    weights.rename(tmp_path / "weights")
    weights.symlink_to(tmp_path / "weights")
    assert {m.text for m in result(verify(tmp_path / "out")).mismatches} == {
        "is outside the folder",
        "is a link that leads outside the folder",
    }
