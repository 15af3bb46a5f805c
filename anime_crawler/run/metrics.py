"""The status as Prometheus metrics; names are stable, a new meaning gets a new name."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest


def metrics_text(status: dict[str, Any]) -> str:
    """The text exposition format of what `read_status` gives."""
    registry = CollectorRegistry()

    def gauge(name: str, help_: str, *labels: str) -> Gauge:
        return Gauge(f"anime_crawler_{name}", help_, labels, registry=registry)

    rows = gauge("catalogue_rows", "Rows in the catalogue", "kind")
    for kind, count in status["counts"].items():
        rows.labels(kind).set(count)
    letters = gauge("dead_letters", "Records set aside", "stage", "source", "kind")
    for row in status["dead_letters"]:
        letters.labels(row["stage"], row["source"], row["kind"]).set(row["count"])
    pending = gauge("to_deliver", "What the backend does not hold yet", "kind")
    for kind, count in status["to_deliver"].items():
        pending.labels(kind).set(count)
    exit_code = gauge("last_exit_code", "Exit code of the newest run", "spider")
    for run in reversed(status["runs"]):
        if run["exit_code"] is not None:
            exit_code.labels(run["spider"]).set(run["exit_code"])
    drift = gauge("drift_total", "Fields that do not match the schema, over all runs", "source", "path", "change")
    for row in status["drift"]:
        drift.labels(row["source"], row["path"], row["change"]).set(row["count"])
    return generate_latest(registry).decode()
