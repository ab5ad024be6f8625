"""Envoy: what it is told (files and EDS), what it asks (the gate's checks), what it counts."""
