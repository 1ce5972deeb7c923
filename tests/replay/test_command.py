"""The command line of the replay, in cases in which nothing can be played."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli.replay import demo, replay


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A target without a listening server."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    """A small message file."""
    path = tmp_path / "messages.csv"
    path.write_text("34200.1,1,7,18,5853300,1\n")
    return path


def test_the_replay_without_a_service(messages: Path, nowhere: str) -> None:
    result = CliRunner().invoke(
        replay, [str(messages), "--symbol", "AAPL", "--date", "2012-06-21", "--target", nowhere]
    )
    assert result.exit_code == 3
    assert f"The service at {nowhere} is not available" in result.output
    assert "Traceback" not in result.output


def test_the_demo_without_a_service(nowhere: str) -> None:
    result = CliRunner().invoke(demo, ["--target", nowhere])
    assert result.exit_code == 3
    assert "make run" in result.output


def test_a_malformed_file(tmp_path: Path) -> None:
    path = tmp_path / "messages.csv"
    path.write_text("34200.1,1,7,18,5853300,1\nnot a message\n")
    result = CliRunner().invoke(replay, [str(path), "--symbol", "AAPL", "--date", "2012-06-21"])
    assert result.exit_code == 3
    assert "messages.csv, line 2: 6 columns are required, not 1" in result.output


def test_symbol_and_date_are_taken_from_lobsters_file_name(tmp_path: Path, nowhere: str) -> None:
    path = tmp_path / "AAPL_2012-06-21_34200000_57600000_message_10.csv"
    path.write_text("34200.1,1,7,18,5853300,1\n")
    result = CliRunner().invoke(replay, [str(path), "--target", nowhere])
    assert "AAPL on 2012-06-21: 1 submits" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --symbol and --date"),
        (["--symbol", "AAPL"], "give --symbol and --date"),
        (["--symbol", "AAPL", "--date", "21.6.2012"], "--date"),
        (["--symbol", "AAPL", "--date", "2012-06-21", "--traders", "5"], "add others with --trader-id"),
        (["--symbol", "AAPL", "--date", "2012-06-21", "--trader-id", "Ada"], "--trader-id"),
    ],
)
def test_invalid_arguments(arguments: list[str], message: str, messages: Path) -> None:
    result = CliRunner().invoke(replay, [str(messages), *arguments])
    assert result.exit_code == 2
    assert message in result.output


def test_a_file_that_does_not_exist() -> None:
    result = CliRunner().invoke(replay, ["nothing.csv", "--symbol", "AAPL", "--date", "2012-06-21"])
    assert result.exit_code == 2
    assert "nothing.csv" in result.output


def test_a_file_without_messages_is_not_played(tmp_path: Path) -> None:
    path = tmp_path / "messages.csv"
    path.touch()
    result = CliRunner().invoke(replay, [str(path), "--symbol", "AAPL", "--date", "2012-06-21"])
    assert result.exit_code == 3
    assert "has no steps to play" in result.output


@pytest.mark.parametrize("target", ["localhost", "localhost:", "localhost:99999"])
def test_a_target_without_a_port_is_refused(target: str) -> None:
    result = CliRunner().invoke(demo, ["--target", target])
    assert result.exit_code == 2
    assert f"{target!r} must be HOST:PORT" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tls-cert", "{file}"], "--tls-cert and --tls-key require each other"),
        (["--tls-cert", "{file}", "--tls-key", "{file}"], "--tls-cert requires --tls-ca"),
        (["--tokens", "{folder}"], "a token is not sent to blotter.example:443 without TLS"),
        (["--tokens", "{file}"], "--tokens"),
    ],
)
def test_invalid_credentials(arguments: list[str], message: str, messages: Path) -> None:
    paths = {"file": messages, "folder": messages.parent}
    given = [argument.format(**paths) for argument in arguments]
    result = CliRunner().invoke(demo, ["--target", "blotter.example:443", *given])
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_a_file_that_holds_no_token_is_named(nowhere: str, tmp_path: Path) -> None:
    trader_id = "a11ce000-0000-4000-8000-000000000001"
    (tmp_path / trader_id).write_text("not a token\n")
    result = CliRunner().invoke(demo, ["--target", nowhere, "--trader-id", trader_id, "--tokens", str(tmp_path)])
    assert result.exit_code == 1
    assert f"{tmp_path / trader_id}: the token must consist of" in result.output
    assert "not a token" not in result.output
