"""How much work a request is: the currency of fairness."""

from __future__ import annotations

from server.domain.images import ResolvedRequest
from server.domain.models import Family

# FLOPs of one forward of one row at 1024 x 1024, two per multiply-add, counted on the real
# networks with torch's FlopCounterMode on the meta device (Flux with 512 text tokens).
_FLOPS_AT_1024 = {Family.SDXL: 6.761e12, Family.FLUX: 74.38e12}
_DECODE_AT_1024 = 10.47e12
_ENCODE_AT_1024 = 4.88e12


def rows_per_step(family: Family, request: ResolvedRequest) -> int:
    """Return 2 where classifier-free guidance needs a second row, else 1."""
    scale = request.guidance_scale if family is Family.SDXL else request.true_cfg_scale
    return 2 if scale is not None and scale > 1 else 1


def denoising_steps(request: ResolvedRequest) -> int:
    """Return the steps that really run for one picture; image to image skips the first ones.

    A picture of a model that knows no steps counts as one.
    """
    steps = request.num_inference_steps
    if steps is None:
        return 1
    if request.image is None or request.strength is None:
        return steps
    wanted = min(steps * request.strength, steps)
    # As diffusers has it: FLUX.1, which alone has a sequence length, rounds what it leaves out.
    is_flux = request.max_sequence_length is not None
    return max(1, steps - int(steps - wanted) if is_flux else int(wanted))


def flops(family: Family, request: ResolvedRequest) -> float:
    """Return the work of all pictures of a request.

    Nearly proportional to pixels; attention's square is in the exponent (1.10 fits the counts
    for 512² to 2048² within 15 %). A smaller network of the same family counts as a full one:
    fairness only compares requests. Masks cost a network nothing that could be measured, and
    references are always looked at as one picture of about 1024 x 1024, in every step. What a
    remote service draws is no work of ours.
    """
    if family is Family.REMOTE:
        return 0.0
    area = request.width * request.height / 1024**2
    references = 1.0 if request.references else 0.0
    at_size: float = (area + references) ** 1.10
    steps = denoising_steps(request)
    denoise = steps * rows_per_step(family, request) * _FLOPS_AT_1024[family] * at_size
    encode = _ENCODE_AT_1024 * (_encodes(request) * area + references)
    return request.num_images * (denoise + encode + _DECODE_AT_1024 * area)


def _encodes(request: ResolvedRequest) -> int:
    """Return how often a picture of the size to draw is encoded; a masked one is another."""
    if request.image is None:
        return 0
    return 1 if request.mask is None and request.outpaint is None else 2
