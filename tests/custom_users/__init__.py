"""User models of other kinds, each the AUTH_USER_MODEL of a site of its own.

``settings`` is such a site's, ``cases`` are the tests that run on it: test_base_session runs them
in a process for each model, since AUTH_USER_MODEL cannot change within one.
"""
