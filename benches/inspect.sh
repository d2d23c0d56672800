#!/bin/sh
# Measures the inspection in namespaces made for it, and prints the tables that RESULTS.md keeps.
# Usage: benches/inspect.sh [RUNS]     (needs unshare, iproute2 and user namespaces; no root)
set -eu
cd "$(dirname "$0")/.."
runs=${1:-15}
cargo build --quiet --release -p darkport-benches --bin inspect-figures
program=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/inspect-figures

# measure PORTS FDB_ENTRIES NEIGHBOURS ROUTES COMMAND…
measure() {
    ports=$1 entries=$2 neighbours=$3 routes=$4
    shift 4
    unshare -Urnm sh -euc 'mount -t sysfs none /sys; sh benches/build-ports.sh "$1" "$2" "$3" "$4"; sleep 1; shift 4; exec "$@"' \
        sh "$ports" "$entries" "$neighbours" "$routes" "$@"
}

uname -srm
echo "$(nproc) cores; $(ip -V); load $(cut -d' ' -f1-3 /proc/loadavg)"
echo
echo "## 1,000 ports, 50,000 FDB entries, 5,000 neighbours, 1,000 routes"
echo
measure 1000 50000 5000 1000 sh -euc '"$1" "$2"; echo; echo "peak memory of one whole run: $("$1" once)"' sh "$program" "$runs"
echo
echo "## Growth: ten times the host"
echo
measure 1000 5000 500 100 "$program" growth "$runs"
measure 10000 50000 5000 1000 "$program" growth "$runs"
