#!/bin/sh
# Builds, in the network namespace that it runs in, bridges full of veth ports with filled tables, and prints nothing.
# Usage: build-ports.sh PORTS FDB_ENTRIES NEIGHBOURS ROUTES
# The far ends of the veths lie in a second namespace, so that PORTS ports are PORTS links. A bridge takes at most 1,023 ports
# (BR_PORT_BITS), so there is one bridge for each 1,000.
set -eu
ports=$1 entries=$2 neighbours=$3 routes=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mount -t tmpfs none /run
ip netns add far
# Otherwise each far end says hello over IPv6 and each bridge floods that to 1,000 ports: a storm, in which nothing can be measured.
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
ip netns exec far sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'
bridges=$(((ports + 999) / 1000))
awk -v ports="$ports" -v bridges="$bridges" 'BEGIN {
    for (b = 0; b < bridges; b++) print "link add br" b " type bridge\nlink set br" b " up"
    for (p = 0; p < ports; p++) {
        print "link add vnet" p " type veth peer name far" p " netns far"
        print "link set vnet" p " master br" int(p / 1000) " up"
    }
}' >"$work/links"
awk -v ports="$ports" 'BEGIN { for (p = 0; p < ports; p++) print "link set far" p " up" }' >"$work/far"
ip -batch "$work/links"
ip -n far -batch "$work/far"
# The kernel takes a while to notice a carrier, and a port takes dynamic entries only when it forwards.
tries=0
while bridge link | grep -qv ' state forwarding '; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || { echo "build-ports: the ports do not come up" >&2; exit 1; }
    sleep 0.1
done
# Every fiftieth entry stays for good, as somebody might have set it; the others age like learned ones.
awk -v ports="$ports" -v entries="$entries" 'BEGIN {
    for (e = 0; e < entries; e++)
        printf "fdb add fa:16:3e:%02x:%02x:%02x dev vnet%d master %s\n", int(e / 65536), int(e / 256) % 256, e % 256, e % ports, (e % 50 == 0 ? "static" : "dynamic")
}' >"$work/fdb"
bridge -batch "$work/fdb"
ip address add 10.0.0.1/8 dev br0
awk -v neighbours="$neighbours" -v routes="$routes" 'BEGIN {
    for (n = 0; n < neighbours; n++)
        printf "neigh add 10.1.%d.%d lladdr fa:16:3e:ff:%02x:%02x dev br0 nud permanent\n", int(n / 256), n % 256, int(n / 256), n % 256
    for (r = 0; r < routes; r++)
        printf "route add 172.%d.%d.0/24 via 10.1.0.1\n", 16 + int(r / 256), r % 256
}' >"$work/l3"
ip -batch "$work/l3"
