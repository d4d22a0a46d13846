"""The engines that a test of the conformance suite is of: all, or those that can do something."""

from __future__ import annotations

import pytest

from tests import engines

with_keys_that_stay = engines.with_engines(engines.keys_stay, with_all=True)
refused_at_once = engines.with_engines(engines.refuses_at_once, with_all=True)
with_data_in_rows = engines.with_engines(engines.holds_data_in_rows, with_all=True)

#: For a test of what no async method of ours has a part in: Django's own call the sync ones.
in_sync_code = pytest.mark.parametrize("faces", [False], ids=["sync"], indirect=True)
