#!/bin/sh
# `docker run IMAGE agent …` means the agent, with data and configuration where the real image has them.
set -e
if [ "$1" = agent ]; then
  shift
  mkdir -p /consul/data /consul/config
  set -- consul agent -data-dir=/consul/data -config-dir=/consul/config "$@"
elif [ "${1#-}" != "$1" ]; then
  set -- consul agent "$@"
elif [ "$1" != consul ] && consul --help "$1" 2>&1 | grep -q "consul $1"; then
  set -- consul "$@"
fi
exec "$@"
