#!/bin/sh
# Builds, in the network namespace that it runs in, a bridge br0 (with the first address of the prefix) and guests behind its ports.
# Usage: build-sweep-ground.sh PREFIX_BASE PREFIX_LENGTH TARGETS LIVE PORTS LOSS_PERCENT TRUTH
# LIVE of the TARGETS host addresses answer, spread evenly over all and by turns over the ports; the file TRUTH gets them, and
# TRUTH.macs the hardware address of each behind it. All guests live in one namespace, where each interface answers for its own
# addresses only. Loss is by nft on ingress, each way: LOSS_PERCENT of the frames.
set -eu
base=$1 length=$2 targets=$3 live=$4 ports=$5 loss=$6 truth=$7
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mount -t tmpfs none /run
ip netns add guests
# As many neighbours as there are guests: each of them learns whoever asks, and the peers ask by the kernel's table.
ip netns exec guests sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.default.arp_ignore=1 \
    net.ipv4.icmp_ratelimit=0 net.ipv6.conf.default.disable_ipv6=1
sysctl -qw net.ipv6.conf.default.disable_ipv6=1
ip link add br0 address 02:00:00:00:00:fe type bridge
awk -v ports="$ports" 'BEGIN {
    for (p = 0; p < ports; p++) printf "link add vnet%d type veth peer name eth%d address fa:16:3e:00:00:%02x netns guests\nlink set vnet%d master br0 up\n", p, p, p, p
    print "link set br0 up"
}' >"$work/host"
ip -batch "$work/host"
awk -v base="$base" -v targets="$targets" -v live="$live" -v ports="$ports" -v truth="$truth" -v length_="$length" 'BEGIN {
    split(base, b, ".")
    start = ((b[1] * 256 + b[2]) * 256 + b[3]) * 256 + b[4]
    for (p = 0; p < ports; p++) printf "link set eth%d up\n", p
    n = 0
    # The first address is the bridge'"'"'s own.
    for (i = 2; i <= targets; i++) {
        if (int((i - 1) * live / (targets - 1)) == int((i - 2) * live / (targets - 1))) continue
        a = start + i; p = n++ % ports
        ip = int(a / 16777216) "." int(a / 65536) % 256 "." int(a / 256) % 256 "." a % 256
        printf "address add %s/32 dev eth%d\n", ip, p
        print ip > truth
        printf "%s fa:16:3e:00:00:%02x\n", ip, p > (truth ".macs")
    }
    for (p = 0; p < ports; p++) printf "route add %s/%d dev eth%d metric %d\n", base, length_, p, p + 1
}' >"$work/guests"
ip -n guests -batch "$work/guests"
own=$(echo "$base" | awk -F. '{ print $1 "." $2 "." $3 "." $4 + 1 }')
ip address add "$own/$length" dev br0
if [ "$loss" -gt 0 ]; then
    # The questions get lost on the way in to the guests, the answers on the way in to the bridge.
    for side in vnet eth; do
        awk -v ports="$ports" -v loss="$loss" -v device="$side" 'BEGIN {
            for (p = 0; p < ports; p++) printf "table netdev loss%d { chain c { type filter hook ingress device %s%d priority 0; numgen random mod 100 < %d drop; }; }\n", p, device, p, loss
        }' >"$work/$side.nft"
    done
    nft -f "$work/vnet.nft"
    ip netns exec guests nft -f "$work/eth.nft"
fi
tries=0
while [ "$(ip -o link | grep -c 'state UP')" != $((ports + 1)) ] || [ "$(ip -n guests -o link | grep -c 'state UP')" != "$ports" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || { echo "build-sweep-ground: the ports do not come up" >&2; exit 1; }
    sleep 0.1
done
