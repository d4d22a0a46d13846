"""The command: make each fault, run the tests, print which test has found it."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.mutants import backends, caches, cookies, requests, storage, tokens, verbs
from tests.mutants.mutant import Mutant, NotApplicableError
from tests.mutants.runs import RunError, Workshop

REPOSITORY = Path(__file__).resolve().parents[2]

MUTANTS = (
    *backends.MUTANTS,
    *storage.MUTANTS,
    *cookies.MUTANTS,
    *caches.MUTANTS,
    *tokens.MUTANTS,
    *verbs.MUTANTS,
    *requests.MUTANTS,
)

#: Instead of the narrow files: the tests of ``run.py tests --quick``, and those with Redis.
WHOLE = ("-m", "not slow", "-n", "2", "--dist", "worksteal", "tests")


def main() -> int:
    """Return 0 if each mutant was found, 1 if one survived, 2 if that is not known."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the names of mutants (default: all)")
    parser.add_argument("--db", choices=("sqlite", "postgresql", "mysql"), default="sqlite")
    parser.add_argument("--list", action="store_true", help="name the mutants, run nothing")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="run the whole quick selection of tests, not those alone that are expected to find it",
    )
    options = parser.parse_args()
    chosen = [one for one in MUTANTS if not options.names or named(one, options.names)]
    if not chosen:
        parser.error("No mutant has such a name.")
    if options.list:
        for mutant in chosen:
            print(f"{mutant.file}: {mutant.name}")
        return 0
    if not os.environ.get("SESSIONKIT_TEST_REDIS"):
        print("No server named in SESSIONKIT_TEST_REDIS: what needs one to be found survives.")
    try:
        for mutant in chosen:
            mutant.check(REPOSITORY)
        return try_all(chosen, options.db, WHOLE if options.whole else None)
    except (NotApplicableError, RunError) as error:
        print(error)
        return 2


def named(mutant: Mutant, parts: Sequence[str]) -> bool:
    """Whether one of the parts is in the mutant's name, or is its file."""
    return any(part in mutant.name or part == mutant.file for part in parts)


def try_all(mutants: Sequence[Mutant], database: str, arguments: Sequence[str] | None) -> int:
    """Try the mutants one after the other, and print a table. See main()."""
    finders: list[str] = []
    survivors = 0
    print("| mutant | file | outcome | first test that failed | s |", flush=True)
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="sessionkit-mutants-") as directory:
        workshop = Workshop(REPOSITORY, Path(directory), database)
        for mutant in mutants:
            result = workshop.try_mutant(mutant, arguments or ["-n", "0", *mutant.tests])
            found_by = result.found_by
            outcome, test = ("SURVIVED", "") if found_by is None else ("found", f"`{found_by}`")
            row = (mutant.name, f"`{mutant.file}`", outcome, test, f"{result.seconds:.0f}")
            print(f"| {' | '.join(row)} |", flush=True)
            survivors += found_by is None
            if found_by is not None and "::" in found_by:
                finders.append(found_by)
        # What fails without a fault has found none.
        if finders and (broken := workshop.run(["-x", "-n", "0", *finders]).found_by):
            print(f"{broken} fails without any mutant, so it finds none.")
            return 2
    print(f"{len(mutants) - survivors} of {len(mutants)} mutants were found.")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
