"""Faults in the stores, and in the merge."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        name="of a key that two requests have changed, the earlier save wins",
        file="merge.py",
        old="            merged[key] = mine[key]",
        new="            merged.setdefault(key, mine[key])",
        tests=("tests/test_merge.py",),
    ),
    Mutant(
        name="a save is merged into a session in which somebody else has signed in meanwhile",
        file="backends/saving.py",
        old="if _auth(before) != _auth(after):",
        new="if not (before or after):",
        tests=("tests/conformance/test_overlaps.py",),
    ),
    Mutant(
        name="acycle_key() is Django's, which starts a session without owner and client",
        file="backends/base.py",
        old="""
    async def acycle_key(self) -> None:
        await sync_to_async(self.cycle_key)()
""",
        new="",
        tests=("tests/conformance/test_cycling.py",),
    ),
    Mutant(
        name="a login retires the visitor's session before its transaction commits",
        file="backends/saving.py",
        old="after_commit(close, repository.using)",
        new="close()",
        tests=("tests/test_cached_corners.py",),
    ),
    Mutant(
        name="a column that a hook fills is compared with what another request has saved since",
        file="backends/drafting.py",
        old="differing(columns, current.columns)",
        new="differing(columns, (base or current).columns)",
        tests=("tests/test_interleavings.py",),
    ),
    # What a store holds, and its transitions
    Mutant(
        name="the save after a rollback takes what was rolled back for saved",
        file="backends/held.py",
        old="return None if pending is None or pending.is_committed else pending",
        new="return None",
        tests=("tests/test_interleavings.py",),
    ),
    Mutant(
        name="the second save of a transaction forgets what the session was before the first",
        file="backends/held.py",
        old="self.uncommitted = pending or Uncommitted()",
        new="self.uncommitted = Uncommitted()",
        tests=("tests/test_interleavings.py",),
    ),
    Mutant(
        name="a write learns of its commit after the callbacks of the site, one of which may fail",
        file="recall.py",
        old="connection.run_on_commit.insert(0, (set(connection.savepoint_ids), act, False))",
        new="after_commit(act, using)",
        tests=("tests/test_rollbacks.py",),
    ),
    Mutant(
        name="one commit settles every write of a transaction, those of a savepoint too",
        file="backends/held.py",
        old="return all(write.is_committed for write in self._writes)",
        new="return any(write.is_committed for write in self._writes)",
        tests=("tests/test_rollbacks.py",),
    ),
    Mutant(
        name="a session that has ended since it was found may be started anew by a save",
        file="backends/held.py",
        old="self.state = State.NEW if self.past is None else State.GONE",
        new="self.state = State.NEW",
        tests=("tests/test_held.py",),
    ),
    Mutant(
        name="cycle_key() revives a session that ended while somebody was signed in",
        file="backends/held.py",
        old="            self.state = State.GONE\n        else:",
        new="            self.start(SplitKey.generate())\n        else:",
        tests=("tests/test_held.py",),
    ),
    Mutant(
        name="cycle_key() of a row makes another public id",
        file="backends/held.py",
        old="self.new_key = SplitKey.generate(current.public_id)",
        new="self.new_key = SplitKey.generate()",
        tests=("tests/test_held.py",),
    ),
    Mutant(
        name="a key that is cycled twice leaves the visitor's first session alive",
        file="backends/held.py",
        old="left = self.record if self.state in (State.LIVE, State.PENDING) else None",
        new="left = self.record if self.state is State.LIVE else None",
        tests=("tests/test_held.py",),
    ),
    Mutant(
        name="a session that was started anew goes on from the one of before",
        file="backends/held.py",
        old="self.past = self.past if self.state is State.PENDING else None",
        new="self.past = self.record",
        tests=("tests/test_held.py",),
    ),
    Mutant(
        name="a flush that met a key which opens nothing deletes the cookie of the browser",
        file="backends/held.py",
        old="self.state = State.ENDED if self.refused is None else State.NEW",
        new="self.state = State.ENDED",
        tests=("tests/test_held.py",),
    ),
    Mutant(
        name="a flush forgets that the key of the browser is retired",
        file="backends/held.py",
        old="self.refused = dataclasses.replace(retired, was_users=False)",
        new="self.refused = Unknown()",
        tests=("tests/test_held.py",),
    ),
    Mutant(
        name="after a flush, a login is taken for one beside that which has replaced the key",
        file="backends/held.py",
        old="self.refused = dataclasses.replace(retired, was_users=False)",
        new="self.refused = retired",
        tests=("tests/test_held.py",),
    ),
    Mutant(
        name="a retired key keeps a login from starting a session",
        file="backends/held.py",
        old="return self.retired_key is not None and not self.is_signing_in",
        new="return self.retired_key is not None",
        tests=("tests/test_key_replacement.py",),
    ),
    Mutant(
        name="a save after a login leaves the verdict that the key was retired",
        file="backends/held.py",
        old="""
        self.refused = None if self.refused is None else Unknown()
        if self.flushed""",
        new="""
        if self.flushed""",
        tests=("tests/test_held.py",),
    ),
    Mutant(
        name="a user who was lost before a flush is lost to each later login as well",
        file="backends/held.py",
        old="self.flushed = self.flushed._replace(has_lost_user=False)",
        new="pass",
        tests=("tests/test_held.py",),
    ),
    Mutant(
        name="a sign-in that is saved twice in a transaction has two lines in the audit log",
        file="backends/held.py",
        old="return not was_told",
        new="return True",
        tests=("tests/test_replacement_corners.py",),
    ),
)
