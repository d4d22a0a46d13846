"""The search finds what each rule is there for, when that rule alone is switched off.

How many schedules it took stands in the report: pytest -rP, or the properties of the JUnit file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.schedules import copies_rules, data_rules, found, row_rules, token_rules
from tests.schedules.engines import CACHE, CACHED_DB, DB, SIGNED_COOKIES, marks_of
from tests.schedules.promises import Broken
from tests.schedules.seams import Switch
from tests.schedules.search import Search

pytestmark = pytest.mark.slow

#: Within how many schedules a violation must be found.
BOUND = 3000
#: The rules, with their engine and the kind of schedules to look at.
RULES = (
    (DB, "all", row_rules.RULES),
    (DB, "crowds", row_rules.CROWD_RULES),
    (CACHED_DB, "all", copies_rules.RULES),
    (CACHED_DB, "leases", copies_rules.LEASE_RULES),
    (CACHED_DB, "rollbacks", copies_rules.ROLLBACK_RULES),
    (CACHE, "all", data_rules.RULES),
    (CACHE, "leases", data_rules.LEASE_RULES),
    (SIGNED_COOKIES, "all", token_rules.RULES),
    (SIGNED_COOKIES, "checks", token_rules.CHECK_RULES),
)


def rules() -> Iterator[Any]:
    """Give each rule with its engine and kind of schedules."""
    for engine, kind, switches in RULES:
        for rule, switch in switches.items():
            name = f"{engine}-{rule}"
            yield pytest.param(engine, rule, switch, kind, id=name, marks=marks_of(engine))


@pytest.mark.parametrize(("search", "rule", "switch", "kind"), list(rules()), indirect=["search"])
def test_without_a_rule_a_promise_is_broken(
    search: Search,
    rule: str,
    switch: Switch,
    kind: str,
    record_property: Callable[[str, object], None],
) -> None:
    known = found.SEEDS.get(f"{search.engine}-{rule}", 0)
    assert known < BOUND
    with switch():
        seen = search.first_violation([known], kind)
        seen = seen or search.first_violation(range(BOUND), kind)
    assert seen is not None, f"Not found in {BOUND} schedules: {rule}"
    seed, violation = seen
    record_property("schedules", seed + 1)
    print(f"Without the rule that {rule}, after {seed + 1} schedules:\n{violation}")  # noqa: T201
    # It is the rule that was missing, not another fault.
    assert isinstance(violation.__cause__, Broken), violation
    search.run(seed, kind)


@pytest.mark.redis
@pytest.mark.parametrize(
    ("search", "scripts"),
    [
        pytest.param(CACHED_DB, copies_rules.UNBROKEN, id="cached_db"),
        pytest.param(CACHE, data_rules.UNBROKEN, id="cache"),
    ],
    indirect=["search"],
)
def test_the_scripts_of_this_test_break_nothing_before_a_rule_is_switched_off(
    search: Search, scripts: tuple[Switch, ...]
) -> None:
    with ExitStack() as stack:
        for switch in scripts:
            stack.enter_context(switch())
        assert search.first_violation(range(100)) is None
