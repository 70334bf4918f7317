"""The local AWS itself: MiniStack, what is fixed in it, and what can be seen of it."""
