#!/bin/sh
# Puts an instance that answers behind each of the ports that build-ports.sh made, in the same namespace, and a gateway beyond an uplink.
# Usage: build-instances.sh PORTS     (at most 1,000: one bridge, with a place for the uplink)
set -eu
ports=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ip netns add wire
ip netns exec wire sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'
ip link add eth1 type veth peer name eth1 netns wire
ip link set eth1 master br0 up
ip -n wire link set eth1 up
ip -n wire address add 10.255.255.254/8 dev eth1
# All guests live in one namespace: each interface is to answer for its own address only.
ip netns exec far sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore'
mkdir -p /run/libvirt/qemu
awk -v ports="$ports" -v dir=/run/libvirt/qemu -v far="$work/far" 'BEGIN {
    for (p = 0; p < ports; p++) {
        mac = sprintf("fa:16:3e:%02x:%02x:%02x", 0, int(p / 256), p % 256)
        ip = sprintf("10.2.%d.%d", int(p / 256), p % 256)
        printf "link set far%d address %s\naddress add %s/32 dev far%d\n", p, mac, ip, p > far
        name = sprintf("instance-%08x", p + 1)
        file = dir "/" name ".xml"
        printf "<domstatus state=\"running\" reason=\"booted\">\n<domain type=\"kvm\" id=\"%d\">\n<name>%s</name>\n<uuid>6a9f0c1e-0d6b-4a4e-9a27-%012x</uuid>\n<devices>\n", p + 1, name, p > file
        printf "<interface type=\"bridge\"><mac address=\"%s\"/><source bridge=\"br0\"/><target dev=\"vnet%d\"/>\n", mac, p > file
        printf "<filterref filter=\"nova-%s\"><parameter name=\"IP\" value=\"%s\"/><parameter name=\"DHCPSERVER\" value=\"10.255.255.254\"/></filterref>\n", name, ip > file
        printf "</interface>\n</devices>\n</domain>\n</domstatus>\n" > file
        close(file)
    }
    for (p = 0; p < ports; p++) printf "route add 10.0.0.0/8 dev far%d metric %d\n", p, p + 1 > far
}'
ip -n far -batch "$work/far"
tries=0
while ! bridge link show dev eth1 | grep -q "state forwarding"; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || { echo "build-instances: the uplink does not come up" >&2; exit 1; }
    sleep 0.1
done
