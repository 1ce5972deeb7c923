"""Secrets from files, as orchestrators mount them: BLOTTER_SECRETS_DIRECTORY."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the variable names."""
    monkeypatch.setenv("BLOTTER_SECRETS_DIRECTORY", str(tmp_path))
    return tmp_path


def secret(settings: Settings, name: str) -> str | None:
    value = getattr(settings, name)
    return value.get_secret_value() if value else None


def test_files_hold_settings_and_a_variable_takes_precedence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "blotter_trader_password").write_text("from a file\n")
    (folder / "BLOTTER_EXECUTION_PASSWORD").write_text("in upper case")
    (folder / "blotter_compliance_password").write_text("from a file")
    (folder / "blotter_trader_pool_size").write_text("3")
    (folder / "postgres_password").write_text("of another program")
    monkeypatch.setenv("BLOTTER_COMPLIANCE_PASSWORD", "from the environment")
    settings = Settings()
    assert secret(settings, "trader_password") == "from a file"
    assert secret(settings, "execution_password") == "in upper case"
    assert secret(settings, "compliance_password") == "from the environment"
    assert settings.trader_pool_size == 3


def test_the_links_that_kubernetes_mounts_are_followed(folder: Path) -> None:
    version = folder / "..2026_11_27"
    version.mkdir()
    (version / "blotter_trader_password").write_text("first")
    (folder / "..data").symlink_to(version.name)
    (folder / "blotter_trader_password").symlink_to("..data/blotter_trader_password")
    assert secret(Settings(), "trader_password") == "first"


def test_a_file_that_is_no_setting_is_refused_by_name(folder: Path) -> None:
    (folder / "blotter_trader_pasword").write_text("hunter2")
    with pytest.raises(ValidationError, match="did you mean BLOTTER_TRADER_PASSWORD") as refused:
        Settings()
    assert "hunter2" not in str(refused.value)


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"BLOTTER_SECRETS_DIRECTORY=.* must be a folder that exists"):
        Settings(secrets_directory=tmp_path / "absent")
