"""Published and own scenarios, each step of which is driven through the contract and compared.

scenarios.csv holds order state changes that FIX publishes (FIX 4.2 to 5.0 SP2, volume 4, appendix D, "order state
change matrices"; the letters of the names are those of the standard's groups). derived.csv has the same columns and
holds scenarios that follow from the rules of the lifecycle in docs/contract.md.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Database, cloned
from tests.lifecycle.play import Play, new_trader
from tests.lifecycle.scenarios import Player, Scenario, scenarios_of
from tests.serving import Blotter, serving

HERE = Path(__file__).parent
PUBLISHED = list(scenarios_of(HERE / "scenarios.csv"))
DERIVED = list(scenarios_of(HERE / "derived.csv"))


@pytest.fixture(scope="module")
def shared(template: Database) -> Iterator[Database]:
    """One database for all scenarios, each of which has a trader of its own."""
    with cloned(template, "scenarios") as database:
        yield database


@pytest.fixture
async def blotter(shared: Database) -> AsyncIterator[Blotter]:
    """A server on the shared database."""
    async with serving(shared) as server:
        yield server


async def played(blotter: Blotter, scenario: Scenario) -> int:
    """Play a scenario, print its table, and return the number of its own steps that were checked."""
    player = Player(Play(blotter, new_trader(blotter.database)))
    # Shown with -s, and where the test fails: message, ExecType and OrdStatus, and the order that was compared.
    print(f"\n{scenario.name}")  # noqa: T201
    checked = 0
    for number, row in enumerate(scenario.rows):
        shown, average = await player.step(row)
        checked += number >= len(scenario.rows) - scenario.own
        message = f"{row.step:>2}  {row.received or row.sent:32} {row.exec_type:16} {row.ord_status:16}"
        print(f"  {message}  {shown:36} {average}")  # noqa: T201
    overfilled = player.play.order.excess_quantity > 0
    assert await player.play.discrepancies() == ["ORDER_OVERFILLED"] * overfilled
    return checked


@pytest.mark.parametrize("scenario", PUBLISHED, ids=lambda scenario: scenario.name)
async def test_each_step_of_a_published_scenario(
    blotter: Blotter, scenario: Scenario, record_property: Callable[[str, object], None]
) -> None:
    checked = await played(blotter, scenario)
    assert checked == scenario.own
    record_property("counted", ("steps of published order state changes", {scenario.name: checked}))


@pytest.mark.parametrize("scenario", DERIVED, ids=lambda scenario: scenario.name)
async def test_each_step_of_a_derived_scenario(
    blotter: Blotter, scenario: Scenario, record_property: Callable[[str, object], None]
) -> None:
    checked = await played(blotter, scenario)
    assert checked == scenario.own
    record_property("counted", ("steps of derived order state changes", {scenario.name: checked}))


def test_no_row_of_a_file_is_left_out() -> None:
    for name, scenarios, number in (("scenarios.csv", PUBLISHED, 20), ("derived.csv", DERIVED, 27)):
        lines = (HERE / name).read_text().splitlines()
        assert len(lines) - 1 == sum(scenario.own for scenario in scenarios)
        assert len(scenarios) == number
