"""`/metrics` in Prometheus' text form."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from server.api.auth import ServicesDep
from server.domain.jobs import JobState
from server.services.breaker import BreakerState
from server.services.services import Services

router = APIRouter(tags=["operation"])

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)


class HttpMetrics:
    """Requests by method, route template and status."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "greenroom_http_request_duration_seconds",
            "Time until the whole answer was sent; event streams last as long as their listener.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; unknown methods share a label, so that labels stay few."""
        known = method if method in _METHODS else "other"
        self._seconds.labels(known, route, str(status)).observe(seconds)


class _Present(Collector):
    """Everything that is read from the services at the moment of a scrape."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        """Return the present values."""
        yield InfoMetricFamily("greenroom", "This server.", {"version": self._services.version})
        yield GaugeMetricFamily(
            "greenroom_listeners", "Open event streams.", self._services.active.listeners
        )
        yield self._jobs()
        yield self._workers()
        yield self._ended()
        yield self._pictures()
        yield self._money()
        yield from self._connections()

    def _jobs(self) -> Metric:
        jobs = GaugeMetricFamily("greenroom_jobs", "Unfinished jobs by state.", labels=["state"])
        counts = self._services.health.jobs_by_state()
        for state in (JobState.QUEUED, JobState.RUNNING):  # zeros too, so that graphs have no gaps
            jobs.add_metric([state.value], counts[state.value])
        return jobs

    def _workers(self) -> Metric:
        up = GaugeMetricFamily(
            "greenroom_worker_up", "1 when the worker can draw.", labels=["worker", "device"]
        )
        for worker in self._services.workers.list():
            up.add_metric([worker.id, worker.device], worker.state == "ready")
        return up

    def _ended(self) -> Metric:
        ended = CounterMetricFamily(
            "greenroom_jobs_ended", "Jobs that ended since the start.", labels=["state"]
        )
        for state in JobState:
            if state.is_final:
                ended.add_metric([state.value], self._services.tally.jobs[state])
        return ended

    def _pictures(self) -> Metric:
        pictures = SummaryMetricFamily(
            "greenroom_picture_duration_seconds",
            "Pictures drawn since the start, and their time on the device.",
            labels=["model", "worker"],
        )
        for (model, worker), drawn in self._services.tally.pictures.items():
            pictures.add_metric([model, worker], drawn.count, drawn.seconds)
        return pictures

    def _money(self) -> Metric:
        money = CounterMetricFamily(
            "greenroom_cost_micros",
            "Millionths of the currency that pictures with a known price cost since the start.",
            labels=["model", "worker", "currency"],
        )
        for labels, micros in self._services.tally.micros.items():
            money.add_metric(labels, micros)
        return money

    def _connections(self) -> Iterable[Metric]:
        state = GaugeMetricFamily(
            "greenroom_connection_state",
            "1 for what a call to the connection would meet: closed lets it pass.",
            labels=["connection", "state"],
        )
        waiting = GaugeMetricFamily(
            "greenroom_connection_waiting", "Pictures that wait for it.", labels=["connection"]
        )
        calls = CounterMetricFamily(
            "greenroom_connection_calls", "Calls that ended.", labels=["connection", "outcome"]
        )
        for health in self._services.circuits.all():
            for known in BreakerState:
                state.add_metric([health.name, known.value], health.state is known)
            waiting.add_metric([health.name], health.waiting_pictures)
            for outcome, count in health.calls_ended.items():
                calls.add_metric([health.name, outcome.value], count)
        return state, waiting, calls


@router.get(
    "/metrics",
    summary="Measurements for Prometheus",
    operation_id="get_metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus' text form", "content": {"text/plain": {}}}},
)
async def get_metrics(request: Request, services: ServicesDep) -> Response:
    """Jobs, workers, pictures and requests, of all owners. For administrators.

    In Prometheus' configuration: `authorization: {credentials: KEY}`.
    """
    now = CollectorRegistry()
    now.register(_Present(services))
    http: HttpMetrics = request.app.state.http_metrics
    body = generate_latest(now) + generate_latest(http.registry)
    return Response(body, media_type=CONTENT_TYPE_LATEST)
