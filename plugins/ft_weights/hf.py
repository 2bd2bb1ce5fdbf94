"""`hf:REPO[/FILE][@REVISION]`: a file of a model repository on the Hugging Face Hub, or on $HF_ENDPOINT."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from ft import FtError, Settings, WeightCache, WeightEntry
from ft_weights.suffixes import SUFFIXES

_REFERENCE = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<file>[^@]+))?(?:@(?P<revision>[\w./-]+))?")


def fetch(entry: WeightEntry, argument: str | None, settings: Settings, cache: WeightCache) -> Path:
    """Return FILE of the repository, by default the entry's own file, else the repository's model.safetensors.

    huggingface_hub downloads into its own cache, resumes, and sends its token to the Hub alone. A file that is named
    may be any; the entry's own must be the published one. Raises FtError.
    """
    match = _REFERENCE.fullmatch(argument or "")
    if match is None or any(part in ("", ".", "..") for part in (argument or "").split("/")):
        raise FtError(
            "write which repository, as in hf:timm/resnet18.a1_in1k, hf:ORG/NAME/FILE or hf:ORG/NAME@REVISION"
        )
    repo, file, revision = match["repo"], match["file"], match["revision"]
    if file and not file.endswith(SUFFIXES):
        raise FtError(f"{file} is no weight file; ft reads {', '.join(SUFFIXES)}")
    for name in [file] if file else [entry.file_name, "model.safetensors"]:
        path = _download(repo, name, revision, cache.offline)
        if path is not None:
            return _verified(entry, path, cache) if file or name != entry.file_name else cache.verify(entry, path)
    if cache.offline:
        raise FtError(f"{cache.offline}, and the Hub's own cache has no {file or entry.file_name} of {repo}")
    raise FtError(f"{repo} has no {file or f'{entry.file_name} and no model.safetensors'}; name a file: hf:{repo}/FILE")


def _download(repo: str, file: str, revision: str | None, offline: str) -> Path | None:
    """Return the file in the Hub's own cache; None when the repository does not have it. Raises FtError."""
    hub = _hub()
    try:
        if offline:  # local_files_only=True opens a connection all the same, for a list of clients
            found = hub.try_to_load_from_cache(repo, file, revision=revision)
            return Path(found) if isinstance(found, str) else None
        return Path(hub.hf_hub_download(repo, file, revision=revision))
    except hub.errors.LocalEntryNotFoundError as error:
        raise FtError(f"the Hub cannot be reached: {_reason(error)}") from error
    except hub.errors.EntryNotFoundError:
        return None
    except Exception as error:  # the Hub's library raises those of its HTTP library too, which changed before
        raise FtError(f"{repo} cannot be read: {_reason(error)}") from error


def _verified(entry: WeightEntry, path: Path, cache: WeightCache) -> Path:
    # The Hub's cache names large files by their SHA-256, which the Hub sent beside them.
    digest = path.resolve().name
    known = digest if re.fullmatch(r"[0-9a-f]{64}", digest) else ""
    return cache.verify(dataclasses.replace(entry, name=path.name, file_name=path.name, sha256=known, size=None), path)


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise FtError("hf: needs the package huggingface_hub; get it with: pip install 'ftkit[hf]'") from error
    return huggingface_hub


def _reason(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
