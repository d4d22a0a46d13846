"""Faults in listing and ending sessions, and in taking copies back."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        name="list_sessions() lists expired sessions",
        file="registry.py",
        old="rows = SessionQuerySet(model, using=using).active(at=end).for_user(owner)",
        new="rows = SessionQuerySet(model, using=using).for_user(owner)",
        tests=("tests/test_registry.py",),
    ),
    Mutant(
        name="revoke_others() ends the session that was to be kept",
        file="registry.py",
        old="others = sessions().for_user(user).exclude(public_id=handle)",
        new="others = sessions().for_user(user)",
        tests=("tests/test_registry.py",),
    ),
    Mutant(
        name="rows are read from the replica, which may lag behind",
        file="registry.py",
        old="return SessionQuerySet(model, using=router.db_for_write(model))",
        new="return SessionQuerySet(model, using=router.db_for_read(model))",
        tests=("tests/conformance/test_routers.py",),
    ),
    Mutant(
        name="the sessions of no user are those of all visitors",
        file="base_session.py",
        old="return self.none() if pk is None else self.filter(user=pk)",
        new="return self.filter(user=pk)",
        tests=("tests/test_registry.py",),
    ),
    Mutant(
        name="a revoke drops the copies before its transaction commits",
        file="recall.py",
        old="after_commit(partial(self._act, using), using)",
        new="self._act(using)",
        tests=("tests/test_ending.py::test_what_is_rolled_back_has_ended_nothing",),
    ),
    Mutant(
        name="a transaction believes the copy of a row that it has changed",
        file="recall.py",
        old="_touched.setdefault(connection, set()).update(public_ids)",
        new="_touched.setdefault(connection, set())",
        tests=("tests/test_late_copies.py", "tests/test_revocation.py"),
    ),
    Mutant(
        name="a row that is deleted without being read leaves its copy in the cache",
        file="ending.py",
        old="plan.invalidate(count, plan.public_ids or () if count else ())",
        new="plan.invalidate(count, ())",
        tests=("tests/test_ending.py",),
    ),
    Mutant(
        name="a revoke says that it is in force before its transaction commits",
        file="recall.py",
        old="        self.in_force = InForce.ON_COMMIT\n",
        new="",
        tests=("tests/test_ending.py",),
    ),
    Mutant(
        name="session_ended is sent although the transaction rolls back afterwards",
        file="announcing.py",
        old="after_commit(ends.commit, using)",
        new="ends.commit()",
        tests=("tests/test_registry.py",),
    ),
    Mutant(
        name="a receiver of session_ended that raises keeps the others from being called",
        file="announcing.py",
        old="session_ended.send_robust(",
        new="session_ended.send(",
        tests=("tests/test_registry.py",),
    ),
    Mutant(
        name="the copy stays of a row that another process has deleted before it was killed",
        file="ending.py",
        old="        plan.recall.public_ids.update(public_ids)\n",
        new="        pass\n",
        tests=("tests/test_admin_revoking.py",),
    ),
)
