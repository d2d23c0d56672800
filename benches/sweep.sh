#!/bin/sh
# Measures darkport-sweep beside its peers in namespaces made for it, and prints the tables that RESULTS-sweep.md keeps.
# Usage: benches/sweep.sh [RUNS] [PART…]     PARTs: one lossy icmp ports wide; all unless named
# Needs root, iproute2, nftables, arp-scan, nmap and fping (apt-get install). The programs run by turns, so that whatever else the
# machine does meets all of them alike; the slow ones run in every tenth, twentieth or hundredth round.
set -eu
cd "$(dirname "$0")/.."
runs=${1:-100}
[ $# -gt 0 ] && shift
parts=${*:-one lossy icmp ports wide}
cargo build --quiet --release -p darkport-cli --bin darkport-sweep -p darkport-benches --bin sweep-figures
out=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release
truth=$(mktemp)
trap 'rm -f "$truth" "$truth.macs"' EXIT

# measure RUNS BASE LENGTH TARGETS LIVE PORTS LOSS NAME=COMMAND…
measure() {
    rounds=$1 base=$2 length=$3 targets=$4 live=$5 ports=$6 loss=$7
    shift 7
    unshare -nm sh -euc 'mount -t sysfs none /sys; sh benches/build-sweep-ground.sh "$1" "$2" "$3" "$4" "$5" "$6" "$7"
        sleep 1; program=$8 rounds=$9; truth=$7; shift 9; exec "$program" "$rounds" "$truth" "$@"' \
        sh "$base" "$length" "$targets" "$live" "$ports" "$loss" "$truth" "$out/sweep-figures" "$rounds" "$@"
}

net=10.68.16.0/21
sweep="$out/darkport-sweep --json -i br0"
uname -srm
echo "$(nproc) cores, load $(cut -d' ' -f1-3 /proc/loadavg); $(arp-scan --version 2>&1 | head -1), $(nmap --version | head -1), $(fping --version | head -1)"
for part in $parts; do
    case $part in
        one | lossy)
            loss=0
            [ "$part" = lossy ] && loss=5
            printf '\n## %s: 2,046 targets, 1,500 answer, one port, %s %% loss each way\n\n' "$part" "$loss"
            # Under loss nmap takes minutes.
            nmap=10
            [ "$part" = lossy ] && nmap=100
            measure "$runs" 10.68.16.0 21 2046 1500 1 "$loss" \
                "darkport-sweep=$sweep $net" \
                "arp-scan tuned=arp-scan -q -I br0 -i 1u -r 1 -t 10 $net" \
                "arp-scan tuned=arp-scan -q -I br0 -i 10u -r 1 -t 100 $net" \
                "arp-scan tuned=arp-scan -q -I br0 -i 50u -r 3 -t 100 -b 1 $net" \
                "arp-scan/20=arp-scan -q -I br0 $net" \
                "nmap tuned/5=nmap -n -sn --min-rate 50000 --max-retries 0 -oG - $net" \
                "nmap/$nmap=nmap -n -sn -oG - $net" \
                "fping/100=fping -q -a -g $net"
            ;;
        icmp)
            for loss in 0 5; do
                printf '\n## icmp: the same with an echo to each, %s %% loss each way\n\n' "$loss"
                measure "$runs" 10.68.16.0 21 2046 1500 1 "$loss" "darkport-sweep=$sweep --icmp $net" "fping/100=fping -q -a -g $net"
            done
            ;;
        ports)
            printf '\n## ports: the same with the guests behind 50 ports, no loss\n\n'
            measure "$runs" 10.68.16.0 21 2046 1500 50 0 \
                "darkport-sweep=$sweep $net" \
                "darkport-sweep, hardware addresses known=$sweep --list $truth.macs" \
                "darkport-sweep, hardware addresses known=$sweep --direct --list $truth.macs" \
                "arp-scan tuned=arp-scan -q -I br0 -i 1u -r 1 -t 10 $net" \
                "arp-scan tuned=arp-scan -q -I br0 -i 10u -r 1 -t 100 $net" \
                "arp-scan tuned=arp-scan -q -I br0 -i 50u -r 3 -t 100 -b 1 $net" \
                "arp-scan/10=arp-scan -q -I br0 $net"
            ;;
        wide)
            printf '\n## wide: a /16 with 5,000 live, one port, no loss\n\n'
            rounds=$(((runs + 9) / 10))
            measure "$rounds" 10.68.0.0 16 65534 5000 1 0 \
                "darkport-sweep=$sweep 10.68.0.0/16" \
                "darkport-sweep tuned=$sweep --rate 400000 10.68.0.0/16" \
                "darkport-sweep tuned=$sweep --rate 400000 --tries 1 10.68.0.0/16" \
                "arp-scan tuned=arp-scan -q -I br0 -i 10u -r 1 -t 100 10.68.0.0/16"
            ;;
        *) echo "sweep.sh: no part $part" >&2; exit 1 ;;
    esac
done
