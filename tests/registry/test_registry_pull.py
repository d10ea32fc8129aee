"""Weights come from a hub, an address or this machine: whole, checked, and where they were cut."""

import asyncio
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.domain.errors import ConflictError, ModelUnavailableError
from server.domain.models import ModelState
from server.registry.download import Downloader
from server.registry.registry import Registry
from tests.registry.hub_server import COMMIT, TOKEN, FakeHub, Repo, serving
from tests.registry.test_registry_weights import SDXL, weights
from tests.registry.yaml_files import HEAD, ONE, entry

DENOISER = "unet/model.safetensors"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    hub = FakeHub()
    source = tmp_path / "repo"
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        weights(source / part / "model.safetensors", *(f"layer.{n}" for n in range(4000)))
        weights(source / part / "model.fp16.safetensors", "half")
        (source / part / "config.json").write_text("{}")
        (source / part / "pytorch_model.bin").write_bytes(b"a pickle")
        (source / part / "code.py").write_text("raise SystemExit")
    (source / "tokenizer").mkdir()
    (source / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    (source / "model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}')
    (source / "sdxl_1.0.safetensors").write_bytes(b"a whole checkpoint that is not needed")
    weights(source / "extra" / "part.safetensors", "x")
    hub.put("ann/model", source)
    with serving(hub):
        yield hub


def made(tmp_path: Path, hub: FakeHub, *entries: str, token: str | None = None) -> Registry:
    (tmp_path / "models.yaml").write_text(HEAD + ONE + "".join(entries))
    return Registry(
        tmp_path / "models.yaml",
        tmp_path / "data",
        hub_token=token,
        hub_endpoint=hub.url,
        downloader=Downloader(tries=3, pause_seconds=0.01),
    )


def pinned(**more: str) -> str:
    fields = ", ".join(f"{key}: {value}" for key, value in more.items())
    return entry("mine", source=f"{{hub: ann/model, revision: {COMMIT}, {fields}}}")


def names(folder: Path) -> set[str]:
    """Return all files under `folder`."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def quiet(done: int, total: int | None) -> None:
    del done, total


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)


async def test_an_unpinned_model_is_refused_until_pin_has_asked_the_hub(
    hub: FakeHub, tmp_path: Path
) -> None:
    found = made(tmp_path, hub, entry("mine", source="{hub: ann/model, revision: null}"))
    assert found.status("mine") == (
        ModelState.UNPINNED,
        "no commit of 'ann/model' is pinned yet; run `greenroom models pin mine`",
    )
    with pytest.raises(ModelUnavailableError, match="models pin mine"):
        await found.pull("mine", quiet)
    with pytest.raises(ModelUnavailableError, match="models pin mine"):
        found.engine_model("mine")
    assert await found.pin("mine") == {"ann/model": COMMIT}
    assert found.status("mine")[0] is ModelState.MISSING
    assert COMMIT in (tmp_path / "data" / "models.yaml").read_text()
    await found.pull("mine", quiet)
    assert found.engine_model("mine").source.kind == "folder"


async def test_only_what_a_pipeline_needs_is_fetched(hub: FakeHub, tmp_path: Path) -> None:
    found = made(tmp_path, hub, pinned())
    seen: list[tuple[int, int | None]] = []
    await found.pull("mine", lambda done, total: seen.append((done, total)))
    assert found.status("mine") == (ModelState.READY, None)
    folder = Path(found.engine_model("mine").source.path)
    here = names(folder)
    parts = ("unet", "vae", "text_encoder", "text_encoder_2")
    assert here == {
        "model_index.json",
        ".greenroom.json",
        "tokenizer/merges.txt",
        *(f"{part}/model.safetensors" for part in parts),
        *(f"{part}/config.json" for part in parts),
    }
    total = sum(len(hub.repos["ann/model"].files[n]) for n in here if n != ".greenroom.json")
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert await found.check("mine") == ()


async def test_half_size_weights_are_taken_where_the_entry_says_so(
    hub: FakeHub, tmp_path: Path
) -> None:
    found = made(tmp_path, hub, pinned(variant="fp16"))
    await found.pull("mine", quiet)
    assert {n for n in hub.fetched() if n.startswith("unet/")} == {
        "unet/config.json",
        "unet/model.fp16.safetensors",
    }


async def test_full_weights_are_taken_where_one_part_has_no_half(
    hub: FakeHub, tmp_path: Path
) -> None:
    del hub.repos["ann/model"].files["vae/model.fp16.safetensors"]
    found = made(tmp_path, hub, pinned(variant="fp16"))
    await found.pull("mine", quiet)
    assert not [name for name in hub.fetched() if "fp16" in name]


async def test_a_cut_line_is_taken_up_where_it_broke(hub: FakeHub, tmp_path: Path) -> None:
    hub.cuts[DENOISER] = [1000, 500]
    found = made(tmp_path, hub, pinned())
    await found.pull("mine", quiet)
    ranges = [told for path, told in hub.asked if path.endswith(DENOISER)]
    assert ranges == [None, "bytes=1000-", "bytes=1500-"]
    assert await found.check("mine") == ()


async def test_what_came_is_kept_when_the_line_stays_bad(hub: FakeHub, tmp_path: Path) -> None:
    hub.cuts[DENOISER] = [1000, 0, 0, 0]
    found = made(tmp_path, hub, pinned())
    with pytest.raises(ModelUnavailableError, match="run the same again to go on"):
        await found.pull("mine", quiet)
    assert found.status("mine")[0] is ModelState.MISSING
    hub.cuts.clear()
    hub.asked.clear()
    await made(tmp_path, hub, pinned()).pull("mine", quiet)
    ranges = [told for path, told in hub.asked if path.endswith(DENOISER)]
    assert ranges == ["bytes=1000-"]
    assert found.status("mine")[0] is ModelState.READY


async def test_a_server_that_knows_no_ranges_sends_all_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.cuts[DENOISER] = [1000]
    hub.ignores_range = True
    found = made(tmp_path, hub, pinned())
    await found.pull("mine", quiet)
    assert await found.check("mine") == ()


async def test_a_busy_server_is_asked_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.busy = 2
    found = made(tmp_path, hub, pinned())
    await found.pull("mine", quiet)
    assert found.status("mine")[0] is ModelState.READY


@pytest.mark.parametrize("name", [DENOISER, "unet/config.json"])
async def test_a_wrong_checksum_is_thrown_away(name: str, hub: FakeHub, tmp_path: Path) -> None:
    hub.damaged.add(name)
    found = made(tmp_path, hub, pinned())
    with pytest.raises(ModelUnavailableError, match="does not have the checksum"):
        await found.pull("mine", quiet)
    assert not [left for left in names(tmp_path) if left.endswith(".part")]
    hub.damaged.clear()
    await found.pull("mine", quiet)
    assert found.status("mine")[0] is ModelState.READY


async def test_a_leftover_of_another_file_does_not_spoil_the_fetch(
    hub: FakeHub, tmp_path: Path
) -> None:
    found = made(tmp_path, hub, pinned())
    part = tmp_path / f"data/models/hub/ann--model/{COMMIT}/{DENOISER}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"something else")
    await found.pull("mine", quiet)
    assert await found.check("mine") == ()


async def test_a_gated_model_says_what_to_do(hub: FakeHub, tmp_path: Path) -> None:
    hub.repos["ann/model"].is_gated = True
    with pytest.raises(ModelUnavailableError) as without:
        await made(tmp_path, hub, pinned()).pull("mine", quiet)
    for said in ("https://huggingface.co/ann/model", "settings/tokens", "GREENROOM_HUB_TOKEN"):
        assert said in without.value.detail
    with pytest.raises(ModelUnavailableError, match="your token may not read it") as wrong:
        await made(tmp_path, hub, pinned(), token="hf_no").pull("mine", quiet)  # noqa: S106
    assert "hf_no" not in wrong.value.detail
    found = made(tmp_path, hub, pinned(), token=TOKEN)
    await found.pull("mine", quiet)
    assert found.status("mine")[0] is ModelState.READY


async def test_a_repo_that_is_not_there_is_told(hub: FakeHub, tmp_path: Path) -> None:
    del hub.repos["ann/model"]
    with pytest.raises(ModelUnavailableError, match="the hub has no repo 'ann/model'"):
        await made(tmp_path, hub, pinned()).pull("mine", quiet)


async def test_a_hub_that_does_not_answer_is_told(hub: FakeHub, tmp_path: Path) -> None:
    hub.url = "http://127.0.0.1:1"
    with pytest.raises(ModelUnavailableError, match="the hub cannot be reached"):
        await made(tmp_path, hub, pinned()).pull("mine", quiet)


async def test_a_repo_with_pickles_only_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    files = hub.repos["ann/model"].files
    for name in [n for n in files if n.startswith("vae/") and n.endswith(".safetensors")]:
        del files[name]
    with pytest.raises(ModelUnavailableError, match="'vae' of this repo has no"):
        await made(tmp_path, hub, pinned()).pull("mine", quiet)


async def test_a_file_name_of_a_repo_cannot_leave_the_folder(hub: FakeHub, tmp_path: Path) -> None:
    files = hub.repos["ann/model"].files
    files["unet/../../../../../../escaped.json"] = b"{}"
    await made(tmp_path, hub, pinned()).pull("mine", quiet)
    assert not [name for name in names(tmp_path) if name.endswith("escaped.json")]


async def test_a_part_is_one_file_on_top_of_a_base(hub: FakeHub, tmp_path: Path) -> None:
    part = f"{{hub: ann/model, revision: {COMMIT}, file: extra/part.safetensors}}"
    on_top = entry(
        "both", source="-", base="mine", parts=f"[{{kind: adapter, source: {part}, weight: 0.5}}]"
    )
    found = made(tmp_path, hub, pinned(), on_top)
    await found.pull("both", quiet)
    model = found.engine_model("both")
    (one,) = model.source.parts
    assert (one.kind, one.weight, Path(one.path).name) == ("adapter", 0.5, "part.safetensors")
    assert model.source.path == found.engine_model("mine").source.path
    assert model.fingerprint != found.engine_model("mine").fingerprint
    assert found.remove("both") > 0
    assert found.status("mine")[0] is ModelState.READY


async def test_a_removed_model_frees_its_files_and_leaves_the_list(
    hub: FakeHub, tmp_path: Path
) -> None:
    found = made(tmp_path, hub, pinned())
    await found.pull("mine", quiet)
    assert found.remove("mine", keep_entry=True) > 4 * 64_000
    assert found.status("mine")[0] is ModelState.MISSING
    found.remove("mine")
    assert [info.id for info in found.infos()] == ["one"]
    assert [info.id for info in made(tmp_path, hub, pinned()).infos()] == ["one"]


async def test_a_damaged_file_is_found_and_a_lost_one_is_fetched_again(
    hub: FakeHub, tmp_path: Path
) -> None:
    found = made(tmp_path, hub, pinned())
    await found.pull("mine", quiet)
    file = Path(found.engine_model("mine").source.path) / DENOISER
    data = file.read_bytes()
    file.write_bytes(data[:-1] + b"\0")
    (said,) = await found.check("mine")
    assert said.startswith(f"{DENOISER}: its checksum is wrong")
    file.unlink()
    state, reason = found.status("mine")
    assert (state, str(reason)[:30]) == (ModelState.MISSING, f"'{DENOISER}' is gone"[:30])
    hub.asked.clear()
    await found.pull("mine", quiet)
    assert hub.fetched() == [DENOISER]
    assert file.read_bytes() == data


async def test_a_cancelled_pull_goes_on_later(hub: FakeHub, tmp_path: Path) -> None:
    found = made(tmp_path, hub, pinned())
    begun = asyncio.Event()
    task = asyncio.create_task(found.pull("mine", lambda *_: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert found.status("mine")[0] is ModelState.MISSING
    await found.pull("mine", quiet)
    assert found.status("mine")[0] is ModelState.READY


async def test_two_processes_do_not_fetch_the_same_file(hub: FakeHub, tmp_path: Path) -> None:
    found, other = made(tmp_path, hub, pinned()), made(tmp_path, hub, pinned())
    done = await asyncio.gather(
        found.pull("mine", quiet), other.pull("mine", quiet), return_exceptions=True
    )
    # Who comes while the other fetches is refused; who comes after it finds the files here.
    assert {type(d) for d in done} <= {type(None), ConflictError}
    assert None in done
    asked = [name for name, _ in hub.asked if name.endswith(".safetensors")]
    assert len(asked) == len(set(asked))


def by_url(hub: FakeHub, data: bytes, *, sha256: str | None = None) -> str:
    hub.repos["files"] = Repo({"big.safetensors": data})
    digest = sha256 or hashlib.sha256(data).hexdigest()
    return entry("mine", source=f"{{url: {hub.url}/files/big.safetensors, sha256: {digest}}}")


async def test_a_file_at_an_address_is_fetched_and_checked(hub: FakeHub, tmp_path: Path) -> None:
    data = weights(tmp_path / "big.safetensors", *SDXL).read_bytes()
    hub.cuts["big.safetensors"] = [100]
    found = made(tmp_path, hub, by_url(hub, data))
    await found.pull("mine", quiet)
    source = found.engine_model("mine").source
    assert source.kind == "single_file"
    assert await found.check("mine") == ()
    assert [told for _, told in hub.asked] == [None, "bytes=100-"]


async def test_a_file_at_an_address_with_a_wrong_checksum_is_thrown_away(
    hub: FakeHub, tmp_path: Path
) -> None:
    data = weights(tmp_path / "big.safetensors", *SDXL).read_bytes()
    found = made(tmp_path, hub, by_url(hub, data, sha256="0" * 64))
    with pytest.raises(ModelUnavailableError, match="does not have the checksum"):
        await found.pull("mine", quiet)
    assert not names(tmp_path / "data")


async def test_a_link_in_the_models_folder_does_not_redirect_a_pull(
    hub: FakeHub, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "data" / "models").mkdir(parents=True)
    (tmp_path / "data" / "models" / "hub").symlink_to(elsewhere)
    found = made(tmp_path, hub, pinned())
    assert found.status("mine")[0] is ModelState.BROKEN
    with pytest.raises(ModelUnavailableError, match="leads out of its folder"):
        await found.pull("mine", quiet)
    assert list(elsewhere.iterdir()) == []


async def test_small_random_weights_are_made_here(scribble_models: Path, tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(HEAD + ONE)
    found = Registry(tmp_path / "models.yaml", tmp_path, models_dir=scribble_models)
    assert found.is_made_here("one")
    await found.pull("one", quiet)
    model = found.engine_model("one")
    copied = tmp_path / "copy"
    shutil.copytree(model.source.path, copied)
    again = Registry(tmp_path / "models.yaml", tmp_path, models_dir=tmp_path)
    (tmp_path / "random").mkdir()
    copied.rename(tmp_path / "random" / "sdxl")
    assert again.engine_model("one").fingerprint == model.fingerprint
