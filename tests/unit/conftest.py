"""How Hypothesis searches: the same examples every time, or many new ones with HYPOTHESIS_PROFILE=search."""

import os

from hypothesis import settings

settings.register_profile("repeatable", max_examples=60, derandomize=True, deadline=None, database=None)
settings.register_profile("search", max_examples=5_000, deadline=None, database=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
