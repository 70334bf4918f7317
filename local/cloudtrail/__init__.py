"""CloudTrail's events, which the local AWS does not deliver by itself."""
