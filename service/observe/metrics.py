"""What is counted, for Prometheus: requests here; jobs and workers when somebody asks."""

import logging
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from service.errors import ServiceError

log = logging.getLogger(__name__)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Limits of the histogram: from a tile of the cache to a download."""


class RequestMetrics:
    """Counts requests.

    Args:
        registry: of the application.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "microtome_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "microtome_request_seconds",
            "Time until the last byte of an answer was sent.",
            ("method", "route"),
            buckets=SECONDS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "microtome_requests_in_progress",
            "Requests that are being answered.",
            registry=registry,
        )
        ProcessCollector(registry=registry)


class Asked(Collector):
    """A gauge with one label, whose values are asked for when somebody looks.

    Args:
        name: of the metric.
        about: what it is.
        label: what tells its values apart.
        ask: gives the values.
    """

    def __init__(
        self, name: str, about: str, label: str, ask: Callable[[], Mapping[str, float]]
    ) -> None:
        self._name, self._about, self._label, self._ask = name, about, label, ask

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask."""
        family = GaugeMetricFamily(self._name, self._about, labels=[self._label])
        try:
            found = self._ask()
        except (ServiceError, SQLAlchemyError, OSError) as err:
            log.warning("%s: %s", self._name, err)  # the other numbers are wanted now most of all
            found = {}
        for key, value in found.items():
            family.add_metric([key], value)
        yield family

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metric without asking."""
        yield GaugeMetricFamily(self._name, self._about, labels=[self._label])
