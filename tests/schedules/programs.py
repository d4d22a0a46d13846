"""Drawing what clients do."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from tests.engines import Engine
from tests.schedules.operations import CUT_OFF, UNREACHABLE
from tests.schedules.timing import HALF, UNITS

#: What two to four clients do, operation by operation.
Programs = list[list[str]]
Weights = Mapping[str, int]

#: How often each operation is drawn.
OPERATIONS: Weights = {
    "load": 6,
    "load in a transaction": 2,
    "save": 5,
    "save twice": 1,
    "renew": 1,
    "replace the key": 2,
    "sign in": 2,
    "revoke": 2,
    "delete a queryset": 1,
    "delete an instance": 1,
    "log out": 1,
}
#: And where there is a cache.
WITH_CACHE: Weights = {"time passes": 1, "evict": 1}
#: And where the row holds the data, of which there are copies; or the cache alone.
WITH_COPIES: Weights = {"save, taken back": 1}
WITHOUT_COPIES: Weights = {"lose the data": 1}
#: And where tokens hold the data.
WITH_TOKENS: Weights = {
    "time passes": 3,
    "a moment passes": 2,
    "renew": 2,
    "change the user": 1,
    "change the user again": 1,
    "save after a load in a transaction": 1,
}
#: And in the schedules in which the cache fails, or somebody writes to it.
FAULTS: Weights = {
    f"load{CUT_OFF}": 1,
    f"save{CUT_OFF}": 2,
    f"replace the key{CUT_OFF}": 1,
    f"revoke{CUT_OFF}": 2,
    "time passes": 3,
    "forge": 1,
    "take a snapshot": 1,
    "restore the snapshot": 1,
}
#: And in those in which a transaction is rolled back, and what it has saved is saved again.
NEW_KEYS_AGAIN: Weights = {
    "replace the key again": 2,
    "sign in again": 3,
    "sign in in a transaction": 1,
    "save in a transaction": 1,
}
SAVES_AGAIN: Weights = {"save again": 4, "save again after a savepoint": 2}
#: Of a hundred schedules.
WITH_FAULTS, WITH_LEASES = 15, 15


def draw_programs(draw: random.Random, engine: Engine) -> Programs:
    """Return programs of everything that clients do with this engine."""
    weights = weights_of(engine)
    kind = draw.randrange(100)
    if engine.key_is_token and kind < WITH_LEASES:
        return draw_programs_of_checks(draw, engine)
    if engine.cache_alias is None:
        return _drawn(draw, {**weights, **rollbacks_of(engine)})
    if kind < WITH_LEASES:
        return draw_programs_of_leases(draw, engine)
    if kind < WITH_LEASES + WITH_FAULTS:
        weights |= FAULTS
    return _drawn(draw, weights)


def draw_programs_of_leases(draw: random.Random, engine: Engine) -> Programs:
    """Return programs in which copies outlive their session, and are loaded a lease later."""
    requests = [
        draw.choices(("load", "save"), k=draw.randint(1, 2)) for _ in range(draw.randint(1, 2))
    ]
    forgery = draw.choice(([], [], ["forge"]))
    lease = ["time passes"] * (UNITS // HALF)
    return [[f"revoke{UNREACHABLE}"], [*lease, *forgery, "load"], *requests]


def draw_programs_of_rollbacks(draw: random.Random, engine: Engine) -> Programs:
    """Return programs in which many transactions are rolled back."""
    return _drawn(draw, {**weights_of(engine), **rollbacks_of(engine)})


def draw_programs_of_checks(draw: random.Random, engine: Engine) -> Programs:
    """Return programs in which the row of a token is asked while its session ends.

    Another token was renewed just before, so that a save does not ask the row once more.
    """
    lease = ["time passes"] * (UNITS // HALF)
    save = draw.choice(("save", "save after a load in a transaction"))
    loads = draw.choice(([], [], [["load"]]))
    return [[*lease, "renew", save], ["revoke", "a moment passes"], *loads]


def draw_programs_of_crowds(draw: random.Random, engine: Engine) -> Programs:
    """Return programs in which many save at the same time."""
    return [["save"], *(draw.choices(("save", "save twice"), k=3) for _ in range(3))]


#: The schedules that there are, by the name of their kind.
KINDS: Mapping[str, Callable[[random.Random, Engine], Programs]] = {
    "all": draw_programs,
    "leases": draw_programs_of_leases,
    "checks": draw_programs_of_checks,
    "rollbacks": draw_programs_of_rollbacks,
    "crowds": draw_programs_of_crowds,
}


def weights_of(engine: Engine) -> dict[str, int]:
    """Return how often each operation is drawn."""
    weights = {**OPERATIONS}
    if engine.cache_alias is not None:
        weights |= WITH_CACHE
    if engine.key_is_token:
        weights |= WITH_TOKENS
    else:
        weights |= WITH_COPIES if engine.data_in_row else WITHOUT_COPIES
    return weights


def rollbacks_of(engine: Engine) -> Weights:
    """Return how often each operation is drawn that rolls a transaction back and saves again.

    Not where a cache alone holds the data: those do not roll back with the row.
    """
    if engine.key_is_token:
        return {**NEW_KEYS_AGAIN, "save again": 2}
    return {**NEW_KEYS_AGAIN, **SAVES_AGAIN} if engine.data_in_row else {}


def _drawn(draw: random.Random, weights: Weights) -> Programs:
    names, chances = list(weights), list(weights.values())
    return [
        draw.choices(names, chances, k=draw.choice((1, 1, 2, 2, 3, 4)))
        for _ in range(draw.choice((2, 2, 3, 3, 4)))
    ]
