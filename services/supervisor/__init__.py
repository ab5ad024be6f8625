"""The process that keeps the hub's other two alive: it starts the scaler and Envoy, and holds what must outlive them.

`services.supervisor.run.run` is the whole of it; `aihub up` becomes this process. Nothing here decides about services.
"""
