"""Loads any vision model of transformers from a local folder as an embedder.

The bundled Storybook critic, DINOv2, CLIP and SigLIP all come in by this one door; none of them is
named here. What they differ in stands in their own configuration files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError

from server.domain.errors import ModelUnavailableError
from server.likeness.preprocessing import Preprocessing, ProcessingError, read_preprocessing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

STORYBOOK_CRITIC = Path(__file__).parents[1] / "assets" / "storybook-critic"
BATCH = 32  # pictures at once: enough to be fast, few enough for a small card
# What a damaged, incomplete or foreign folder makes transformers raise.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError)


class FolderEmbedder:
    """A vision model and its preprocessing; an `Embedder`."""

    def __init__(self, model: Any, preprocessing: Preprocessing, name: str) -> None:  # noqa: ANN401 - transformers has no types
        self._model = model
        self._preprocessing = preprocessing
        self._name = name
        self._width = self._probe()

    @property
    def width(self) -> int:
        """How many numbers a direction has."""
        return self._width

    def embed(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return (pictures, width), each row of length 1.

        Raises:
            ProcessingError: the model's configuration leaves the pictures in several sizes.
        """
        rows = [
            self._embedded(self._preprocessing.pixels(pictures[start : start + BATCH]))
            for start in range(0, len(pictures), BATCH)
        ]
        return np.concatenate([np.zeros((0, self._width), np.float32), *rows])

    @torch.inference_mode()
    def _embedded(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        batch = torch.from_numpy(pixels).to(self._model.device, self._model.dtype)
        pooled = self._pooled(batch).flatten(1).float()
        return np.asarray(torch.nn.functional.normalize(pooled, dim=1).cpu().numpy())

    def _pooled(self, batch: torch.Tensor) -> torch.Tensor:
        """Return one vector a picture; models that also read text have a projection for it."""
        whole = getattr(self._model, "get_image_features", None)
        output = (whole or self._model)(pixel_values=batch)
        pooled = getattr(output, "pooler_output", None)
        if not isinstance(pooled, torch.Tensor):
            raise ModelUnavailableError(
                f"'{self._name}' has no pooled output; use a model such as DINOv2, CLIP or SigLIP"
            )
        return pooled

    def _probe(self) -> int:
        from PIL import Image

        grey = Image.new("RGB", (64, 64), (128, 128, 128))
        return int(self._embedded(self._preprocessing.pixels([grey])).shape[1])


def load_embedder(folder: Path, device: torch.device | str = "cpu") -> FolderEmbedder:
    """Return the vision model in `folder` as an embedder; nothing is fetched and no code is run.

    Args:
        folder: `config.json`, `preprocessor_config.json` and weights in safetensors.
        device: where it computes; a GPU in half precision.

    Raises:
        ModelUnavailableError: the folder holds no such model, or one that is damaged.
    """
    from transformers import AutoModel

    dtype = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
    try:
        preprocessing = read_preprocessing(folder)
        model = AutoModel.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
        return FolderEmbedder(model.to(device).eval(), preprocessing, folder.name)
    except ProcessingError as error:
        raise ModelUnavailableError(f"no embedder in '{folder.name}': {error}") from error
    except _DAMAGE as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ModelUnavailableError(
            f"no embedder in '{folder.name}' ({type(error).__name__}); it needs config.json, "
            "preprocessor_config.json and model.safetensors of a vision model of transformers"
        ) from error
