#!/bin/sh
# Boots this machine's own systemd as process 1 of namespaces of its own: its files are an overlay over ours, so nothing that
# happens inside is seen outside. Called by systemd-box.ts through unshare(1) with the box's directory.
set -e
box=$1
root=$box/root
mount --make-rprivate /
mkdir -p "$box/upper" "$box/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
if [ -d /sys/fs/cgroup/systemd ]; then
  mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
else
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
fi
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts" "$root/dev/mqueue" "$root/dev/hugepages"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t mqueue mqueue "$root/dev/mqueue"
if [ ! -e "$box/booted" ]; then
  # Only what we put there starts: this machine's own servers stay out.
  rm -rf "$root"/etc/systemd/system/*.wants
  ln -sf /dev/null "$root/etc/systemd/system/systemd-networkd-wait-online.service"
  ln -sf /dev/null "$root/etc/systemd/system/systemd-firstboot.service"
  rm -f "$root/etc/machine-id"
  echo uninitialized > "$root/etc/machine-id"
  touch "$box/booted"
fi
mkdir -p "$root/share" "$root/old"
mount --bind "$box/share" "$root/share"
ip link set lo up
cd "$root"
pivot_root . old
cd /
umount -l /old
# As container managers leave it: systemd's own mounts (credentials) must come through to services.
mount --make-rshared /
exec /usr/bin/env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=multi-user.target
