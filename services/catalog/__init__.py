"""What services exist: the compose file read into frozen values, every fault of it told at once.

A library: it starts nothing, opens no socket and keeps no state. `model` is what everything above works with.
"""
