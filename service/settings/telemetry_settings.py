"""The settings of metrics and traces."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from service.settings.serving_settings import is_address


class TelemetrySettings(BaseSettings):
    """Where operators read metrics, and where metrics and traces are sent."""

    metrics_listen: str | None = Field(
        None,
        description="Address of the Prometheus endpoint /metrics: HOST:PORT or [IPv6]:PORT; unset: no endpoint.",
    )
    otlp_endpoint: str | None = Field(
        None,
        description="URL of an OpenTelemetry collector (OTLP over gRPC), such as http://localhost:4317; "
        "unset: nothing is sent.",
    )
    otlp_seconds: float = Field(15, gt=0, description="Interval at which metrics are sent to the collector.")
    trace_ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of the calls without a traceparent that are traced; "
        "a call with one is traced if its client has sampled it.",
    )

    @field_validator("metrics_listen")
    @classmethod
    def _require_host_and_port(cls, listen: str | None) -> str | None:
        if listen is not None and (listen.startswith("unix:") or not is_address(listen)):
            raise ValueError("must be HOST:PORT or [IPv6]:PORT, such as 127.0.0.1:9464")
        return listen

    @field_validator("otlp_endpoint")
    @classmethod
    def _require_url(cls, url: str | None) -> str | None:
        if url is not None:
            parts = urlsplit(url)
            if (
                parts.scheme not in {"http", "https"}
                or not parts.hostname
                or "@" in parts.netloc
                or parts.path.strip("/")
            ):
                raise ValueError("must be a URL without a user and a path, such as http://localhost:4317")
        return url
