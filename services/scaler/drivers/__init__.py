"""Drivers run replicas on one platform. `base` is the contract; each platform is a folder beside it."""
