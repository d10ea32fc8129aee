"""What was drawn and what it cost: as JSON, as a table for spreadsheets, as a plot."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from server.api.auth import CallerDep, ServicesDep
from server.domain.images import Id
from server.services.usage_plot import as_svg
from server.services.usage_views import UsageView, as_csv

router = APIRouter(prefix="/api/v1/usage", tags=["usage"])


class Form(StrEnum):
    """How a report is answered."""

    JSON = "json"
    CSV = "csv"
    SVG = "svg"

    @property
    def media_type(self) -> str:
        """The MIME type that `Accept` asks for it with."""
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    Form.JSON: "application/json",
    Form.CSV: "text/csv",
    Form.SVG: "image/svg+xml",
}
_OTHER_FORMS = {form.media_type: {"schema": {"type": "string"}} for form in (Form.CSV, Form.SVG)}


@router.get(
    "",
    summary="Look at usage",
    operation_id="get_usage",
    response_model=UsageView,
    responses={200: {"description": "The report", "content": _OTHER_FORMS}},
)
async def get_usage(
    caller: CallerDep,
    services: ServicesDep,
    start: Annotated[
        date | None, Query(alias="from", description="First day; absent: 30 days up to `to`")
    ] = None,
    end: Annotated[date | None, Query(alias="to", description="Last day; absent: today")] = None,
    key: Annotated[Id | None, Query(description="Only this key's, by its id")] = None,
    owner: Annotated[
        str | None, Query(max_length=64, description="For administrators: only this owner's")
    ] = None,
    form: Annotated[
        Form | None, Query(alias="format", description="Absent: what `Accept` asks for, or JSON")
    ] = None,
    accept: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """Return pictures, device seconds and money for each UTC day, key and model.

    You see what is your owner's; administrators see everything, or one owner's. `budgets` are
    those of the present month. Pictures that were deleted since are counted, too.
    """
    report = await services.usage.report(caller, start=start, end=end, owner=owner, key_id=key)
    form = form or _accepted(accept)
    if form is Form.CSV:
        name = f"usage-{report.start}-{report.end}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(as_csv(report), headers=headers, media_type=form.media_type)
    if form is Form.SVG:
        return Response(as_svg(report), media_type=form.media_type)
    return Response(report.model_dump_json(), media_type=form.media_type)


def _accepted(accept: str | None) -> Form:
    """Return the first form that the header names."""
    for wanted in (accept or "").lower().split(","):
        for form in Form:
            if wanted.partition(";")[0].strip() == form.media_type:
                return form
    return Form.JSON
