# PID 1 on the layered root: mounts what a booted system has, and becomes the first process: systemd
# if the kernel's command line says lab.systemd, else stage3, which runs the command.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /dev/pts /dev/shm /run/bin /run/lock
/run/busybox --install -s /run/bin
# What Debian has comes first; busybox fills the gaps of these scripts alone.
PATH=$PATH:/run/bin
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
done
mount -t bpf bpf /sys/fs/bpf
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
mount -t securityfs securityfs /sys/kernel/security
ip link set lo up
# What PID 1 starts with (1024 files) is less than a login or a service gets.
ulimit -n 1048576
ulimit -l unlimited
case " $(cat /proc/cmdline) " in
*" lab.systemd "*) ;;
*) exec /run/busybox sh /run/stage3 ;;
esac

# What a distribution's units do at boot is done above, or is of disks, devices and files that are the
# host's. systemd-tmpfiles would empty /tmp, where the command may be.
units=/run/systemd/system
mkdir -p "$units"
for unit in systemd-remount-fs systemd-firstboot systemd-udev-trigger systemd-udevd \
    systemd-modules-load systemd-machine-id-commit systemd-binfmt systemd-update-utmp \
    systemd-random-seed systemd-sysusers systemd-pstore systemd-timesyncd ldconfig e2scrub_reap \
    systemd-tmpfiles-setup systemd-tmpfiles-setup-dev systemd-tmpfiles-clean; do
    ln -s /dev/null "$units/$unit.service"
done
ln -s /dev/null "$units/systemd-tmpfiles-clean.timer"
: >/etc/fstab
# By this file of the root that is shared systemd would take itself to be in a container.
rm -f /.dockerenv
cat >"$units/laboratory.service" <<'UNIT'
[Unit]
Description=The command of the laboratory
After=basic.target dbus.socket
Wants=dbus.socket

[Service]
ExecStart=/run/busybox sh /run/stage3
StandardOutput=null
StandardError=null
LimitNOFILE=1048576
LimitMEMLOCK=infinity
# What the command changes in its cgroup is its own.
Delegate=yes
# What it started ends with the machine, by stage3.
KillMode=process
UNIT
cat >"$units/laboratory.target" <<'UNIT'
[Unit]
Requires=basic.target
Wants=laboratory.service
After=basic.target
UNIT
exec /lib/systemd/systemd --unit=laboratory.target --log-target=kmsg --log-level=warning --show-status=0
