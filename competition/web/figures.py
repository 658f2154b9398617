"""Prometheus figures of one page process, and of the table that all share."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from competition.web.storage import Storage
from competition.web.tables import Job, Upload

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Figures:
    """Counts requests; the rest is read from the table when somebody asks."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "web_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "web_request_seconds",
            "Seconds to an answer",
            ["route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def page(self, engine: Engine, storage: Storage) -> bytes:
        """All figures as Prometheus reads them."""
        table = CollectorRegistry()
        table.register(_Table(engine, storage))
        return generate_latest(self.registry) + generate_latest(table)


class _Table:
    def __init__(self, engine: Engine, storage: Storage) -> None:
        self.engine, self.storage = engine, storage

    def collect(self) -> Iterator[Metric]:
        with Session(self.engine) as session:
            jobs = session.execute(
                select(Job.operation, Job.state, func.count()).group_by(Job.operation, Job.state)
            ).all()
            uploads = session.execute(select(Upload.state, func.count()).group_by(Upload.state)).all()
        of_jobs = GaugeMetricFamily("web_jobs", "Jobs in the table", labels=["operation", "state"])
        for operation, state, count in jobs:
            of_jobs.add_metric([operation, state], count)
        of_uploads = GaugeMetricFamily("web_uploads", "Uploads in the table", labels=["state"])
        for state, count in uploads:
            of_uploads.add_metric([state], count)
        free = GaugeMetricFamily("web_free_bytes", "Bytes that may still be written", value=self.storage.free())
        yield from (of_jobs, of_uploads, free)
