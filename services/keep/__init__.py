"""Copies of services' data: the files of a backup and the archive of a folder. A leaf: knows no hub and no service."""
