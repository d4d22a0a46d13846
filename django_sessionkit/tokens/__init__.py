"""Tokens that hold a session: how they are made and opened, and nothing else."""
