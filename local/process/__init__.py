"""Child processes and their environment."""
