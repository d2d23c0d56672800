#!/bin/sh
set -e
# Makes the namespace that the files beside this one were recorded in, on linux 6.1 (Debian 12, cloud kernel) in a VM, and records
# them: `record-dumps` is a program of benches/, the JSON is iproute2's own view of the same moment.
mkdir -p /out
ip link add eth1 type veth peer name up1
ip link add link eth1 name eth1.1102 type vlan id 1102
ip link add link eth1 name eth1.200 type vlan id 200 protocol 802.1ad
ip link add br1102 type bridge forward_delay 0 nf_call_iptables 1
ip link set eth1.1102 master br1102
ip tuntap add vnet0 mode tap; ip link set vnet0 master br1102
for d in eth1 up1 eth1.1102 vnet0 br1102; do ip link set $d up; done
ip link add brv type bridge vlan_filtering 1 vlan_default_pvid 7 stp_state 1 nf_call_arptables 1 nf_call_ip6tables 1 mcast_querier 1
ip link add t0 type veth peer name t1; ip link set t0 master brv
ip link add u0 type veth peer name u1; ip link set u0 master brv
bridge vlan add vid 1102 dev t0 pvid untagged; bridge vlan add vid 1102 dev u0; bridge vlan add vid 1200-1203 dev u0
bridge link set dev u0 neigh_suppress on vlan_tunnel on
bridge link set dev t0 locked on || echo no locked
ip link set brv up; ip link set t0 up; ip link set t1 up; ip link set u0 up; ip link set u1 up
bridge fdb add fa:16:3e:00:00:01 dev t0 master static vlan 1102
bridge fdb add fa:16:3e:00:00:02 dev u0 master static vlan 1201
bridge fdb add fa:16:3e:00:00:03 dev u0 master static sticky vlan 1202
ip link add bond0 type bond mode active-backup miimon 100
ip link add d0 type dummy; ip link add d1 type dummy
ip link set d0 master bond0; ip link set d1 master bond0; ip link set bond0 up; ip link set bond0 type bond active_slave d1
ip link add bond1 type bond mode 802.3ad miimon 50; ip link add d2 type dummy; ip link set d2 master bond1; ip link set bond1 up
tc qdisc add dev d2 root netem delay 10ms loss 5%
sleep 1
record-dumps /out
ip -j -d -s link > /out/ip-link.json; bridge -j vlan > /out/bridge-vlan.json; bridge -j fdb > /out/bridge-fdb.json; bridge -d -j link > /out/bridge-link.json; uname -r > /out/kernel
