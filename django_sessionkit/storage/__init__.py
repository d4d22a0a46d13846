"""Where sessions lie: no requests, no cookies and no ``SessionBase`` in here.

``protocol`` is the contract. Four repositories keep it, and all of them have a repository of rows::

    rows         the row holds everything                        -> the engine ``db``
    cached_rows  rows, each with a copy in a cache               -> the engine ``cached_db``
    cache_data   data in a cache alone; a row vouches for them   -> the engine ``cache``
    cookies      data in a token; a row vouches for them         -> the engines ``signed_cookies``
                                                                    and ``encrypted_cookies``

Where a session's steps are: ``rows.Rows.update()`` is the UPDATE of a save;
``cached_rows.CachedRows.update()`` replaces or invalidates the copy after that;
``cache_data.CacheData.update()`` compares etags; ``cookies.Cookies.update()`` makes the token;
``revalidation`` asks the row about a token, ``vouchers`` about data in a cache.

A repository gets the store as a ``Coder`` with each call instead of keeping it, since a store that
its repository refers to would outlive its request until the garbage collector runs.

Another engine needs: a class here that keeps ``protocol.Repository``, most of it by having
``Rows``; in ``backends`` a module of a dozen lines whose ``SessionStore.get_repository()`` returns
it; and an entry in ``tests/engines.py``, which puts it into the conformance suite.
"""
