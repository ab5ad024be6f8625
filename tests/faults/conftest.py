from tests.support.hub_fixtures import start_hub, workshop

__all__ = ["start_hub", "workshop"]
