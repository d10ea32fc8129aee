"""Every surface, mounted: what is open to all is named here, all else needs a caller."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends, FastAPI

from server.api import (
    adapters,
    chains,
    connections,
    estimates,
    events,
    health,
    images,
    jobs,
    keys,
    links,
    metrics,
    models,
    openai,
    openai_errors,
    openapi,
    problems,
    signin,
    uploads,
    usage,
    workers,
)
from server.api.answers import install_handlers
from server.api.auth import need_admin, need_generate
from server.api.bodies import BodyCap
from server.api.guard import Guard
from server.api.observe import Observe
from server.api.pages import install_pages

# Beside these only the page's own files are open; they hold no data.
OPEN: tuple[APIRouter, ...] = (health.router, links.router, signin.public)
DRAWING: tuple[APIRouter, ...] = (
    jobs.router,
    estimates.router,
    events.router,
    images.router,
    models.router,
    uploads.router,
    adapters.router,
    usage.router,
    signin.private,
    openapi.router,
)
ADMINISTRATION: tuple[APIRouter, ...] = (
    keys.router,
    workers.router,
    chains.router,
    chains.health_router,
    connections.router,
    models.admin_router,
    adapters.admin_router,
    metrics.router,  # of all owners
)


def install(app: FastAPI, *, allowed_hosts: Sequence[str]) -> None:
    """Give `app` its routes, its door and its words for errors.

    Args:
        app: its `state.services` is set before the first request.
        allowed_hosts: names this server is reached by, besides loopback and IP addresses.
    """
    common = problems.documented(401, 403, 422, 500, 503)
    drawing, admin = [Depends(need_generate)], [Depends(need_admin)]
    for router in OPEN:
        app.include_router(router)
    for router in DRAWING:
        app.include_router(router, dependencies=drawing, responses=common)
    for router in ADMINISTRATION:
        app.include_router(router, dependencies=admin, responses=common)
    app.include_router(
        openai.router,
        dependencies=drawing,
        responses=openai_errors.documented(400, 401, 402, 403, 500, 503),
    )
    install_pages(app)
    install_handlers(app)
    openapi.install_openapi(app)
    app.state.http_metrics = metrics.HttpMetrics()
    app.add_middleware(BodyCap)
    app.add_middleware(Guard, allowed_hosts=allowed_hosts)
    app.add_middleware(Observe, metrics=app.state.http_metrics)  # last added: outermost
