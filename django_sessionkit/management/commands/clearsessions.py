"""``manage.py clearsessions``: remove sessions that have ended."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_sessionkit import registry
from django_sessionkit.backends.base import BaseSessionStore
from django_sessionkit.cleanup import DEFAULT_BATCH_SIZE, Cleanup, CleanupReport
from django_sessionkit.conf import conf

progress_bar: Any
try:
    progress_bar = import_module("tqdm").tqdm
except ImportError:  # The extra "progress" is not installed.
    progress_bar = None

#: What a shell reports for a program that Ctrl-C has ended.
INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Removes sessions that have ended, in small batches: the site goes on meanwhile. May be "
        "interrupted, or run twice at once, at any point."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--batch-size",
            type=int,
            default=DEFAULT_BATCH_SIZE,
            metavar="ROWS",
            help="most rows that one statement removes (default: %(default)s); fewer when the "
            "database is slow",
        )
        parser.add_argument(
            "--sleep",
            type=float,
            default=0.0,
            metavar="SECONDS",
            help="rest after each batch (default: none)",
        )
        parser.add_argument(
            "--max-seconds",
            type=float,
            metavar="SECONDS",
            help="start no further batch after this time; the next run goes on from there",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="count what would be removed, remove nothing"
        )
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")

    def handle(self, **options: Any) -> None:
        store = conf.session_store
        if not issubclass(store, BaseSessionStore):
            self._clear_other_engine(store, options)
            return
        try:
            cleanup = Cleanup(
                registry.session_model(),
                batch_size=options["batch_size"],
                sleep=options["sleep"],
                max_seconds=options["max_seconds"],
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        try:
            act = self._count if options["dry_run"] else self._run
            fields, text = act(cleanup, options)
        except KeyboardInterrupt:
            raise CommandError(
                f"Interrupted after {cleanup.report.removed} sessions; "
                "the next run goes on from there.",
                returncode=INTERRUPTED,
            ) from None
        if options["json"]:
            self.stdout.write(json.dumps(fields))
        elif options["verbosity"] > 0:
            self.stdout.write(text)

    def _clear_other_engine(self, store: Any, options: dict[str, Any]) -> None:
        if options["dry_run"] or options["json"]:
            raise CommandError(
                f"Session engine '{settings.SESSION_ENGINE}' is not one of django_sessionkit; "
                "it can be cleared, but neither counts nor reports."
            )
        try:
            store.clear_expired()
        except NotImplementedError as error:
            raise CommandError(
                f"Session engine '{settings.SESSION_ENGINE}' doesn't support clearing expired "
                "sessions."
            ) from error

    def _count(self, cleanup: Cleanup, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
        report = cleanup.count()
        return (
            {
                "dry_run": True,
                "expired": report.expired,
                "orphaned": report.orphaned,
                "lost": report.lost,
            },
            f"Would remove {_in_words(report)}.",
        )

    def _run(self, cleanup: Cleanup, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
        with self._progress(cleanup, options):
            report = cleanup.run()
        text = f"Removed {_in_words(report)}, in {report.seconds:.1f} s."
        if not report.is_complete:
            text += " Stopped by --max-seconds before the end; run again to go on."
        return {"dry_run": False, **dataclasses.asdict(report)}, text

    @contextmanager
    def _progress(self, cleanup: Cleanup, options: dict[str, Any]) -> Iterator[None]:
        """Show a bar on a terminal; count first, since a bar needs an end."""
        if (
            progress_bar is None
            or options["json"]
            or not options["verbosity"]
            or not self.stderr.isatty()
        ):
            yield
            return
        # To what self.stderr wraps, which would end each state of the bar with a new line.
        with progress_bar(total=cleanup.expired.count(), unit=" sessions", desc="Removing") as bar:
            cleanup.on_batch = bar.update
            yield


def _in_words(report: CleanupReport) -> str:
    text = f"{report.expired} expired sessions and {report.orphaned} whose user is missing"
    return f"{text}, {report.lost} whose data the cache has lost" if report.lost else text
