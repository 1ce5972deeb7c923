"""The files of the revisions: one sequence, each with its reason, importable; released ones are frozen."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

import alembic
from service import migrations
from tests.paths import ROOT

FOLDER = ROOT / "alembic"
FILES = sorted((FOLDER / "versions").glob("*.py"))
SCRIPTS = list(reversed(list(ScriptDirectory.from_config(migrations.configuration(quiet=True)).walk_revisions())))

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def test_the_folder_alembic_is_no_package_so_that_the_library_can_be_imported() -> None:
    assert not list(FOLDER.rglob("__init__.py"))
    assert alembic.__file__
    assert FOLDER not in Path(alembic.__file__).parents


def test_the_revisions_are_one_line_without_branches_labels_or_dependencies() -> None:
    assert [script.revision for script in SCRIPTS] == [file.name[:3] for file in FILES]
    assert [script.down_revision for script in SCRIPTS] == [None, *(script.revision for script in SCRIPTS[:-1])]
    assert not any(script.branch_labels or script.dependencies for script in SCRIPTS)


def test_released_revisions_are_as_they_were_released() -> None:
    """A database that has applied a revision does not get later changes of it: a new revision corrects errors."""
    released = [line.split() for line in (Path(__file__).parent / "frozen.sha256").read_text().splitlines()]
    assert [name for _, name in released] == [file.name for file in FILES[: len(released)]]
    for digest, name in released:
        assert hashlib.sha256((FOLDER / "versions" / name).read_bytes()).hexdigest() == digest, name


@each_file
def test_a_revision_states_what_it_does_and_why(file: Path) -> None:
    module = ast.parse(file.read_text())
    docstring = ast.get_docstring(module) or ""
    title, _, rest = docstring.partition("\n")
    assert title.endswith(".")
    assert any(word in docstring for word in ("Why", "presume", "What had to change for it to work"))
    previous = next(script.down_revision for script in SCRIPTS if script.revision == file.name[:3])
    assert f"Revision: {file.name[:3]}" in docstring
    assert previous is None or f"Follows: {previous}" in rest


@each_file
def test_a_revision_can_be_taken_back(file: Path) -> None:
    functions = {node.name: node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}
    for name in ("upgrade", "downgrade"):
        assert any(isinstance(node, ast.Call) for node in ast.walk(functions[name]))


@each_file
def test_a_revision_rests_on_nothing_of_ours_that_may_change_later(file: Path) -> None:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    imported = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert imported <= {"__future__", "alembic", "sqlalchemy", "sqlalchemy.dialects"}
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"open", "exec", "eval", "compile", "__import__"}
    assert not {node.id for node in nodes if isinstance(node, ast.Name)} & {"__file__", "Path", "os"}


def test_every_revision_since_017_states_whether_it_expands_or_contracts() -> None:
    """And a contract step states which servers it still supports; an expand step does not change that."""
    for file in FILES:
        if file.name >= "017":
            steps = [
                ast.literal_eval(node.value)
                for node in ast.parse(file.read_text()).body
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "step"
            ]
            assert steps in (["expand"], ["contract"]), file.name
            states = "FUNCTION schema_compatibility" in file.read_text().partition("def downgrade")[0]
            assert states or steps == ["expand"], f"{file.name} must state which servers it still supports"


@each_file
def test_a_revision_asks_the_database_nothing(file: Path) -> None:
    """In offline mode there is no database to query."""
    attributes = {node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)}
    assert not attributes & {"get_bind", "inspect", "fetchall", "scalar"}


def test_the_released_contract_is_the_one_that_was_released() -> None:
    """protos/baseline.binpb changes only at a release, with `make baseline`, which writes its digest beside it."""
    digest, name = (ROOT / "protos" / "baseline.sha256").read_text("utf-8").split()
    assert name == "baseline.binpb"
    assert hashlib.sha256((ROOT / "protos" / name).read_bytes()).hexdigest() == digest
