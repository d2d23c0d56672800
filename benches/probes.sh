#!/bin/sh
# Measures what the probes of a diagnosis cost, in namespaces made for it, and prints the tables that RESULTS-probes.md keeps.
# Usage: benches/probes.sh [ROUNDS] [PART…]     PARTs: filter trace thousand; all unless named     (needs root and iproute2)
set -eu
cd "$(dirname "$0")/.."
rounds=${1:-100}
[ $# -gt 0 ] && shift
parts=${*:-filter trace thousand}
cargo build --quiet --release -p darkport-cli --bin darkport -p darkport-benches --bin probe-figures
out=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release
export out rounds

uname -srm
echo "$(nproc) cores, load $(cut -d' ' -f1-3 /proc/loadavg)"
for part in $parts; do
    case $part in
        filter)
            printf '\n## filter: unrelated frames from one port of a bridge to another\n\n'
            unshare -nm sh -euc 'mount -t sysfs none /sys
                sh benches/build-sweep-ground.sh 10.68.16.0 21 2046 2 2 0 "$(mktemp)"
                bridge fdb add fa:16:3e:00:00:01 dev vnet1 master static
                exec "$out/probe-figures" filter "$rounds"'
            ;;
        trace)
            printf '\n## trace: a guest asks for the gateway beyond the uplink\n\n'
            # Where the kernel has no VLANs or bonds, a second bridge behind a veth pair stands for them: a frame passes as many devices.
            unshare -nm sh -euc 'mount -t sysfs none /sys; mount -t tmpfs none /run
                sysctl -qw net.ipv6.conf.default.disable_ipv6=1
                for space in guests wire; do ip netns add $space; ip netns exec $space sysctl -qw net.ipv6.conf.default.disable_ipv6=1; done
                ip link add br1102 type bridge
                ip link add vnet0 type veth peer name eth0 address fa:16:3e:00:00:00 netns guests
                ip link add nic type veth peer name nic netns wire
                if ip link add bond0 type bond mode active-backup miimon 100 2>/dev/null && ip link add link bond0 name bond0.1102 type vlan id 1102 2>/dev/null; then
                    ip link set nic master bond0; ip link set bond0.1102 master br1102
                    between="bond0 bond0.1102"; far=nic.1102
                    ip -n wire link add link nic name nic.1102 type vlan id 1102
                else
                    ip link add br-out type bridge; ip link add patch-in type veth peer name patch-out
                    ip link set patch-in master br1102; ip link set patch-out master br-out; ip link set nic master br-out
                    between="patch-in patch-out br-out"; far=nic
                fi
                ip link set vnet0 master br1102
                for device in vnet0 br1102 nic $between; do ip link set $device up; done
                ip -n guests link set eth0 up; ip -n wire link set nic up; ip -n wire link set $far up; ip -n wire address add 10.68.16.1/21 dev $far
                sleep 4
                exec "$out/probe-figures" trace "$((rounds * 10))"'
            ;;
        thousand)
            printf '\n## thousand: `darkport`, everything at its default, on a host with 1,000 instances that answer\n\n'
            unshare -nm sh -euc 'mount -t sysfs none /sys; sh benches/build-ports.sh 1000 1000 0 0; sh benches/build-instances.sh 1000; sleep 2
                exec "$out/probe-figures" command "$(((rounds + 9) / 10))" "$out/darkport"'
            ;;
        *) echo "probes.sh: no part $part" >&2; exit 1 ;;
    esac
done
