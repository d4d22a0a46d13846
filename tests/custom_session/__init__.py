"""A site whose sessions have a column of their own: model, engine, settings, and its tests.

test_base_session runs ``cases`` on it, in a process of its own.
"""
