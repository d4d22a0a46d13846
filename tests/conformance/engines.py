"""The engines that a test of the conformance suite is of: all, or those that can do something."""

from __future__ import annotations

from tests import engines

with_keys_that_stay = engines.with_engines(engines.keys_stay, with_all=True)
refused_at_once = engines.with_engines(engines.refuses_at_once, with_all=True)
with_data_in_rows = engines.with_engines(engines.holds_data_in_rows, with_all=True)
