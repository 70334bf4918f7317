"""Tools for operators and developers, on the function's own code."""
