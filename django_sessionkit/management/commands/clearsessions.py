"""``manage.py clearsessions``: remove sessions that have ended."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_sessionkit import registry
from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.cleanup import DEFAULT_BATCH_SIZE, Cleanup

try:
    from tqdm import tqdm
except ImportError:  # The extra "progress" is not installed.
    tqdm = None


class Command(BaseCommand):
    help = (
        "Removes sessions that have ended, in small batches: the site goes on meanwhile. May be "
        "interrupted, or run twice at once, at any point."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--batch-size",
            type=_number(int, 1),
            default=DEFAULT_BATCH_SIZE,
            metavar="ROWS",
            help="most rows that one statement removes (default: %(default)s); fewer when the "
            "database is slow",
        )
        parser.add_argument(
            "--sleep",
            type=_number(float, 0),
            default=0.0,
            metavar="SECONDS",
            help="rest after each batch (default: none)",
        )
        parser.add_argument(
            "--max-seconds",
            type=_number(float, 0),
            metavar="SECONDS",
            help="start no further batch after this time; the next run goes on from there",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="count what would be removed, remove nothing"
        )
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")

    def handle(self, **options: Any) -> None:
        store = import_module(settings.SESSION_ENGINE).SessionStore
        if not issubclass(store, BaseSessionStore):
            return self._clear_other_engine(store, options)
        cleanup = Cleanup(
            registry.session_model(),
            batch_size=options["batch_size"],
            sleep=options["sleep"],
            max_seconds=options["max_seconds"],
        )
        if options["dry_run"]:
            expired = registry.sessions(cleanup.model).expired(cleanup.cutoff).count()
            orphaned = sum(map(len, cleanup.orphans()))
            return self._report(
                options,
                {"dry_run": True, "expired": expired, "orphaned": orphaned},
                f"Would remove {expired} expired sessions and {orphaned} whose user is missing.",
            )
        with self._progress(cleanup, options) as on_batch:
            cleanup.on_batch = on_batch
            try:
                report = cleanup.run()
            except KeyboardInterrupt:
                raise CommandError(
                    f"Interrupted after {cleanup.report.expired + cleanup.report.orphaned} "
                    "sessions; the next run goes on from there.",
                    returncode=130,
                ) from None
        text = (
            f"Removed {report.expired} expired sessions and {report.orphaned} whose user is "
            f"missing, in {report.seconds:.1f} s."
        )
        if not report.is_complete:
            text += " Stopped by --max-seconds before the end; run again to go on."
        return self._report(options, {"dry_run": False, **dataclasses.asdict(report)}, text)

    def _clear_other_engine(self, store: Any, options: dict[str, Any]) -> None:
        if options["dry_run"] or options["json"]:
            raise CommandError(
                f"Session engine '{settings.SESSION_ENGINE}' is not one of django_sessionkit; "
                "it can be cleared, but neither counts nor reports."
            )
        try:
            store.clear_expired()
        except NotImplementedError:
            raise CommandError(
                f"Session engine '{settings.SESSION_ENGINE}' doesn't support clearing expired "
                "sessions."
            ) from None

    def _report(self, options: dict[str, Any], fields: dict[str, Any], text: str) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(fields))
        elif options["verbosity"] > 0:
            self.stdout.write(text)

    @contextmanager
    def _progress(
        self, cleanup: Cleanup, options: dict[str, Any]
    ) -> Iterator[Callable[[int], None] | None]:
        """Show a bar on a terminal; count first, since a bar needs an end."""
        if tqdm is None or options["json"] or not options["verbosity"] or not self.stdout.isatty():
            yield None
            return
        total = registry.sessions(cleanup.model).expired(cleanup.cutoff).count()
        with tqdm(total=total, unit=" sessions", desc="Removing", file=self.stdout) as bar:
            yield bar.update


def _number(kind: type[int] | type[float], minimum: int) -> Callable[[str], float]:
    """Return an argparse type for numbers from ``minimum`` on."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        # NaN compares false with everything.
        if value is None or not minimum <= value < float("inf"):
            noun = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"must be a {noun} of at least {minimum}: {text!r}")
        return value

    return parse
