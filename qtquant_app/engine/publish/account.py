"""Who the Hub's own store says is signed in, and what is theirs. No token is ever kept, logged or passed on here."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from qtquant_app.core.errors import PublishError
from qtquant_app.core.events import Event
from qtquant_app.core.hub import HubAccount
from qtquant_app.engine.publish.refusals import LOG_IN, no_token
from qtquant_app.engine.publish.waiting import retried

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def who(api: HfApi) -> Generator[Event, None, HubAccount]:
    """Whoever is signed in. Raises PublishError where nobody is, or the token may only read; what the client raises else."""
    from huggingface_hub import get_token

    if not get_token():
        raise no_token()
    found = account_of((yield from retried(api.whoami, "asking who is signed in")))
    if not found.may_write:
        raise PublishError("your token may only read from the Hub", hint=LOG_IN, code="hub-read-only")
    return found


def account_of(answer: Any) -> HubAccount:
    """What `whoami` answered, as far as it makes sense. Raises ValueError where it names nobody."""
    if not isinstance(answer, dict) or not isinstance(answer.get("name"), str):
        raise ValueError("the answer names nobody")
    orgs = answer.get("orgs")
    names = [org.get("name") for org in orgs if isinstance(org, dict)] if isinstance(orgs, list) else []
    auth = answer.get("auth")
    token = auth.get("accessToken") if isinstance(auth, dict) else None
    role = token.get("role") if isinstance(token, dict) else None
    organisations = tuple(name for name in names if isinstance(name, str))
    return HubAccount(answer["name"], organisations, role if isinstance(role, str) else "")


def owns(account: HubAccount, repo: str) -> bool:
    """Whether the namespace of `repo` is the user's or one of their organisations'."""
    return repo.partition("/")[0].lower() in {name.lower() for name in (account.name, *account.organisations)}


def full_name(account: HubAccount, repo: str) -> str:
    """`org/name`: a name alone is one of the user's own."""
    return repo if "/" in repo else f"{account.name}/{repo}"
