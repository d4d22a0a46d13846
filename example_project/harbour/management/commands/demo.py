"""Serve the example with users and sessions in it."""

from __future__ import annotations

import ipaddress
import os
import socket
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from harbour import sample_data

DEFAULT = "127.0.0.1:8000"


class Command(BaseCommand):
    help = "Prepares the database, fills in sample data if there are no users, and serves the site."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "addrport",
            nargs="?",
            default=DEFAULT,
            help=f"Port, or address:port of this machine (default: {DEFAULT}).",
        )

    def handle(self, *args: Any, addrport: str, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The demo is for your own machine: it needs DEBUG = True.")
        address, port = _parse(addrport)
        _check_free(address, port)
        call_command("migrate", interactive=False, verbosity=0)
        filled = sample_data.fill()
        host = f"[{address}]" if ":" in address else address
        self._greet(f"http://{host}:{port}/", filled=filled)
        call_command("runserver", f"{host}:{port}", use_reloader=False, use_ipv6=":" in address)

    def _greet(self, url: str, *, filled: bool) -> None:
        everyone_else = [name for name in sample_data.PEOPLE if name != sample_data.ADMIN]
        everyone_else.remove(sample_data.STAFF)
        state = "Sample data was filled in." if filled else "The data of last time is kept."
        lines = [
            "",
            f"Harbour is at {url} and its admin at {url}admin/",
            "",
            "Sign in as",
            f"  {sample_data.ADMIN:<10} superuser, may do everything",
            f"  {sample_data.STAFF:<10} staff, may look at sessions and revoke them",
            f"  {', '.join(everyone_else)}",
            f"The password of each is {sample_data.PASSWORD}",
            "",
            f"{state} To start over, delete {settings.DATABASES['default']['NAME']}",
            "",
        ]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()


def _parse(addrport: str) -> tuple[str, int]:
    """Return address and port.

    Raises:
        CommandError: neither a port nor address:port, or the address is not this machine's own
            (the demo's passwords are public).
    """
    address, _, port = addrport.rpartition(":")
    address = address.strip("[]") or "127.0.0.1"
    if address == "localhost":
        address = "127.0.0.1"
    if not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise CommandError(f"{addrport!r} is neither a port nor address:port.")
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError as error:
        raise CommandError(f"{address!r} is not an IP address.") from error
    if not loopback:
        raise CommandError(
            f"The demo's passwords are public, so it is not served on {address}. "
            "Use 127.0.0.1 or ::1."
        )
    return address, int(port)


def _check_free(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            # As the server does: connections that are still closing do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise CommandError(
                f"{address}:{port} cannot be used ({error.strerror}). "
                f"Name another port, such as: manage.py demo {port + 1}"
            ) from error
