"""Places that the rendered file leaves open: `${NAME}`, filled in at deploy.

Kong expands nothing in a declarative file, and takes a marker in a key's place for the key itself. So the rendered file
must never serve as it is; the marker in every service's url makes Kong refuse it.
"""

from __future__ import annotations

import re

DOMAIN = "${HUB_DOMAIN}"
"""Under which the hub is known besides localhost."""
DOMAIN_PATTERN = "${HUB_DOMAIN_PATTERN}"
"""The same inside an expression; not a variable of its own."""
ENVOY_HOST = "${HUB_ENVOY_HOST}"
"""Envoy, as Kong's network calls it."""
OWNER_KEY = "${HUB_GATEWAY_KEY}"
"""Key of the consumer `owner`."""

KNOWN = frozenset({DOMAIN, DOMAIN_PATTERN, ENVOY_HOST, OWNER_KEY})
MARKER = re.compile(r"\$\{[^}]*\}?")


def markers(text: str) -> list[str]:
    """Every marker in a text, also one that nothing closes."""
    return MARKER.findall(text)
