"""Conversations, as lines of JSON hold them: a list at "messages" or "conversations", each with who speaks and what is said."""

from __future__ import annotations

from typing import Any

from qtquant_app.core.json_reader import JsonReader

Chat = tuple[dict[str, str], ...]
"""Messages in order, each with a `role` and a `content`."""
Document = str | Chat

LISTS = ("messages", "conversations", "conversation")
MOST_MESSAGES = 1000
_WHO = ("role", "from")
_WHAT = ("content", "value")
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}


def document(line: str) -> Document | None:
    """The conversation in a line of JSON, else its "text"; None where it is JSON and has neither. Raises ValueError for no JSON."""
    reader = JsonReader(line)
    text: str | None = None
    chat: Chat | None = None
    if reader.kind != b"{":
        reader.skip()
    else:
        for key in reader.members():
            if key == "text" and reader.kind == b'"':
                text = reader.text()
            elif key in LISTS and reader.kind == b"[":
                chat = _messages(reader)
            else:
                reader.skip()
    reader.end()
    return chat or text


def chat_of(messages: object) -> Chat:
    """A conversation from values that are made already, such as a row of a table. What is no message is left out."""
    if not isinstance(messages, (list, tuple)):
        return ()
    made = (_message(item) for item in messages[:MOST_MESSAGES] if isinstance(item, dict))
    return tuple(message for message in made if message is not None)


def _messages(reader: JsonReader) -> Chat:
    found: list[dict[str, str]] = []
    for _ in reader.items():
        if reader.kind != b"{" or len(found) >= MOST_MESSAGES:
            reader.skip()
        elif (message := _message(_taken(reader))) is not None:
            found.append(message)
    return tuple(found)


def _taken(reader: JsonReader) -> dict[str, Any]:
    """An object's role and content; the rest is passed over."""
    found: dict[str, Any] = {}
    for key in reader.members():
        if key in (*_WHO, *_WHAT) and reader.kind == b'"':
            found[key] = reader.text()
        elif key in _WHAT and reader.kind == b"[":
            found[key] = _parts(reader)
        else:
            reader.skip()
    return found


def _parts(reader: JsonReader) -> list[dict[str, Any]]:
    """The texts among the parts of a message's content."""
    parts: list[dict[str, Any]] = []
    for _ in reader.items():
        if reader.kind != b"{":
            reader.skip()
            continue
        for key in reader.members():
            if key == "text" and reader.kind == b'"':
                parts.append({"text": reader.text()})
            else:
                reader.skip()
    return parts


def _message(item: dict[str, Any]) -> dict[str, str] | None:
    who = next((item[key] for key in _WHO if isinstance(item.get(key), str)), None)
    what = next((item[key] for key in _WHAT if isinstance(item.get(key), (str, list))), None)
    if who is None or what is None:
        return None
    if isinstance(what, list):
        what = "\n".join(part["text"] for part in what if isinstance(part, dict) and isinstance(part.get("text"), str))
    return {"role": _ROLES.get(who, who), "content": what}
