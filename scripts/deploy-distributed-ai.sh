#!/usr/bin/env bash
# Bring up the Distributed AI Hub, in one command that may be repeated.
#
#   scripts/deploy-distributed-ai.sh --env local --phase all
#
#   --env local|dev|prod           local: processes of this machine, no Docker; dev and prod are the Docker form
#   --phase infra|ai|monitor|all   locally one hub is all three: the gateway (infra), the services, asleep until asked
#                                  for (ai), and health, metrics and status (monitor)
#   --listen HOST:PORT             default 127.0.0.1:8000
#   --data DIR                     default $AIHUB_DATA, else ~/.local/share/aihub
#   --status                       what runs, and how to reach it
#   --down                         end all of it; data stays
#   --dry-run                      say what would be done
#
# Exit codes: 0 done, 1 failed, 2 bad input, 3 another hub is in the way, 4 the address cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,16s/^# \{0,1\}//p' "$0"; }
bad() { printf 'error: %s\n' "$1" >&2; printf '%s\n' "${2:-$0 --help tells more.}" >&2; exit 2; }
value() { [ $# -ge 2 ] && [ -n "$2" ] || bad "$1 wants a value"; }

env=local phase=all act=up dry= listen= data=()
while [ $# -gt 0 ]; do
  case "$1" in
    --env) value "$@"; env=$2; shift ;;
    --phase) value "$@"; phase=$2; shift ;;
    --listen) value "$@"; listen=$2; shift ;;
    --data) value "$@"; data=(--data "$2"); shift ;;
    --env=* | --phase=* | --listen=* | --data=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
    --down) act=down ;;
    --status) act=status ;;
    --dry-run) dry=1 ;;
    -h | --help) usage; exit 0 ;;
    *) bad "unknown option $1" ;;
  esac
  shift
done
case "$env" in
  local) ;;
  dev | prod) bad "--env $env: the Docker form of the hub is not built yet" "Use --env local, which needs no Docker." ;;
  *) bad "--env $env: must be local, dev or prod" ;;
esac
case "$phase" in infra | ai | monitor | all) ;; *) bad "--phase $phase: must be infra, ai, monitor or all" ;; esac

aihub=.venv/bin/aihub
up=(up --detach "${data[@]}")
[ -z "$listen" ] || up+=(--listen "$listen")

if [ -n "$dry" ]; then
  echo "would run: scripts/setup"
  case "$act" in up) echo "would run: aihub ${up[*]}" ;; *) echo "would run: aihub $act ${data[*]}" ;; esac
  exit 0
fi

scripts/setup
case "$act" in
  down) exec "$aihub" down "${data[@]}" ;;
  status) exec "$aihub" status --addresses "${data[@]}" ;;
esac

[ "$phase" = all ] || echo "--phase $phase: locally one hub is every phase; it is brought up whole" >&2
if running=$("$aihub" status --addresses "${data[@]}" 2>/dev/null); then
  at=$("$aihub" url "${data[@]}")
  case "${listen:-${at##*://}}" in
    "${at##*://}" | *":${at##*:}") ;;
    *) echo "note: the hub listens on ${at##*://}; to move it: $0 --down, then --listen $listen" >&2 ;;
  esac
  echo "the hub is up already" >&2
  printf '%s\n' "$running"
  exit 0
fi
exec "$aihub" "${up[@]}"
