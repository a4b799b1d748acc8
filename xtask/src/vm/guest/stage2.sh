# PID 1 on the layered root: mounts what a booted system has, runs /run/command, and powers off.
# Standard output, standard error and the exit status leave by a virtio serial port each.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /dev/pts /dev/shm /run/bin /run/lock
/run/busybox --install -s /run/bin
# What Debian has comes first; busybox fills the gaps of this script alone.
tools=$PATH
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
port() {
    for port in /sys/class/virtio-ports/*; do
        [ "$(cat "$port/name")" = "$1" ] && echo "/dev/${port##*/}"
    done
}
# A port can be opened by one process at a time, so the command gets a pipe.
mkfifo /run/out /run/err
cat /run/out >"$(port out)" &
out=$!
cat /run/err >"$(port err)" &
err=$!
PATH=$tools /bin/sh /run/command >/run/out 2>/run/err </dev/null
status=$?
# What the command left running holds the pipes open, and dies with the machine.
for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    case $pid in 1 | "$out" | "$err") continue ;; esac
    # A kernel thread has no program.
    [ -e "$process/exe" ] && kill -KILL "$pid" 2>/dev/null
done
wait "$out" "$err"
echo "$status" >"$(port status)"
sync
poweroff -f
