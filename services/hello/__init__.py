"""A small service of our own, so that there is something to wake that is up at once."""
