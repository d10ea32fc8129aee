from __future__ import annotations

from pathlib import Path

import pytest
from diffusers import DiffusionPipeline, FluxPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file
from transformers import CLIPTokenizer, T5Tokenizer

from server.engine import tiny
from server.engine.tokens import captions, clip_tokenizer, t5_tokenizer


@pytest.mark.parametrize(
    ("family", "kind"), [("sdxl", StableDiffusionXLPipeline), ("flux", FluxPipeline)]
)
def test_a_small_pipeline_loads_like_any_other(
    model_folders: dict[str, Path], family: str, kind: type
) -> None:
    folder = model_folders[family]
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 3_000_000
    assert type(DiffusionPipeline.from_pretrained(folder)) is kind
    assert not [file for file in folder.rglob("*") if file.suffix in (".bin", ".py", ".pt")]


@pytest.mark.parametrize("family", tiny.MAKERS)
def test_the_weights_are_the_same_every_time(
    model_folders: dict[str, Path], tmp_path: Path, family: str
) -> None:
    tiny.write(family, tmp_path / "again")
    for file in model_folders[family].rglob("*.safetensors"):
        other = load_file(tmp_path / "again" / file.relative_to(model_folders[family]))
        for name, weights in load_file(file).items():
            assert weights.equal(other[name])


def test_a_folder_that_is_there_stays_and_nothing_else_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "model"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("x")
    assert tiny.main(["sdxl", str(folder)]) == 0
    assert [path.name for path in folder.parent.rglob("*")] == ["model", "mine.txt"]


def test_a_family_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        tiny.main(["sd3", str(tmp_path / "x")])


def test_the_clip_tokenizer_knows_its_words_and_spells_the_others() -> None:
    tokenizer = clip_tokenizer()
    assert tokenizer.tokenize("a red fox") == ["a</w>", "red</w>", "fox</w>"]
    assert tokenizer.tokenize("zorbo 狐")  # falls apart into letters and bytes, never unknown
    numbers = tokenizer("a red fox").input_ids
    assert (numbers[0], numbers[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)


def test_the_t5_tokenizer_knows_its_words_and_spells_the_others() -> None:
    tokenizer = t5_tokenizer()
    assert tokenizer.tokenize("a red fox") == ["▁a", "▁red", "▁fox"]
    assert tokenizer.tokenize("zorbo") == ["▁", *"zorbo"]


def test_saved_tokenizers_read_alike(model_folders: dict[str, Path]) -> None:
    clip = CLIPTokenizer.from_pretrained(model_folders["flux"] / "tokenizer")
    t5 = T5Tokenizer.from_pretrained(model_folders["flux"] / "tokenizer_2")
    for line in (captions()[7], "Zorbo's hat, 3 owls!"):
        assert clip(line).input_ids == clip_tokenizer()(line).input_ids
        assert t5(line).input_ids == t5_tokenizer()(line).input_ids
