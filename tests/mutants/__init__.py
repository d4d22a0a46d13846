"""Faults put into the package on purpose, one at a time, to see whether the tests find them.

python -m tests.mutants [--db sqlite] [--whole] [NAME ...]

Not part of each run of CI: to be run when the test suite itself is changed, before and after.
"""
