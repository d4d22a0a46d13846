"""A site that keeps its sessions in another database than its users, and reads from a replica.

test_base_session runs ``cases`` on it, in a process of its own.
"""
