"""What every engine has to do, each test run for each row of the table in ``tests.engines``.

Every behaviour that Django's own tests of its sessions expect is expected here too, through the
sync and the async methods. With this package in place of Django's app, its ``sessions_tests``
and ``auth_tests`` pass (5.2 and 6.1, the engines with a cache on 6.1), except for these:

- ``test_session_str``, ``test_session_get_decoded``, ``test_sessionmanager_save``,
  ``test_extra_session_field``, ``test_empty_session_saved``: they look for the row by the raw
  session key, which is in no column, or call ``objects.save(session_key, ...)``.
- ``test_session_update_error_redirect``: wants HTTP 400 for a session that was ended meanwhile;
  here the response is delivered (test_middleware).
- ``test_session_key_flushed_on_login_after_password_change``: wants the same user's next login
  to keep the session key; here every login replaces it (test_fixation).
- ``test_exists_searches_cache_first``: wants a copy inside a transaction, where none is made.
- ``test_cache_set_failure_non_fatal`` and its async twin: want Django's own words in the log.
- ``test_cycle`` and its async twin on ``cache``: a visitor's old key dies with the save that writes
  the new one, so that a response that fails does not lose the session.
"""
