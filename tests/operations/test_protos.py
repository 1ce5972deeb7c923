"""`blotter protos` writes a folder that compiles alone, and overwrites no file. For a wheel: see tests_wheels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from service.cli.main import main
from tests.operations.command_line import DEADLINE
from tests.paths import ROOT

NAMES = {path.relative_to(ROOT / "protos").as_posix() for path in (ROOT / "protos").rglob("*.proto")}
GOOGLE = {"google/rpc/error_details.proto", "google/rpc/status.proto"}


def protos(*arguments: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["protos", *map(str, arguments)])


def written(folder: Path) -> dict[str, bytes]:
    """Return the contents of the folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_compiles_without_any_other(tmp_path: Path) -> None:
    folder, image = tmp_path / "new" / "protos", tmp_path / "image"
    done = protos(folder)
    assert done.exit_code == 0, done.output
    *names, last = done.stdout.splitlines()
    assert set(names) == written(folder).keys() == NAMES | GOOGLE
    assert last == f"Files written into {folder}: {len(NAMES | GOOGLE)}; there already: 0."

    compiler = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--include_imports", f"--descriptor_set_out={image}"]
    subprocess.run([*compiler, *NAMES, *GOOGLE], cwd=folder, check=True, timeout=DEADLINE)
    compiled = FileDescriptorSet.FromString(image.read_bytes())
    assert {file.name for file in compiled.file if not file.name.startswith("google/protobuf/")} == NAMES | GOOGLE


def test_a_folder_that_holds_the_same_is_completed(tmp_path: Path) -> None:
    assert protos(tmp_path).exit_code == 0
    before = written(tmp_path)
    (tmp_path / "google/rpc/status.proto").unlink()
    there = len(before) - 1
    assert protos(tmp_path).stdout == (
        f"google/rpc/status.proto\nFiles written into {tmp_path}: 1; there already: {there}.\n"
    )
    assert written(tmp_path) == before


@pytest.mark.parametrize("name", ["package.json", "blotter/orders/v1/order.proto"])
def test_a_folder_that_holds_anything_else_is_left_alone_unless_forced(tmp_path: Path, name: str) -> None:
    protos(tmp_path / "other")
    folder = tmp_path / "here"
    file = folder / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    done = protos(folder)
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: {folder} holds files that are not the contract's: {name}.")
    assert written(folder) == {name: b"mine"}

    assert protos("--force", folder).exit_code == 0
    assert written(folder) == {name: b"mine"} | written(tmp_path / "other")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert protos(tmp_path / "file").exit_code == 2


@pytest.mark.parametrize("arguments", [[], ["--force"]])
@pytest.mark.parametrize("name", ["blotter", "google/rpc/status.proto"])
def test_a_link_in_the_folder_is_not_followed(tmp_path: Path, name: str, arguments: list[str]) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "here"
    link = folder / name
    link.parent.mkdir(parents=True)
    if name.endswith(".proto"):
        elsewhere.write_text("mine")
    else:
        elsewhere.mkdir()
    link.symlink_to(elsewhere)
    done = protos(*arguments, folder)
    assert done.exit_code == 1
    assert done.output == f"Error: {link} is a link, or neither a file nor a folder. Name another folder.\n"
    assert elsewhere.read_text() == "mine" if elsewhere.is_file() else not list(elsewhere.iterdir())


def test_a_pipe_in_the_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert protos("--force", tmp_path).exit_code == 1
