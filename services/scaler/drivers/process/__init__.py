from services.scaler.drivers.process.driver import ProcessDriver

__all__ = ["ProcessDriver"]
