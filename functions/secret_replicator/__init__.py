"""Keep tagged secrets replicated in the Regions that the policy names."""

VERSION = "0.2.0"
"""That of pyproject.toml and of the stack's output `Version`: `make check` compares them."""
