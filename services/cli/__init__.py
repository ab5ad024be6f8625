"""`aihub`, the command line: looks at the hub and asks it for things. It decides nothing and keeps no state."""
