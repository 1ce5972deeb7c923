"""The settings of the log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class LogSettings(BaseSettings):
    """What is logged, and how."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Minimum level that is logged.")
    log_calls: Literal["all", "slow_and_failed", "none"] = Field("all", description="Which calls are logged.")
    log_slow_ms: int = Field(
        1000, ge=0, description="Duration from which a call is slow, for LOG_CALLS=slow_and_failed."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Format of the log; auto: text on a terminal, else JSON."
    )
