"""The chat template: how a conversation is written as one text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qtquant_app.formats.gguf.values import Value, text, texts

_KEY = "tokenizer.chat_template"
_NAME = re.compile(r"[\w.-]{1,100}", re.ASCII)


def chat_templates(file: str | None, tokenizer_config: Mapping[str, Any]) -> dict[str, Value]:
    """From chat_template.jinja, else from tokenizer_config.json, which may hold several by name."""
    said = file if file is not None else tokenizer_config.get("chat_template")
    if isinstance(said, str):
        return {_KEY: text(said)}
    if not isinstance(said, list):
        return {}
    named = dict(_pair(entry) for entry in said if isinstance(entry, Mapping))
    default = named.pop("default", None)
    found = {f"{_KEY}.{name}": text(template) for name, template in named.items() if _NAME.fullmatch(name)}
    if found:
        found["tokenizer.chat_templates"] = texts(key.removeprefix(f"{_KEY}.") for key in found)
    return found if default is None else {_KEY: text(default)} | found


def _pair(entry: Mapping[str, Any]) -> tuple[str, str]:
    return str(entry.get("name", "")), str(entry.get("template", ""))
