"""Bringing up the fleet of containers by phase: what has to be there first, credentials, certificates, compose."""
