"""The deciding half, pure: events and the time go in, effects come out. No I/O, no clock, no log, no randomness."""
