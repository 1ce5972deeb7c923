"""The mutants of `make mutants` still apply: their texts occur, change something, and their tests exist."""

import re

import pytest

from tests.mutants.lists import BROADER, MUTANTS
from tests.mutants.mutant import ROOT


def test_every_mutant_changes_the_file_that_it_names() -> None:
    stale = []
    for mutant in MUTANTS:
        try:
            changed = mutant.text(ROOT)
        except (LookupError, OSError) as error:
            stale.append(str(error))
        else:
            assert changed != (ROOT / mutant.file).read_text("utf-8"), mutant.name
    assert not stale


@pytest.mark.parametrize(
    "test", sorted({test for one in (*MUTANTS,) for test in one.tests} | {*sum(BROADER.values(), ())})
)
def test_every_selection_names_tests_that_exist(test: str) -> None:
    path, _, word = test.partition(" -k ")
    assert (ROOT / path).exists()
    text = (ROOT / path).read_text("utf-8") if word else ""
    words = set(re.findall(r"\w+", word)) - {"and", "or", "not"}
    assert all(part in path or part in text for part in words)


def test_no_mutant_is_listed_twice() -> None:
    assert len({(one.file, one.old, one.new, one.nth) for one in MUTANTS}) == len(MUTANTS)
