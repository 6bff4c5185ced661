#!/bin/sh
# node.sh NAME ADDRESS FOLDER CA IMAGE...: one node, as the first process of its mounts, processes and host name. It starts containerd and
# kubelet, starts them again when they end, as systemd would, and gives containerd the images, which are archives.
set -eu
name=$1 address=$2 folder=$3 ca=$4
shift 4
hostname "$name"

# kubelet hands mounts on to containers.
mount --make-rshared /
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/lock /run/containerd /run/instead /run/var-lib/upper /run/var-lib/work
# What is written to these is gone with the node.
mount -t overlay overlay -o lowerdir=/var/lib,upperdir=/run/var-lib/upper,workdir=/run/var-lib/work /var/lib
mount -t tmpfs -o mode=0755 tmpfs /var/log
mkdir -p /var/log/pods /var/log/containers

# Settings of the whole machine, which kubelet writes: here it writes into files that lie over them.
for each in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000 \
  kernel/keys/root_maxbytes=25000000; do
  setting=${each%=*}
  instead=/run/instead/$(echo "$setting" | tr / .)
  echo "${each#*=}" > "$instead"
  mount --bind "$instead" "/proc/sys/$setting"
done

keep() {
  log=$folder/$1.log
  shift
  while true; do
    "$@" >> "$log" 2>&1 || echo "ended with $?; it is started again" >> "$log"
    sleep 1
  done
}

keep containerd containerd --config "$folder/containerd.toml" &
runtime() { ctr --address /run/containerd/containerd.sock --namespace k8s.io "$@"; }
until runtime version > /dev/null 2>&1; do sleep 0.1; done
for image; do runtime images import --local "$image" >> "$folder/images.log" 2>&1; done

until [ -s "$ca" ] && [ -s "$folder/kubelet.kubeconfig" ]; do sleep 0.1; done
keep kubelet kubelet --config="$folder/kubelet.json" --kubeconfig="$folder/kubelet.kubeconfig" --hostname-override="$name" \
  --node-ip="$address" --root-dir=/run/kubelet --cert-dir=/run/kubelet-pki --v=2 &
wait
