#!/bin/sh
# machine.sh ADDRESSES COMMAND...: the first process of the namespaces that the nodes share. ADDRESSES are those of the nodes, with a
# comma between them. When it ends, the kernel ends everything else in here, with every mount, interface and firewall rule.
set -eu
addresses=$1
shift

# Locks and sockets of the machine are not ours.
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir /run/lock

ip link set lo up
# Kernels without `dummy` have veth: a cable with both ends in here.
ip link add nodes type veth peer name nodes-end
ip link set nodes-end up
ip link set nodes up
echo "$addresses" | tr , '\n' | while read -r address; do ip address add "$address/24" dev nodes; done
# A process looks for a route to a Service before the firewall gives it an address that exists.
ip route add default dev nodes
# Of this network namespace alone.
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6

"$@" &
command=$!
trap 'kill -TERM $command' TERM
wait $command
