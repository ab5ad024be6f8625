#!/usr/bin/env bash
# Bring up the Distributed AI Hub, in one command that may be repeated.
#
#   scripts/deploy-distributed-ai.sh --env local --phase all
#   scripts/deploy-distributed-ai.sh --env dev --phase infra
#
#   --env local|dev|prod           local: processes of this machine, no Docker; dev: containers, on loopback alone; prod:
#                                  containers, other machines reach the gateway by TLS and with a key
#   --phase infra|ai|monitor|all   infra: gateway, discovery, queue and the hub itself; ai: what is always on; monitor:
#                                  figures and traces. Locally one hub is all three
#   --data DIR                     default $AIHUB_DATA, else ~/.local/share/aihub
#   --listen HOST:PORT             local: default 127.0.0.1:8000
#   --domain NAME                  dev, prod: services are NAME.DOMAIN; default localhost
#   --tls-cert FILE --tls-key FILE prod: default is a certificate made here
#   --override FILE                dev, prod: a further compose file, repeatable; also $AIHUB_COMPOSE_OVERRIDE
#   --project-name NAME            dev, prod: default distributed-ai
#   --status                       what runs, and how to reach it
#   --down                         end all of it; data and .env stay
#   --down --volumes               the volumes of the containers go too
#   --dry-run                      look and say what would be done
#
# Exit codes: 0 done, 1 failed, 2 bad input, 3 another hub is in the way, 4 an address cannot be had, 130 interrupted.
set -euo pipefail
from=$PWD
cd "$(dirname "$0")/.."

usage() { sed -n '2,24s/^# \{0,1\}//p' "$0"; }
bad() { printf 'error: %s\n' "$1" >&2; printf '%s\n' "${2:-$0 --help tells more.}" >&2; exit 2; }
# As the caller means it, who may stand elsewhere.
path() { case "$1" in /* | "~"*) printf '%s' "$1" ;; *) printf '%s' "$from/$1" ;; esac; }
value() { [ $# -ge 2 ] && [ -n "$2" ] || bad "$1 wants a value"; }

env= phase=all act=up dry= listen= volumes= data=() more=()
while [ $# -gt 0 ]; do
  case "$1" in
    --env) value "$@"; env=$2; shift ;;
    --phase) value "$@"; phase=$2; shift ;;
    --listen) value "$@"; listen=$2; shift ;;
    --data) value "$@"; data=(--data "$(path "$2")"); shift ;;
    --tls-cert | --tls-key | --override) value "$@"; more+=("$1" "$(path "$2")"); shift ;;
    --domain | --project-name) value "$@"; more+=("$1" "$2"); shift ;;
    --env=* | --phase=* | --listen=* | --data=* | --domain=* | --tls-cert=* | --tls-key=* | --override=* | --project-name=*)
      set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
    --down) act=down ;;
    --volumes) volumes=1 ;;
    --status) act=status ;;
    --dry-run) dry=1 ;;
    -h | --help) usage; exit 0 ;;
    *) bad "unknown option $1" ;;
  esac
  shift
done
case "$env" in "" | local | dev | prod) ;; *) bad "--env $env: must be local, dev or prod" ;; esac
case "$phase" in infra | ai | monitor | all) ;; *) bad "--phase $phase: must be infra, ai, monitor or all" ;; esac
[ -z "$volumes" ] || [ "$act" = down ] || bad "--volumes goes with --down"

# What is not said is meant as it was deployed.
if [ -z "$env" ]; then
  env=local
  ! grep -qs '^HUB_ENV=' .env || [ "$act" = up ] || env=deployed
fi

aihub=.venv/bin/aihub
if [ "$env" != local ]; then
  [ -z "$listen" ] || bad "--listen is for --env local" "Ports of containers stand in the compose file."
  case "$act" in up) [ -z "$dry" ] || act=check ;; esac
  if [ -n "$dry" ] && [ "$act" = down ]; then
    echo "would end every container of the project and remove its networks; $([ -n "$volumes" ] && echo "its volumes too, .env stays" || echo "volumes and .env stay")"
    exit 0
  fi
  words=("$act" --phase "$phase" "${data[@]}" "${more[@]}")
  [ "$env" = deployed ] || words+=(--env "$env")
  [ -z "$volumes" ] || words+=(--volumes)
  if [ "$act" = check ] && [ ! -x .venv/bin/python ]; then
    echo "would run: scripts/setup, then look at this machine"
    exit 0
  fi
  scripts/setup
  # -u: in a log too, its lines stand where they belong among compose's.
  exec .venv/bin/python -u -m services.deploy "${words[@]}"
fi

[ ${#more[@]} -eq 0 ] || bad "${more[0]} is for --env dev and prod"
[ -z "$volumes" ] || bad "--volumes is for --env dev and prod" "Data of a local hub: aihub df shows it."
# Set by a deploy of containers; services of this machine sleep when nobody uses them.
export HUB_PERSISTENT_REPLICAS=0
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
