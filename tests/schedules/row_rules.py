"""The rules of ``db``, each switched off alone."""

from __future__ import annotations

from collections.abc import Mapping

from tests.schedules import switches
from tests.schedules.engines import DB
from tests.schedules.seams import Switch

RULES: Mapping[str, Switch] = {
    # That it names the secret too is a second lock: a new secret is a new version.
    "an UPDATE names the version": switches.updated_without("version"),
    "a save merges what others have saved": switches.NOTHING_MERGED,
    "a save inserts nothing": switches.inserted_again(DB),
    "a key is proven": switches.loaded_unproven(DB),
    "what was rolled back is saved again": switches.ROLLBACKS_UNNOTICED,
}
#: Seen where many save at the same time.
CROWD_RULES: Mapping[str, Switch] = {
    "a save that was late three times takes a lock": switches.NO_FOURTH_TRY,
}
