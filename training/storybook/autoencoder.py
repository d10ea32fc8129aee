"""The autoencoder's recipe: pictures to a sixteenth of their pixels and back, all hues included."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from training.storybook.books import Book, FirstBook
from training.storybook.loop import Average, Run, Schedule, Stateful, step_generator
from training.storybook.models import AutoencoderShape, build_autoencoder
from training.storybook.muon import muon_for
from training.storybook.pictures import Pixels, cached, scribbles, training_pictures
from training.storybook.untyped import Autoencoder

AUTOENCODER_EDGES = {"conv_in", "conv_out", "quant_conv", "post_quant_conv"}
TEST_SEEDS = range(10_000_000, 10_000_256)


@dataclass(frozen=True)
class AutoencoderRecipe:
    """All that decides what the autoencoder becomes."""

    shape: AutoencoderShape = field(default_factory=AutoencoderShape)
    schedule: Schedule = field(default_factory=lambda: Schedule(3300, 3e-3))
    batch_size: int = 12
    size: int = 64
    world_pictures: int = 20_000
    scribbled_pictures: int = 6_000
    kl_weight: float = 1e-4
    decay: float = 0.995
    seed: int = 1
    book: Book = field(default_factory=FirstBook)


def as_tensor(pixels: Pixels) -> torch.Tensor:
    """Return bytes (batch, h, w, 3) as floats (batch, 3, h, w) in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_autoencoder(recipe: AutoencoderRecipe, folder: Path, *, bfloat16: bool) -> Autoencoder:
    """Train, or go on training, in `folder`; return the averaged model in eval mode."""
    torch.manual_seed(recipe.seed)
    model = build_autoencoder(recipe.shape)
    pictures = _pictures(recipe, folder.parent)
    optimizer = muon_for([model], recipe.schedule.learning_rate, 1e-3, AUTOENCODER_EDGES)
    average = Average({"vae": model}, recipe.decay)

    def take_step(step: int) -> dict[str, float]:
        generator = step_generator(recipe.seed, step)
        x = training_batch(pictures, recipe.batch_size, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            latents = model.encode(x).latent_dist
            noise = torch.randn(latents.mean.shape, generator=generator)
            y = model.decode(latents.mean + latents.std * noise).sample
        mean, logvar = latents.mean.float(), latents.logvar.float()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        loss = reconstruction_loss(y.float(), x)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss + recipe.kl_weight * kl)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(step)
        error = (y.detach().float() - x).square().mean().item()
        return {"loss": loss.item(), "kl": kl.item(), "psnr": -10 * math.log10(error / 4)}

    parts: dict[str, Stateful] = {"vae": model, "optimizer": optimizer, "average": average}
    Run(folder, recipe.schedule).train(parts, optimizer, take_step)
    average.swap()
    return model.eval()


def training_batch(pictures: Pixels, size: int, generator: torch.Generator) -> torch.Tensor:
    """Return (size, 3, h, w) pictures; half mirrored, a third with their colours exchanged.

    Exchanged channels turn every hue into others, so that none is rare.
    """
    rows = torch.randint(0, len(pictures), (size,), generator=generator)
    x = as_tensor(pictures[np.sort(rows.numpy())])
    mirrored = torch.rand(size, generator=generator) < 0.5
    x[mirrored] = x[mirrored].flip(-1)
    for row in range(size // 3):
        x[row * 3] = x[row * 3][torch.randperm(3, generator=generator)]
    return x


def reconstruction_loss(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return how far pictures are apart: values, squares for large errors, edges for sharpness."""
    down, right = (y - x).diff(dim=-2), (y - x).diff(dim=-1)
    edges = down.abs().mean() + right.abs().mean()
    return (y - x).abs().mean() + (y - x).square().mean() + 0.5 * edges


@torch.no_grad()
def psnr(model: Autoencoder, pictures: Pixels) -> float:
    """Return the mean over pictures of the peak signal-to-noise ratio, in dB."""
    errors = []
    for start in range(0, len(pictures), 32):
        x = as_tensor(pictures[start : start + 32])
        y = model.decode(model.encode(x).latent_dist.mean).sample.clamp(-1, 1)
        errors.append((y - x).square().mean((1, 2, 3)) / 4)
    return float((-10 * torch.cat(errors).log10()).mean())


def _pictures(recipe: AutoencoderRecipe, folder: Path) -> Pixels:
    path = (
        folder / f"pictures-{recipe.size}-{recipe.world_pictures}-{recipe.scribbled_pictures}.npy"
    )
    found = cached(path)
    if found is None:
        world = training_pictures(recipe.book, range(recipe.world_pictures), recipe.size)
        shapes = scribbles(range(recipe.scribbled_pictures), recipe.size)
        found = cached(path, np.concatenate([world, shapes]))
    if found is None:
        raise FileNotFoundError(f"the pictures could not be written to {path.name}")
    return np.asarray(found)
