"""Good files of every kind, small, for the fuzzer to start from."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.dtypes import nbytes
from qtquant_app.core.job import JobError, JobOptions, JobResult, JobState, new_job
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scan import TensorStats
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.quantize import run
from qtquant_app.engine.run_marks import marks_of, who_and_when
from qtquant_app.engine.safetensors_header import build_header
from qtquant_app.engine.scan_cache import Known, ScanCache, scheme_key
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.speeds import Speeds
from qtquant_app.formats.gguf import values as gguf_values
from qtquant_app.formats.gguf.container import build_header as gguf_header
from tests.fuzz.hub_answers import answer

RECIPE = Recipe(
    Scheme(),
    (Rule("*.down_proj", Scheme(bits=8)), Rule(r"re:.*\.(?:q|k)_proj$", "keep")),
    ("lm_head", "re:(a|ab)*c"),
)


@cache
def shard(tensors: int = 2, prefix: str = "model.layers.0") -> bytes:
    """A whole safetensors file."""
    names = [f"{prefix}.{part}.weight" for part in ("self_attn.q_proj", "mlp.down_proj", "norm")[:tensors]]
    header = build_header([(name, "F32", (2, 4), 32) for name in names], {"format": "pt"})
    return header + bytes(32 * tensors)


def shards(folder: Path) -> None:
    """Two weight files for an index to name, where they are not there yet."""
    for number in (1, 2):
        file = folder / f"model-{number}.safetensors"
        if not file.exists():
            file.write_bytes(shard(2, f"model.layers.{number}"))


def headers() -> Sequence[bytes]:
    empty = build_header([("a", "F4", (0, 5), 0), ("b", "BF16", (), 2)], {})
    return shard(1), shard(3), empty + bytes(2), build_header([], {}), shard(2)[:40]


def indexes() -> Sequence[bytes]:
    files = {f"model.layers.{number}.mlp.down_proj.weight": f"model-{number}.safetensors" for number in (1, 2)}
    return (
        json.dumps({"metadata": {"total_size": 128}, "weight_map": files}).encode(),
        json.dumps({"weight_map": {"a": "model-1.safetensors"}}, indent=1).encode("utf-16"),
    )


def configs() -> Sequence[bytes]:
    llama = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 96,
        "rope_scaling": None,
    }
    hybrid = {
        "model_type": "jamba",
        "attn_layer_period": 8,
        "attn_layer_offset": 4,
        "time_step_limit": [0.0, float("inf")],
    }
    windowed = {
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 512,
        "use_sliding_window": True,
    }
    nested = {"model_type": "gemma3", "text_config": {**llama, **windowed}, "hybrid_override_pattern": "M*-"}
    latent = {
        **llama,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "no_rope_layers": [1, 0],
        "attention_chunk_size": 8192,
    }
    linear = {
        **llama,
        "linear_attn_config": {"full_attn_layers": [1], "num_heads": 2, "head_dim": 4},
        "cla_share_factor": 2,
    }
    return tuple(json.dumps(item).encode() for item in (llama, hybrid | llama, nested, latent, linear))


def recipes() -> Sequence[bytes]:
    within = json.dumps({"qtquant": "0", "recipe": RECIPE.to_json()}).encode()
    return RECIPE.dumps().encode(), b"{}", within, RECIPE.dumps().encode("utf-16")


@cache
def _result() -> tuple[bytes, bytes]:
    """The record and the journal of a run."""
    with TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "model").mkdir()
        (folder / "model" / "model.safetensors").write_bytes(shard(3))
        (folder / "model" / "config.json").write_bytes(configs()[0])
        from qtquant_app.engine.planner import make_plan

        checkpoint = open_checkpoint(folder / "model")
        plan: Plan = make_plan(checkpoint, Recipe(Scheme(group_size=4)), output=folder / "out")
        for _ in run(plan, RunOptions(str(folder / "out"))):
            pass
        marks = marks_of(plan, checkpoint)
        record = (folder / "out" / "qtquant.json").read_bytes()
    entries = [
        {"kind": "start", "version": 2, **who_and_when(), "marks": marks.to_json()},
        {"kind": "tensor", "name": "a.weight", "errors": asdict(ErrorSums(8, 0.5, 4.0, 4.0, 0.25))},
        {"kind": "tensor", "name": "norm.weight", "errors": None},
        {"kind": "shard", "file": "model.safetensors", "sha256": "0" * 64},
        {"kind": "resume", "device": "cpu", "versions": {}},
    ]
    return record, b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def records() -> Sequence[bytes]:
    return (_result()[0],)


def journals() -> Sequence[bytes]:
    plain = _result()[1]
    torn = plain[: len(plain) // 2]
    body = b'{"kind": "start", "version": 1, "digest": "x"}'
    return plain, torn, body, b'%s, "crc": "%08x"}\n' % (body[:-1], zlib.crc32(body))


@cache
def archives() -> Sequence[bytes]:
    import torch

    made = []
    shared = torch.zeros(4, 4)
    for entries in ({"a.weight": torch.zeros(2, 3), "b": torch.ones(2)}, {"state_dict": {"x": shared, "y": shared}}):
        stream = io.BytesIO()
        torch.save(entries, stream)
        made.append(stream.getvalue())
    return tuple(made)


@cache
def pickles() -> Sequence[bytes]:
    import zipfile

    read = []
    for data in archives():
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            read += [archive.read(item) for item in archive.infolist() if item.filename.endswith("data.pkl")]
    doubled = b"(((K\x01tq\x00h\x00h\x00tq\x01h\x01h\x01t."
    return (*read, doubled, b"\x80\x02cbuiltins\nbytearray\nK\x05\x85R.")


def labels() -> Sequence[bytes]:
    return b"W4 g128 sym", b"W8 ch sym A8", b"W3 g32 asym mse", b"*.down_proj=W8 tensor sym", b"re:a+b=keep"


def patterns() -> Sequence[bytes]:
    return (
        b"re:(a+)+b",
        rb"re:.*\.layers\.(?:\d+)\.mlp\.(down|up)_proj$",
        b"*.mlp.[a-d]*",
        b"re:(?i)(?:a|ab|b){2,5}c?[^x-z]*",
        rb"re:(\w+\.)*q_proj\Z",
        rb"re:^(?!x)(?=a)(?<=b)(?P<n>a)(?P=n)\b",
        b"re:(?>a*)b++",
    )


def sizes() -> Sequence[bytes]:
    return b"600MB", b"4.2GB", b"2GiB", b"1024", b" 1 kb", b"org/name@main"


def known() -> Known:
    stats = TensorStats(8, 0, *(0.0,) * 5, *(0,) * 5)
    return Known(stats, {scheme_key(Scheme()): ErrorSums(8, 0.5, 4.0, 4.0, 0.25)})


@cache
def caches() -> Sequence[bytes]:
    with TemporaryDirectory() as made:
        file = Path(made) / "scans.sqlite3"
        with ScanCache(file) as cache_:
            cache_.learn(b"k", known())
            cache_.remember(b"k", b"l")
        return (file.read_bytes(),)


def presets() -> Sequence[bytes]:
    document = {"name": "x-1", "title": "X", "for": "you", "runtimes": ["vllm"], "cost": "", "bits_per_weight": 4.5}
    return (json.dumps({**document, "recipe": RECIPE.to_json()}).encode(),)


def speeds() -> Sequence[bytes]:
    found = Speeds({"BF16 W4 g128 sym": 1e-9, "keep": 1e-9}, {"F32 W8 ch sym mse": 2e-9}, 1e-9, 1e-9)
    return (json.dumps(found.to_json()).encode(),)


def texts() -> Sequence[bytes]:
    return (
        b'{"text": "one two three"}\n{"text": "four", "n": 1}\n',
        "Plain text.\n\nAnd\u2028more \N{SNOWMAN} of it.\n".encode() * 5,
        b'{"text": "cut o',
    )


@cache
def ggufs() -> Sequence[bytes]:
    metadata = {
        "general.architecture": gguf_values.text("llama"),
        "llama.block_count": gguf_values.u32(2),
        "tokenizer.ggml.tokens": gguf_values.texts(["<s>", "a", "\N{LATIN SMALL LETTER E WITH ACUTE}"]),
        "tokenizer.ggml.scores": gguf_values.f32s([0.0, -1.0, -2.0]),
        "tokenizer.ggml.add_bos_token": gguf_values.boolean(True),
    }
    tensors = [("token_embd.weight", "Q8_0", (3, 64)), ("blk.0.ffn_down.weight", "Q4_K", (2, 256)), ("n", "F32", (5,))]
    header, laid = gguf_header(metadata, tensors)
    whole = header + bytes(laid.tensors[-1].offset + 32 - len(header))
    return whole, gguf_header({}, [])[0], gguf_header({}, [("a", "I64", ())])[0] + bytes(32), whole[:100]


def _header_of(tensors: Sequence[tuple[str, str, tuple[int, ...]]]) -> bytes:
    """The JSON of a header of these tensors, without its length."""
    return build_header([(name, dtype, shape, nbytes(dtype, shape)) for name, dtype, shape in tensors], {})[8:]


def packed_checkpoints() -> Sequence[bytes]:
    """A config and a header for each layout of quantized weights."""
    weights = {"num_bits": 4, "type": "int", "symmetric": False, "strategy": "group", "group_size": 32}
    groups = {"group_0": {"targets": ["Linear", "re:.*b"], "weights": weights}}
    compressed = {"quant_method": "compressed-tensors", "config_groups": groups, "ignore": ["lm_head", "re:x.*"]}
    gptq = {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True, "dynamic": {"-:lm_head": {}}}
    mlx = {"group_size": 64, "bits": 4, "a": {"group_size": 32, "bits": 4}}
    plain = {"quant_method": "qtquant", "schemes": [{"bits": 4, "group_size": 32}], "modules": {"a": 0}}
    scale = ("a.weight_scale", "BF16", (4, 2))
    table = [("a.weight", "U8", (64, 1)), ("a.weight.absmax", "F32", (2,)), ("a.weight.quant_map", "F32", (16,))]
    state = ("a.weight.quant_state.bitsandbytes__nf4", "U8", (40,))
    scaled = [("a.weight", "F8_E4M3", (4, 64)), ("a.weight_scale_inv", "F32", (1, 1))]
    cases: list[tuple[dict[str, object], list[tuple[str, str, tuple[int, ...]]]]] = [
        (compressed, [("a.weight_packed", "I32", (4, 8)), scale, ("a.weight_zero_point", "I32", (1, 2))]),
        (compressed, [("a.weight", "I8", (4, 64)), ("a.weight_scale", "F32", (4, 1)), ("b.bias", "F16", (3,))]),
        (compressed, scaled),
        (compressed, [("a.weight_packed", "U8", (4, 32)), ("a.weight_scale", "F8_E4M3", (4, 4))]),
        (gptq, [("a.qweight", "I32", (8, 8)), ("a.qzeros", "I32", (2, 1)), ("a.scales", "F16", (2, 8))]),
        (gptq, [("a.qweight", "I32", (64, 1)), ("a.qzeros", "I32", (2, 1)), ("a.scales", "F16", (2, 8))]),
        (mlx, [("a.weight", "U32", (4, 8)), ("a.scales", "BF16", (4, 2)), ("a.biases", "BF16", (4, 2))]),
        (plain, [("a.weight_packed", "U8", (4, 32)), scale]),
        ({"quant_method": "bitsandbytes"}, [*table, state]),
        ({"quant_method": "bitsandbytes"}, [("a.weight", "I8", (4, 64)), ("a.SCB", "F32", (4,))]),
    ]
    return [json.dumps({"quantization_config": said}).encode() + b"\0" + _header_of(held) for said, held in cases]


def gguf_sources() -> Sequence[bytes]:
    """Whole GGUF files, one of them of an architecture that is known."""
    metadata = {
        "general.architecture": gguf_values.text("llama"),
        "llama.attention.head_count": gguf_values.u32(2),
        "llama.attention.head_count_kv": gguf_values.u32(1),
    }
    tensors = [("token_embd.weight", "F32", (3, 32)), ("blk.0.attn_q.weight", "Q8_0", (4, 32))]
    tensors += [("blk.0.attn_k.bias", "F32", (8,)), ("blk.0.ffn_up.weight", "Q4_0", (2, 64))]
    header, laid = gguf_header(metadata, tensors)
    return [header + bytes(laid.tensors[-1].offset + 96 - len(header)), *ggufs()[1:3]]


def jobs() -> Sequence[bytes]:
    options = JobOptions("/out", "quick", resume=True, device="cuda:1", max_memory=10**9, seed=7, more={"threads": 3})
    plain = replace(new_job("/model", "model", RECIPE, options, 1.5), id="a1")
    failed = replace(plain, state=JobState.FAILED, started=2.5, ended=3.5, error=JobError("w", "h", "c"), log=("one",))
    done = replace(plain, state=JobState.DONE, result=JobResult(10, 4.5, True, 3, 2), order=-1.0, fraction=1.0)
    looked = replace(options, calibration=Calibration("a.jsonl", 8, 64, chat=True, seed=1, sha256="ab"))
    running = replace(plain, state=JobState.RUNNING, recipe=Recipe(), options=looked)
    return tuple(json.dumps(job.to_json()).encode() for job in (plain, failed, done, running))


def hub_answers() -> Sequence[bytes]:
    body = RECIPE.dumps().encode()
    here = {"ETag": f'"{"0" * 40}"', "X-Repo-Commit": "1" * 40, "Content-Length": str(len(body))}
    large = here | {"X-Linked-Size": str(len(body)), "X-Linked-ETag": f'"{"2" * 64}"', "X-Xet-Hash": "3" * 64}
    refusals = ("404 Not Found", "EntryNotFound"), ("401 Unauthorized", "RepoNotFound"), ("403 Forbidden", "GatedRepo")
    return (
        answer("200 OK", here, body),
        answer("200 OK", here, b"<html>"),
        answer("200 OK", large, body),
        *(answer(status, {"X-Error-Code": code, "Content-Length": "0"}) for status, code in refusals),
        answer("302 Found", {"Location": "/org/other/resolve/main/qtquant.json", "Content-Length": "0"}),
        answer("429 Too Many Requests", {"Retry-After": "5", "Content-Length": "0"}),
    )
