"""Keep tagged secrets replicated in the Regions that the policy names."""
