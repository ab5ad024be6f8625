"""Readings of the world, one a module, turned into events. A reading that fails posts nothing: no data is no zero."""
