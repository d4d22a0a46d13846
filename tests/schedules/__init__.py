"""A randomized search for an order of steps that breaks the promises about sessions.

``scheduler`` lets one client at a time run from one step to the next; ``stepping`` makes each
statement and each access to the cache a step; ``search`` draws a schedule from a seed and runs it,
on a real database and, where the engine has a cache, real Redis. ``programs`` is what clients do,
in kinds of schedules; ``operations`` is how they do it, and ``promises`` what must hold then.
``cache_operations`` and ``cache_time`` let the cache's time pass and things happen to what it
holds. Where clients hold tokens, ``token_operations`` and ``token_promises`` have rules of their
own, and ``clock`` is the time. ``traces`` knows which steps the seeds have taken so far.

That the search finds breaks is seen by switching rules off, one at a time (``copies_rules``,
``data_rules``, ``row_rules``, ``token_rules``), in what outlasts a store (``seams``).

Left out: what others do while a transaction is open that has written. From its first statement to
its commit is one step, since whoever waits for a lock in a database can't be scheduled. What only
reads is interrupted: SQLite's write-ahead log shows it what there was, and lets others write.
"""
