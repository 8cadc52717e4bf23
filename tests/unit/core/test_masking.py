"""What leaves this computer in a report says neither who sent it nor what opens their accounts."""

from __future__ import annotations

import getpass
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core import masking
from qtquant_app.core.masking import HIDDEN, masked

SECRET = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345"
TEXTS = st.text(st.sampled_from("ab ~/\\:=@\n'\"{}.,&_-A1"), max_size=60)
WORDS = st.text(st.sampled_from("abcXYZ019"), min_size=8, max_size=20)


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user called willa, whose home is a folder of the test's own."""
    home = tmp_path / "home" / "willa"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setattr(getpass, "getuser", lambda: "willa")
    monkeypatch.setattr(masking, "getuser", lambda: "willa")
    return home


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"token={SECRET}",
        f"(token='{SECRET}')",
        f"Authorization: Bearer {SECRET}",
        f"{{'authorization': 'Bearer {SECRET}'}}",
        "authorization: Basic d2lsbHk6aHVzaGh1c2g=",
        "Proxy-Authorization: d2lsbHk6aHVzaGh1c2g=",
        "bearer d2lsbHk6aHVzaGh1c2g=",
        "https://name:d2lsbHk6aHVzaGh1c2g=@hub.example/org/model",
        "https://d2lsbHk6aHVzaGh1c2g=@hub.example/org/model",
        "https://cdn.example/a?X-Amz-Signature=d2lsbHk6aHVzaGh1c2g=&x=1",
        "https://cdn.example/a?access_token=d2lsbHk6aHVzaGh1c2g=",
        "password: d2lsbHk6aHVzaGh1c2g=",
        'api_key="d2lsbHk6aHVzaGh1c2g="',
        "Set-Cookie: session=d2lsbHk6aHVzaGh1c2g=; Path=/",
        "ghp_d2lsbHk6aHVzaGh1c2g",
        "sk-d2lsbHk6aHVzaGh1c2g",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    hidden = masked(f"before {text}\nafter", {})
    assert "AbCdEf" not in hidden and "d2lsbHk6" not in hidden and HIDDEN in hidden
    assert hidden.startswith("before ") and hidden.endswith("\nafter")


@given(TEXTS, WORDS, TEXTS)
def test_the_values_of_secret_variables_are_hidden_wherever_they_stand(before: str, value: str, after: str) -> None:
    hidden = masked(before + value + after, {"HF_TOKEN": value, "AWS_SECRET_ACCESS_KEY": "kept" + value})
    assert value not in hidden


def test_a_secret_that_holds_another_is_hidden_whole_and_so_is_its_form_in_an_address() -> None:
    both = {"HF_TOKEN": "wxyz", "HUGGING_FACE_HUB_TOKEN": "wxyz/more?"}
    assert masked("a wxyz/more? b wxyz c", both) == f"a {HIDDEN} b {HIDDEN} c"
    assert "more" not in masked(f"https://host/{quote('wxyz/more?', safe='')}", both)


@pytest.mark.parametrize(
    "environment",
    [{"HF_HUB_DISABLE_IMPLICIT_TOKEN": "true"}, {"HF_TOKEN": "1"}, {"PATH": "tensor"}, {"TOKENIZERS_X": "tensor"}],
)
def test_what_is_no_secret_is_left(environment: dict[str, str]) -> None:
    text = "tensor 1 is true: token_embd.weight, 5 tokens, model.layers.0.mlp.down_proj.weight, W4 g128"
    assert masked(text, environment) == text


def test_the_home_folder_becomes_a_tilde_in_every_form(somebody: Path) -> None:
    windows = r"C:\Users\willa"
    assert masked(f"File {somebody}/models/a.safetensors, {somebody}.", {}) == "File ~/models/a.safetensors, ~."
    assert masked(f"file://{somebody}/a", {}) == "file://~/a"
    assert masked(f"path={somebody}", {}) == "path=~"
    assert "willa" not in masked(f"{windows}\\models {windows!r}", {})


def test_another_folder_that_begins_alike_is_not_the_home(somebody: Path) -> None:
    assert "~" not in masked(f"{somebody}2/a {somebody}-old/a /mnt{somebody}/a", {})


def test_a_link_to_the_home_folder_is_masked_as_well(
    somebody: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(somebody)
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    assert masked(f"{tmp_path}/link/a {somebody}/b", {}) == "~/a ~/b"


def test_the_name_of_the_user_is_masked_as_a_word() -> None:
    assert masked("/mnt/willa/disk, Willa's willa_model; willard, swilla", {}) == (
        "/mnt/(user)/disk, (user)'s (user)_model; willard, swilla"
    )


@pytest.mark.parametrize("name", ["root", "ubuntu", "a"])
def test_a_name_that_tells_nothing_is_left(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "getuser", lambda: name)
    assert masked(f"a {name} b", {}) == f"a {name} b"


def test_nobody_at_home_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no such user")

    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(masking, "getuser", nobody)
    monkeypatch.setattr(masking.Path, "home", homeless)
    assert masked("willa is here", {}) == "willa is here"


@given(
    TEXTS,
    st.sampled_from(
        [SECRET, "Authorization: Bearer abcdefghij", "https://a:b@c/d", "token=abc", "willa", "Cookie: a=b"]
    ),
)
def test_masking_twice_changes_nothing_more(text: str, secret: str) -> None:
    once = masked(text + secret + text, {"HF_TOKEN": "abcdefgh"})
    assert masked(once, {"HF_TOKEN": "abcdefgh"}) == once


@given(st.text(max_size=200))
def test_any_text_can_be_masked(text: str) -> None:
    assert SECRET not in masked(text + " " + SECRET, {})
