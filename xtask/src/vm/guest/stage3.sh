# Runs /run/command, and powers off: as PID 1, or as a service of systemd's. Standard output, standard error
# and the exit status leave by a virtio serial port each.
tools=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
PATH=$tools:/run/bin
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
    case $pid in 1 | $$ | "$out" | "$err") continue ;; esac
    # A kernel thread has no program.
    [ -e "$process/exe" ] && kill -KILL "$pid" 2>/dev/null
done
wait "$out" "$err"
echo "$status" >"$(port status)"
sync
poweroff -f
