#!/usr/bin/env bash
# Runs every workload and the ceilings against a fresh local node and writes docs/performance.md.
#   bench/run.sh [--quick] [--report FILE] [more options of `haechi bench`]
# --quick runs small and, without --report, only prints.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
haechi=${HAECHI:-$root/build/release/haechi}
report=$root/docs/performance.md
quick=()
more=()
while (($#)); do
  case $1 in
    --quick) quick=(--quick); report= ;;
    --report) report=$2; shift ;;
    *) more+=("$1") ;;
  esac
  shift
done
[[ -x $haechi ]] || { echo "bench: $haechi is missing; run ./dev build first" >&2; exit 1; }

# On the disk that the checkout is on: /tmp may be memory, which flushes for free.
dir=$(mktemp -d "${BENCH_DIR:-$root/build}/bench-run.XXXXXX")
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
wait_for() { # URL PID LOG
  for _ in $(seq 200); do
    curl -sf -o /dev/null "$1" && return
    kill -0 "$2" 2>/dev/null || { echo "bench: $1 did not start:" >&2; tail -5 "$3" >&2; exit 1; }
    sleep 0.05
  done
  echo "bench: $1 does not answer" >&2
  exit 1
}

ulimit -n "$(ulimit -Hn)"
port=$(free_port)
mkdir -p "$dir/data"
# Thousands of accounts are registered: their password hash is not what is measured.
cp "$root/bench/server.toml" "$dir/server.toml"
"$haechi" serve --data "$dir/data" --listen "127.0.0.1:$port" --server-name localhost --config "$dir/server.toml" \
  --open-registration --no-rate-limits >"$dir/server.log" 2>&1 &
server=$!
pids+=("$server")
wait_for "http://127.0.0.1:$port/_matrix/client/versions" "$server" "$dir/server.log"

reference=()
nginx=$(command -v nginx || echo /usr/sbin/nginx)
if [[ -x $nginx ]]; then
  nginx_port=$(free_port)
  mkdir -p "$dir/nginx/files/upload"
  head -c 100000 /dev/urandom >"$dir/nginx/files/100kB.bin"
  head -c 5000000 /dev/urandom >"$dir/nginx/files/5MB.bin"
  # Workers of a root-started nginx run as another user, which must be let in.
  chmod 755 "$dir"
  chmod -R 777 "$dir/nginx"
  sed -e "s|@DIR@|$dir/nginx|g" -e "s|@PORT@|$nginx_port|g" "$root/bench/nginx.conf.in" >"$dir/nginx/nginx.conf"
  "$nginx" -c "$dir/nginx/nginx.conf" -e "$dir/nginx/error.log" >"$dir/nginx/out.log" 2>&1 &
  pids+=("$!")
  wait_for "http://127.0.0.1:$nginx_port/100kB.bin" "$!" "$dir/nginx/error.log"
  reference=(--media-reference "http://127.0.0.1:$nginx_port")
else
  echo "bench: nginx is not installed; media are measured without comparison" >&2
fi

commit=$(git -C "$root" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
git -C "$root" diff --quiet HEAD -- src bench 2>/dev/null || commit="$commit with local changes"
"$haechi" bench all --server "http://127.0.0.1:$port" --server-pid "$server" --data-dir "$dir" --commit "$commit" \
  "${reference[@]}" "${quick[@]}" ${report:+--write-report "$report"} "${more[@]}"
[[ -z $report ]] || echo "written: $report"
