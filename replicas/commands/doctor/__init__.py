"""`replicas doctor`: whether all is there that a deployed stack depends on, and what needs attention."""
