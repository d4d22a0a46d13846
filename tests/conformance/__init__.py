"""What every engine has to do, each test run for each row of the table in ``tests.engines``."""
