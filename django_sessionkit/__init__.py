"""Sessions for Django that can be listed and revoked."""
