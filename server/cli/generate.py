"""`greenroom generate`: the options; `server.cli.draw` does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.cli.console import INTERRUPTED, USAGE, CommandError
from server.cli.typed import adapter as typed_adapter
from server.cli.typed import named_values, pair, sides
from server.cli.wish import Wish


def generate(
    prompt: Annotated[
        str | None, typer.Argument(help="What to draw. With --recipe it may be absent.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File or folder; .png, .webp or .jpg. An existing file is kept."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Id or alias.")] = None,
    negative: Annotated[str | None, typer.Option(help="What should not be in it.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    shape: Annotated[
        str | None, typer.Option(help="Instead of width and height, such as 16:9.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same picture.")] = None,
    num: Annotated[int | None, typer.Option("--num", "-n", help="Pictures, 1 to 4.")] = None,
    style: Annotated[str | None, typer.Option(help="One of the model's styles.")] = None,
    image: Annotated[
        Path | None, typer.Option(help="A picture to start from, or to repaint.")
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            help="With --image: 1 redraws all of it, 0.1 almost nothing. With a mask it is 1 "
            "unless given."
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="With --image: white is drawn anew, black is kept. Of the same shape."),
    ] = None,
    outpaint: Annotated[
        str | None,
        typer.Option(
            help="With --image: widen it, by parts of its own width and height, such as "
            "left=0.5,right=0.5."
        ),
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            help="A picture that the prompt speaks of, for models that edit; as often as the model "
            "takes, at most 16 times."
        ),
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME or NAME:WEIGHT of an adapter to draw with, such as ink:0.8; up to 8 times."
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="What the picture may give up, if the model offers it: exact, memory or fast."
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE of a parameter that this model alone has, such as quality=high."
        ),
    ] = None,
    clip_skip: Annotated[
        int | None, typer.Option(help="SDXL: leave out this many of the last text layers.")
    ] = None,
    guidance_rescale: Annotated[
        float | None, typer.Option(help="SDXL: against glaring colours of strong guidance, 0 to 1.")
    ] = None,
    original_size: Annotated[
        str | None, typer.Option(help="SDXL's size conditions: HEIGHT,WIDTH of the original.")
    ] = None,
    crop: Annotated[str | None, typer.Option(help="Likewise: TOP,LEFT of the crop.")] = None,
    target_size: Annotated[
        str | None, typer.Option(help="Likewise: HEIGHT,WIDTH that is meant.")
    ] = None,
    negative_original_size: Annotated[
        str | None, typer.Option(help="HEIGHT,WIDTH to guide away from.")
    ] = None,
    negative_crop: Annotated[str | None, typer.Option(help="TOP,LEFT to guide away from.")] = None,
    negative_target_size: Annotated[
        str | None, typer.Option(help="HEIGHT,WIDTH to guide away from.")
    ] = None,
    fallback: Annotated[
        str | None,
        typer.Option(
            help="Who else of the server's chain may draw if the model cannot: never, local or any."
        ),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option("--format", help="png, webp or jpeg; else as the file's name says."),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="A picture of ours or a recipe's JSON: draw it again. Options change it."
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            envvar="GREENROOM_URL", help="A server's address; else the one that runs here."
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="GREENROOM_KEY", help="API key for --server.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Draw pictures, through the running server or, without one, in this process."""
    if prompt is None and recipe is None:
        raise CommandError("say what to draw, or give --recipe FILE", exit_code=USAGE)
    options = {
        "prompt": prompt,
        "model": model,
        "negative_prompt": negative,
        "width": width,
        "height": height,
        "aspect_ratio": shape,
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "seed": seed,
        "num_images": num,
        "style": style,
        "strength": strength,
        "outpaint": sides("--outpaint", outpaint),
        "adapters": [typed_adapter("--adapter", each) for each in adapter] if adapter else None,
        "profile": profile,
        "options": named_values("--option", option) if option else None,
        "fallback": fallback,
        "clip_skip": clip_skip,
        "guidance_rescale": guidance_rescale,
        "original_size": pair("--original-size", original_size),
        "crops_coords_top_left": pair("--crop", crop),
        "target_size": pair("--target-size", target_size),
        "negative_original_size": pair("--negative-original-size", negative_original_size),
        "negative_crops_coords_top_left": pair("--negative-crop", negative_crop),
        "negative_target_size": pair("--negative-target-size", negative_target_size),
    }
    wish = Wish(
        options={name: value for name, value in options.items() if value is not None},
        output=output,
        file_format=file_format,
        image=image,
        mask=mask,
        references=tuple(reference or ()),
        recipe=recipe,
        server=server,
        key=key,
        force=force,
    )
    _draw(wish, as_json=as_json)


def _draw(wish: Wish, *, as_json: bool) -> None:
    import asyncio

    from server.cli.console import notes
    from server.cli.draw import draw, report

    try:
        saved = asyncio.run(draw(wish, is_quiet=as_json))
    except KeyboardInterrupt:
        notes().print("Cancelled.")
        raise typer.Exit(INTERRUPTED) from None
    report(saved, as_json=as_json)
