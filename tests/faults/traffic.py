"""People who use the site all the time, through the whole middleware, each in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY as AUTH_USER_ID
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request was answered, and how long that took, in seconds."""

    status: int
    seconds: float


class Person:
    """Somebody who is signed in, stores a number, and looks whether it is still there."""

    def __init__(self, name: str) -> None:
        User.objects.create_user(name)
        self.name = name
        self.answers: list[Answer] = []
        #: What went wrong, in words.
        self.losses: list[str] = []
        #: Where an older number was found than was stored last.
        self.stale: list[str] = []
        self._client = Client(raise_request_exception=False)
        self._last = 0
        self._expected = {"0"}
        assert self.get(f"/login/{name}/").status_code == 200
        assert self.get("/set/number/0/").status_code == 200

    @property
    def session_key(self) -> str:
        return str(self._client.cookies[settings.SESSION_COOKIE_NAME].value)

    def get(self, path: str) -> Any:
        """Visit the page."""
        start = time.monotonic()
        response = self._client.get(path)
        self.answers.append(Answer(response.status_code, time.monotonic() - start))
        cookie = response.cookies.get(settings.SESSION_COOKIE_NAME)
        if cookie is not None and not cookie.value:
            self.losses.append(f"{path} deleted the cookie")
        return response

    def store(self) -> None:
        """Store the next number."""
        self._last += 1
        response = self.get(f"/set/number/{self._last}/")
        if response.status_code == 200:
            self._expected = {str(self._last)}
        else:
            # An answer that got lost on its way may have been stored all the same.
            self._expected.add(str(self._last))

    def look(self) -> None:
        """See whether the session is there, with the number that was stored last."""
        response = self.get("/read/")
        if response.status_code != 200:
            return
        data = response.json()
        if AUTH_USER_ID not in data:
            self.losses.append("the session was lost")
        elif data["number"] not in self._expected:
            self.stale.append(f"found {data['number']}, stored {self._expected}")
        else:
            self._expected = {data["number"]}


class Traffic:
    """Some people, who store and look in turn."""

    def __init__(self, count: int = 3) -> None:
        self.people = [Person(f"person-{number}") for number in range(count)]
        self._must_end = threading.Event()

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Let them go on until the block ends; then each looks once more."""
        threads = [threading.Thread(target=self._run, args=(each,)) for each in self.people]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._must_end.set()
            for thread in threads:
                thread.join(60)
        for each in self.people:
            each.look()

    def _run(self, person: Person) -> None:
        try:
            while not self._must_end.is_set():
                person.store()
                person.look()
                # What is tested is time, not throughput.
                time.sleep(0.02)
        except Exception as error:
            person.losses.append(repr(error))
            raise
        finally:
            connections.close_all()

    @property
    def statuses(self) -> dict[int, int]:
        """How many answers there were with each status."""
        counts: dict[int, int] = {}
        for person in self.people:
            for answer in person.answers:
                counts[answer.status] = counts.get(answer.status, 0) + 1
        return counts

    @property
    def longest(self) -> float:
        return max(answer.seconds for person in self.people for answer in person.answers)

    @property
    def losses(self) -> list[str]:
        return [f"{person.name}: {loss}" for person in self.people for loss in person.losses]

    @property
    def stale(self) -> list[str]:
        return [f"{person.name}: {loss}" for person in self.people for loss in person.stale]
