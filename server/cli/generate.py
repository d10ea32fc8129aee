"""`greenroom generate`: the options; `server.cli.draw` does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.cli.console import INTERRUPTED, USAGE, CommandError
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
    image: Annotated[Path | None, typer.Option(help="A picture to start from.")] = None,
    strength: Annotated[
        float | None, typer.Option(help="With --image: 1 redraws all of it, 0.1 almost nothing.")
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
    }
    wish = Wish(
        options={name: value for name, value in options.items() if value is not None},
        output=output,
        file_format=file_format,
        image=image,
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
