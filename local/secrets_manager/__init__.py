"""Secrets Manager as AWS runs it: the executable statement of what is known of the service."""
