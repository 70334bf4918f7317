"""A day in the life of some secrets, played and checked."""
