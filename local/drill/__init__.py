"""The worst hour, rehearsed: two Regions, one goes away, and nothing is lost."""
