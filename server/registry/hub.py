"""The Hugging Face hub: which files a commit has, and fetching the few that a model needs.

`huggingface_hub` asks and signs; the bytes come through our own `download`, since version 2.4
throws away what came when a process ends, and does not compare checksums over plain HTTP.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from server.domain.errors import ModelUnavailableError
from server.registry.disk import ensure_space
from server.registry.download import DeniedError, Downloader, GoneError, Wanted
from server.registry.manifest import Manifest, PulledFile
from server.registry.places import OutsideError, Places

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_WEIGHTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2")
_PLAIN = ("scheduler", "tokenizer", "tokenizer_2")
_OTHER = re.compile(r"\.(fp16|bf16|non_ema)\b")  # forms of weights beside the plain one

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a commit, with the checksum the hub keeps: SHA-256, or git's for small ones."""

    path: str
    size_bytes: int
    sha256: str | None
    git_sha1: str


class Hub:
    """Speaks to one hub with one token."""

    def __init__(
        self, downloader: Downloader, *, token: str | None = None, endpoint: str | None = None
    ) -> None:
        """Remember how to ask; nothing is asked or imported yet.

        Args:
            downloader: fetches the bytes.
            token: for gated models; None: HF_TOKEN or what `hf auth login` kept.
            endpoint: another hub; None: HF_ENDPOINT or huggingface.co.
        """
        quiet()
        self._downloader = downloader
        self._token = token
        self._endpoint = endpoint

    async def commit(self, repo: str, revision: str = "main") -> str:
        """Return the whole hash of the commit that `revision` names now."""
        info = await self._ask(repo, lambda api: api.model_info(repo, revision=revision))
        if info.sha is None:
            raise ModelUnavailableError(f"the hub told no commit of '{repo}'; try again later")
        return str(info.sha)

    async def files(self, repo: str, commit: str) -> tuple[HubFile, ...]:
        """Return the files of a commit."""
        from huggingface_hub.hf_api import RepoFile

        await self.commit(repo, commit)  # fails at once where the listing would try for long
        tree = await self._ask(
            repo, lambda api: list(api.list_repo_tree(repo, recursive=True, revision=commit))
        )
        return tuple(
            HubFile(f.path, f.size, f.lfs.sha256 if f.lfs else None, f.blob_id)
            for f in tree
            if isinstance(f, RepoFile)
        )

    async def pull(
        self,
        repo: str,
        commit: str,
        chosen: Sequence[HubFile],
        folder: Path,
        progress: Callable[[int], None],
    ) -> Manifest:
        """Fetch `chosen` into `folder`; what is there already is kept.

        Raises:
            ModelUnavailableError: gated without a fitting token, unreachable, damaged.
            StorageFullError: not enough space, told before the first byte.
        """
        total = sum(file.size_bytes for file in chosen)
        ensure_space(folder, total - _present_bytes(folder, chosen))
        headers = self._headers()
        pulled: list[PulledFile] = []
        done = 0
        for file in chosen:
            wanted = self._wanted(repo, commit, file, folder, headers)
            report = _after(progress, done)
            try:
                got = await self._downloader.fetch(wanted, report)
            except DeniedError as error:
                raise ModelUnavailableError(gated_help(repo, has_token=bool(headers))) from error
            except GoneError as error:
                raise ModelUnavailableError(
                    f"'{file.path}' is gone from '{repo}'; pin its newest commit again"
                ) from error
            done += got.size_bytes
            progress(done)
            pulled.append(got.model_copy(update={"path": file.path}))
        return Manifest(origin=f"{repo}@{commit}", files=tuple(pulled))

    def _wanted(
        self, repo: str, commit: str, file: HubFile, folder: Path, headers: Mapping[str, str]
    ) -> Wanted:
        from huggingface_hub import hf_hub_url

        try:
            path = Places.inside(folder, file.path)
        except OutsideError as error:
            raise ModelUnavailableError(f"'{repo}' holds a file with a wrong name") from error
        url = hf_hub_url(repo, file.path, revision=commit, endpoint=self._endpoint)
        return Wanted(
            url, path, file.path, file.size_bytes, file.sha256, file.git_sha1, headers=headers
        )

    def _headers(self) -> dict[str, str]:
        from huggingface_hub import get_token

        token = self._token or get_token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def _ask(self, repo: str, question: Callable[[HfApi], T]) -> T:
        def ask() -> T:
            with _hub_errors(repo, has_token=bool(self._headers())):
                return question(_api(self._endpoint, self._token))

        return await asyncio.to_thread(ask)


def needed(files: Sequence[HubFile], variant: str | None) -> tuple[HubFile, ...]:
    """Return the files of a diffusers repo that a pipeline loads: text and safetensors, no code.

    Args:
        files: all files of the commit.
        variant: fp16 where half-size weights will do; the full ones are taken unless every
            component has them, since diffusers loads one kind or the other.

    Raises:
        ModelUnavailableError: the repo holds no diffusers pipeline in safetensors.
    """
    if all(file.path != "model_index.json" for file in files):
        raise ModelUnavailableError(
            "this repo has no model_index.json, so it is no diffusers pipeline; "
            "for a single file add `file: NAME.safetensors` to the source"
        )
    inside = {
        folder: [f.path for f in files if str(PurePosixPath(f.path).parent) == folder]
        for folder in (*_WEIGHTS, *_PLAIN)
    }
    weights = {folder: _in_safetensors(folder, inside[folder]) for folder in _WEIGHTS}
    half = {folder: [n for n in names if f".{variant}" in n] for folder, names in weights.items()}
    if variant and all(half[folder] for folder in _WEIGHTS if weights[folder]):
        weights = half
    else:
        weights = {k: [n for n in v if not _OTHER.search(n)] for k, v in weights.items()}
    wanted = {"model_index.json"}
    for folder, names in inside.items():
        chosen = weights.get(folder, [])
        wanted.update(chosen, (name for name in names if _is_text_for(name, chosen)))
    return tuple(file for file in files if file.path in wanted)


def _after(progress: Callable[[int], None], before: int) -> Callable[[int], None]:
    return lambda size: progress(before + size)


def gated_help(repo: str, *, has_token: bool) -> str:
    """Return what to do about a gated model."""
    page = f"https://huggingface.co/{repo}"
    if has_token:
        return (
            f"'{repo}' is gated and your token may not read it; accept its licence on {page} "
            "with the token's account, then pull again"
        )
    return (
        f"'{repo}' is gated: accept its licence on {page}, make a token on "
        "https://huggingface.co/settings/tokens, set GREENROOM_HUB_TOKEN to it, then pull again"
    )


def _in_safetensors(folder: str, names: list[str]) -> list[str]:
    weights = [name for name in names if name.endswith(".safetensors")]
    if f"{folder}/config.json" in names and not weights:
        raise ModelUnavailableError(
            f"'{folder}' of this repo has no .safetensors; only those are read"
        )
    return weights


def _is_text_for(name: str, weights: list[str]) -> bool:
    if ".safetensors.index." in name:
        # diffusers writes NAME.safetensors.index.fp16.json beside half-size shards.
        shards = [n for n in weights if "-of-" in n]
        return bool(shards) and (".fp16" in name) == (".fp16" in shards[0])
    return name.endswith((".json", ".txt", "/spiece.model"))


def _present_bytes(folder: Path, chosen: Sequence[HubFile]) -> int:
    count = 0
    for file in chosen:
        for name in (file.path, f"{file.path}.part"):
            path = folder / name
            count += path.stat().st_size if path.is_file() else 0
    return count


def _api(endpoint: str | None, token: str | None) -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint, token=token, library_name="greenroom")


def quiet() -> None:
    """Set what keeps Hugging Face's libraries from phoning home; call before they are imported."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_UPDATE_CHECK", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("DIFFUSERS_DISABLE_REMOTE_CODE", "1")


@contextmanager
def _hub_errors(repo: str, *, has_token: bool) -> Iterator[None]:
    """Turn what huggingface_hub raises into one sentence with a remedy."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelUnavailableError(gated_help(repo, has_token=has_token)) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelUnavailableError(
            f"the hub has no repo '{repo}', or it is private; check its name"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelUnavailableError(
            f"'{repo}' has no such commit any more; pin its newest one again"
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        raise ModelUnavailableError(
            f"the hub answered {status} about '{repo}'; try again later"
        ) from error
    except (httpx2.HTTPError, OSError) as error:
        raise ModelUnavailableError(
            f"the hub cannot be reached ({type(error).__name__}); check the network, or bring "
            "the files yourself and add them as a folder"
        ) from error
