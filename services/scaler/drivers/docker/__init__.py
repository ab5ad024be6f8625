from services.scaler.drivers.docker.driver import DockerDriver

__all__ = ["DockerDriver"]
