#!/bin/busybox sh
# /init of the initramfs: makes the machine's root, shared read-only, writable by a throw-away
# layer, and hands over to stage2. The kernel's command line holds lab.kernel, the directory on
# the host whose lib/modules belong to this kernel, or lab.probe when booting alone was asked for.
export PATH=/bin
/bin/busybox --install -s /bin 2>/dev/null
mkdir -p /proc /sys /dev /host /layer /newroot
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
fail() {
    echo "laboratory: $*" >/dev/console
    poweroff -f
}
for word in $(cat /proc/cmdline); do
    case $word in
    lab.kernel=*) kernel=${word#*=} ;;
    lab.probe)
        echo "laboratory: booted" >/dev/console
        poweroff -f
        ;;
    esac
done
for module in $(cat /modules/order); do
    insmod "/modules/$module" || fail "insmod $module failed"
done
mount -t virtiofs -o ro host /host || fail "the host's root cannot be mounted"
mount -t tmpfs -o size=75%,mode=755 layer /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work overlay /newroot ||
    fail "no layer over the host's root"
mount --move /dev /newroot/dev
mount --move /proc /newroot/proc
mount --move /sys /newroot/sys
mkdir -p /newroot/lib/modules
mount --bind "/host$kernel/lib/modules" /newroot/lib/modules || fail "no modules in $kernel"
mount -t tmpfs -o mode=755 run /newroot/run
cp /bin/busybox /stage2 /stage3 /command /newroot/run/
exec switch_root /newroot /run/busybox sh /run/stage2
