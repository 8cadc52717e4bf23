"""What of the Hub is on this computer already."""

from __future__ import annotations

from pathlib import Path

from qtquant_app.core.hub import CachedModel
from qtquant_app.engine.hub.listing import hub_folder


def cached_models() -> list[CachedModel]:
    """The models in the Hub's cache, each revision, the last used first; none where there is no cache."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir(constants.HF_HUB_CACHE)  # whose default is that of the moment it was imported
    except (CacheNotFound, OSError, ValueError):
        return []
    rows = [
        CachedModel(
            repo=repo.repo_id,
            commit=revision.commit_hash,
            revisions=tuple(sorted(revision.refs)),
            bytes=revision.size_on_disk,
            files=len(revision.files),
            used=max((file.blob_last_accessed for file in revision.files), default=revision.last_modified),
            path=str(revision.snapshot_path),
        )
        for repo in found.repos
        if repo.repo_type == "model"
        for revision in repo.revisions
    ]
    return sorted(rows, key=lambda row: (-row.used, row.repo, row.commit))


def range_bytes() -> int:
    """Bytes that pieces of models take which were looked into and not fetched."""
    folder = hub_folder() / "ranges"
    return sum(_size(path) for path in folder.rglob("*"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
