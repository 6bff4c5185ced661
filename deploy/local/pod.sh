#!/bin/sh
# pod.sh PYTHON VENV ACCOUNT COMMAND...: become COMMAND as a container of ours runs, without an engine. As root, below
# `unshare --mount --propagation private`: Python is at /opt/python, the environment at /opt/venv, and the ServiceAccount where
# kubelet mounts it; nothing can be written anywhere, and the user has no name, no rights and no way to get any.
# With ACCOUNT `none` nothing is made read-only and the user stays root: that is how the environment is built.
set -eu
python=$1 venv=$2 account=$3
shift 3

# Held here first: what is mounted below may lie over where they are.
mount --bind "$python" /media
mount --bind "$venv" /srv
[ "$account" = none ] || mount --bind "$account" /mnt

mount -t tmpfs -o mode=0755 tmpfs /opt
mkdir /opt/python /opt/venv
mount --bind /media /opt/python
mount --bind /srv /opt/venv
# A Python with a library of its own looks for it where it was built, which the user may not be allowed to enter.
export LD_LIBRARY_PATH=/opt/python/lib
[ "$account" != none ] || exec "$@"

mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/secrets/kubernetes.io/serviceaccount
mount --bind /mnt /run/secrets/kubernetes.io/serviceaccount

# readOnlyRootFilesystem, and stricter: in a container /dev/shm could be written.
cut -d ' ' -f 2 /proc/self/mounts | sort -u | while read -r where; do
  where=$(printf '%b' "$where")
  # What lies hidden below another mount cannot be reached.
  ! mountpoint -q "$where" || mount -o remount,bind,ro "$where"
done

cd /
exec setpriv --reuid=65532 --regid=65532 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
  --pdeathsig=KILL -- "$@"
