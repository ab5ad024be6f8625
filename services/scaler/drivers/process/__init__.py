"""Replicas as processes of this machine: sessions, cgroups or a walk of the tree, environments from PyPI and npm."""
