"""The warning of minor releases of PostgreSQL that show rows which row-level security hides."""

import pytest

from service.repositories.privileges import release_warning


@pytest.mark.parametrize(
    ("version", "upgrade_to"),
    [
        (150000, "15.14"),
        (150013, "15.14"),
        (150014, None),
        (160009, "16.10"),
        (160010, None),
        (160011, None),
        (170005, "17.6"),
        (170006, None),
        (180000, None),
        (190000, None),
    ],
)
def test_a_minor_release_before_the_fix_is_named_with_the_one_that_has_it(version: int, upgrade_to: str | None) -> None:
    warning = release_warning(version)
    if upgrade_to is None:
        assert warning is None
    else:
        assert warning is not None
        assert f"upgrade it to {upgrade_to} or later" in warning
        assert f"PostgreSQL {version // 10000}.{version % 10000} " in warning
