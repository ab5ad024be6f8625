"""Envoy's configuration as plain data: functions from the catalogue to the JSON that Envoy reads. No I/O."""
