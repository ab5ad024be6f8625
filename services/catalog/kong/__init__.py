"""The public edge's configuration: Kong's declarative file, rendered from the catalogue, filled at deploy."""
