"""What people and their commands see and say: HTTP on a unix socket that only the hub's user can open."""
