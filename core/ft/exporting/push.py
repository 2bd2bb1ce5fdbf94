"""A folder put on the Hugging Face Hub, or on $HF_ENDPOINT: `--push hf:USER/NAME`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ft.errors import FtError

_PLACE = re.compile(r"hf:(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)")


def repository_of(place: str) -> str:
    """The repository that `hf:USER/NAME` names. Raises FtError for another text, and where the library is missing: both
    before anything is exported."""
    found = _PLACE.fullmatch(place)
    if found is None:
        raise FtError(f"--push {place}: write hf:USER/NAME, a model repository of the Hugging Face Hub")
    _hub()
    return found["repo"]


def push(folder: Path, repo: str) -> str:
    """Put all files of a folder into a model repository, in one commit; it is made, private, where there is none.
    Return its address.

    huggingface_hub sends the token that `hf auth login` or HF_TOKEN gave it, and knows where the Hub is. Raises FtError
    where that fails; the folder stays.
    """
    hub = _hub()
    try:
        api = hub.HfApi(library_name="ftkit")
        api.create_repo(repo, private=True, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="ft export")
        return f"{api.endpoint}/{repo}"
    except Exception as error:  # the Hub's library raises those of its HTTP library, too, which changed before
        raise FtError(
            f"{folder} is written, and could not be put on the Hub as {repo}: {_reason(error)}. Log in with: hf auth "
            "login; then put the folder there with: "
            f"hf upload {repo} {folder}"
        ) from error


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise FtError("--push takes huggingface_hub, which is not installed: pip install 'ftkit[hf]'") from error
    return huggingface_hub


def _reason(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__).rstrip(".")
