"""Harbour, a small site that shows django-sessionkit at work."""
