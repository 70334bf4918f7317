"""The commands of the worst hour: `verify`, `promote` and `rejoin`."""
