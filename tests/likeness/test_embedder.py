"""Every vision model comes in by one door, and sees what transformers' own processors show it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

from server.domain.errors import ModelUnavailableError
from server.domain.likeness import Embedder
from server.likeness.embedder import BATCH, load_embedder
from server.likeness.preprocessing import ProcessingError, read_preprocessing

Pictures = Sequence[Image.Image]


def theirs(folder: Path, pictures: Pictures) -> np.ndarray:
    """What transformers alone makes of the pictures, one by one."""
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = AutoModel.from_pretrained(folder).eval()
    rows = []
    for picture in pictures:
        pixels = processor(picture.convert("RGB"), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            whole = getattr(model, "get_image_features", model)
            pooled = whole(pixel_values=pixels).pooler_output.flatten(1)
        rows.append(torch.nn.functional.normalize(pooled, dim=1).numpy())
    return np.concatenate(rows)


def test_pictures_become_the_directions_that_transformers_gives_them(
    folder: Path, pictures: Pictures
) -> None:
    embedder: Embedder = load_embedder(folder)
    ours = embedder.embed(pictures)
    assert ours.shape == (len(pictures), embedder.width)
    assert ours.dtype == np.float32
    assert np.abs(np.linalg.norm(ours, axis=1) - 1).max() < 1e-5
    assert np.abs(ours - theirs(folder, pictures)).max() < 1e-4
    assert np.abs(ours[0] - ours[2]).max() > 1e-3


def test_pixels_are_those_of_transformers(folder: Path, pictures: Pictures) -> None:
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    ours = read_preprocessing(folder).pixels(pictures)
    for row, picture in zip(ours, pictures, strict=True):
        rgb = picture.convert("RGB")
        assert np.abs(row - processor(rgb, return_tensors="np")["pixel_values"][0]).max() < 1e-5


def test_more_pictures_than_fit_a_batch_come_out_in_their_order(
    folder: Path, pictures: Pictures
) -> None:
    embedder = load_embedder(folder)
    many = [pictures[i % 3] for i in range(BATCH + 3)]
    rows = embedder.embed(many)
    assert np.abs(rows[3:] - rows[:-3]).max() < 1e-5
    assert embedder.embed([]).shape == (0, embedder.width)


def test_a_folder_without_its_processor_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "bare")
    (copy / "preprocessor_config.json").unlink()
    with pytest.raises(ModelUnavailableError, match=r"'bare': it has no readable preprocessor"):
        load_embedder(copy)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"do_pad": True}, "do_pad"),
        ({"size": {"longest_edge": 64}}, "longest_edge"),
        ({"size": "large"}, "'large'"),
        ({"image_mean": [0.5]}, "three numbers"),
        ({"rescale_factor": "1/255"}, "should be a number"),
        ({"do_center_crop": True, "crop_size": 96, "size": 64}, "crop"),
    ],
)
def test_a_step_that_is_not_done_here_is_refused_by_name(
    changes: dict[str, object], said: str, folder: Path, tmp_path: Path
) -> None:
    config = json.loads((folder / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ProcessingError, match=said):
        read_preprocessing(tmp_path)


def test_pictures_that_stay_of_several_sizes_are_refused(
    folder: Path, tmp_path: Path, pictures: Pictures
) -> None:
    config = json.loads((folder / "preprocessor_config.json").read_text())
    changes = {"do_resize": False, "do_center_crop": False}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ProcessingError, match="several sizes"):
        read_preprocessing(tmp_path).pixels(pictures)


def test_damaged_weights_are_a_named_error(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "damaged")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelUnavailableError, match="'damaged'"):
        load_embedder(copy)


def test_a_pickle_is_never_opened(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "pickled")
    (copy / "model.safetensors").unlink()
    torch.save(AutoModel.from_pretrained(folder).state_dict(), copy / "pytorch_model.bin")
    with pytest.raises(ModelUnavailableError, match="safetensors"):
        load_embedder(copy)
