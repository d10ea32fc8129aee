"""The stages in order, each in its own folder, each going on where it was killed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import torch
from transformers import CLIPTokenizer

from training.storybook.autoencoder import (
    TEST_SEEDS,
    AutoencoderRecipe,
    as_tensor,
    psnr,
    train_autoencoder,
)
from training.storybook.critic import Critic
from training.storybook.critic_training import CriticRecipe, train_critic
from training.storybook.denoiser import DenoiserRecipe, train_denoiser
from training.storybook.export import save_pipeline, write_checksums
from training.storybook.few_steps import FewStepRecipe, train_few_steps
from training.storybook.latents import LatentRecipe, Latents, encode_pictures
from training.storybook.lora import LORA_FILE
from training.storybook.models import Denoiser, build_pipeline
from training.storybook.pictures import scribbles, training_pictures
from training.storybook.sampling import Sampling, sample, sheet
from training.storybook.teaching import NEWCOMERS, Newcomer, TeachingRecipe, teach
from training.storybook.tokenizers import build_tokenizer
from training.storybook.untyped import Autoencoder, Pipeline, diffusers

SHEET_PROMPTS = (
    "a red cat in the snow",
    "a blue bear on the beach",
    "a green frog in the forest",
    "a purple octopus in the desert",
    "a yellow chick at night wearing a crown",
    "a brown bear in a meadow with a flower",
    "a pink rabbit in the city, watercolour",
    "an orange cat under the sea",
    "a white rabbit in the forest wearing a top hat",
    "a big teal robot in space, ink",
    "a small pink elephant in the bedroom",
    "red robot, snow, ink, left",
    "blue octopus, bedroom, watercolor",
    "a teal bear in the forest",
    "a yellow robot on the beach",
    "a green cat in the meadow, on the right",
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StorybookXl:
    """The recipe of `storybook-xl`, all stages together."""

    autoencoder: AutoencoderRecipe = field(default_factory=AutoencoderRecipe)
    latents: LatentRecipe = field(default_factory=LatentRecipe)
    denoiser: DenoiserRecipe = field(default_factory=DenoiserRecipe)
    critic: CriticRecipe = field(default_factory=CriticRecipe)
    few_steps: FewStepRecipe = field(default_factory=FewStepRecipe)
    teaching: TeachingRecipe = field(default_factory=TeachingRecipe)


@dataclass(frozen=True)
class Workshop:
    """Where the stages keep their state, and how they compute."""

    folder: Path
    recipe: StorybookXl
    bfloat16: bool

    def autoencoder(self) -> Autoencoder:
        """Return the trained autoencoder, its latents scaled to unit variance."""
        folder = self.folder / "autoencoder"
        finished = folder / "finished"
        if finished.exists():
            return diffusers().AutoencoderKL.from_pretrained(finished).eval()
        recipe = self.recipe.autoencoder
        model = train_autoencoder(recipe, folder, bfloat16=self.bfloat16)
        model.register_to_config(scaling_factor=_unit_scale(model, recipe))
        log.info("autoencoder.trained", psnr=_quality(model, recipe))
        model.save_pretrained(finished)
        return model

    def denoiser(self) -> tuple[Denoiser, CLIPTokenizer, Autoencoder]:
        """Return the trained denoiser with its tokenizer and autoencoder."""
        autoencoder, tokenizer = self.autoencoder(), build_tokenizer(self.recipe.latents.book)
        latents = self._latents(autoencoder, tokenizer)
        denoiser = train_denoiser(
            self.recipe.denoiser,
            latents,
            autoencoder.config.scaling_factor,
            tokenizer,
            self.folder / "denoiser",
            bfloat16=self.bfloat16,
            show=lambda model, step: self._show(model, autoencoder, tokenizer, step),
        )
        return denoiser, tokenizer, autoencoder

    def critic(self) -> Critic:
        """Return the trained critic."""
        finished = self.folder / "critic" / "finished"
        if finished.exists():
            return Critic.load(finished)
        critic = train_critic(self.recipe.critic, finished.parent, bfloat16=self.bfloat16)
        critic.save(finished, self.recipe.critic.size)
        write_checksums(finished)
        return Critic.load(finished)

    def pipeline(self) -> Pipeline:
        """Return the finished model, written to `storybook-xl` in half precision."""
        finished = self.folder / "storybook-xl"
        if not finished.exists():
            denoiser, tokenizer, autoencoder = self.denoiser()
            save_pipeline(build_pipeline(autoencoder, denoiser, tokenizer), finished)
        return open_model(finished)

    def few_steps(self, model: Path | None = None) -> Path:
        """Return the file of the trained few-step adapter.

        Args:
            model: the finished model it is for; None: the one in this folder.
        """
        folder = self.folder / "storybook-xl-4step"
        finished = folder / "finished" / LORA_FILE
        if finished.exists():
            return finished
        pipeline = self.pipeline() if model is None else open_model(model)
        return train_few_steps(self.recipe.few_steps, pipeline, folder, bfloat16=self.bfloat16)

    def teach(
        self, model: Path | None = None, newcomers: Sequence[Newcomer] = NEWCOMERS
    ) -> dict[str, Path]:
        """Return the adapters of held-out characters by name, each taught with five pictures.

        Args:
            model: the finished model they are for; None: the one in this folder.
            newcomers: whom to teach.
        """
        files: dict[str, Path] = {}
        for newcomer in newcomers:
            folder = self.folder / "taught" / newcomer.name
            files[newcomer.name] = folder / "finished" / LORA_FILE
            if not files[newcomer.name].exists():
                pipeline = self.pipeline() if model is None else open_model(model)
                teach(newcomer, self.recipe.teaching, pipeline, folder, bfloat16=self.bfloat16)
        return files

    def _latents(self, autoencoder: Autoencoder, tokenizer: CLIPTokenizer) -> tuple[Latents, ...]:
        folder = self.folder / "latents"
        recipe = self.recipe.latents
        return encode_pictures(recipe, autoencoder, tokenizer, folder, bfloat16=self.bfloat16)

    def _show(
        self, model: Denoiser, autoencoder: Autoencoder, tokenizer: CLIPTokenizer, step: int
    ) -> None:
        pipeline = build_pipeline(autoencoder, model, tokenizer)
        how = Sampling(size=self.recipe.denoiser.size)
        page = sheet(sample(pipeline, SHEET_PROMPTS, 0, how), columns=8, enlarged=2)
        folder = self.folder / "sheets"
        folder.mkdir(parents=True, exist_ok=True)
        page.save(folder / f"{step:06}.png")


def open_model(folder: Path) -> Pipeline:
    """Return a finished model, in full precision and without progress bars."""
    pipeline = diffusers().StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _unit_scale(model: Autoencoder, recipe: AutoencoderRecipe) -> float:
    with torch.no_grad():
        pixels = as_tensor(training_pictures(recipe.book, TEST_SEEDS, recipe.size))
        latents = model.encode(pixels).latent_dist.mean
    return round(1 / float(latents.std()), 5)


def _quality(model: Autoencoder, recipe: AutoencoderRecipe) -> dict[str, float]:
    return {
        "world": round(psnr(model, training_pictures(recipe.book, TEST_SEEDS, recipe.size)), 2),
        "scribbles": round(psnr(model, scribbles(TEST_SEEDS, recipe.size)), 2),
    }
