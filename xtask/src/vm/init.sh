#!/bin/busybox sh
# The first process of a virtual machine: sets it up, says what it is, runs the tests, turns it off.
# What it is told stands on the kernel's command line, and so comes as its environment.
# Should it die, so does the machine, without the lines that vm/verdict.rs waits for.

/bin/busybox --install -s /bin
export PATH=/bin HOME=/root TMPDIR=/tmp
token=$WKSP_VM_TOKEN
unset WKSP_VM_TOKEN

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
ln -s /proc/self/fd /dev/fd
mkdir /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp

echo "machine $WKSP_VM_MACHINE: $(uname -sr), up after $(cut -d ' ' -f 1 /proc/uptime) seconds"
for node in /sys/devices/system/node/node[0-9]*; do
    cpus=""
    for cpu in "$node"/cpu[0-9]*; do
        if [ -e "$cpu" ]; then cpus="$cpus ${cpu##*/cpu}"; fi
    done
    huge=$(cat "$node/hugepages/hugepages-2048kB/nr_hugepages")
    gigantic=$(cat "$node/hugepages/hugepages-1048576kB/nr_hugepages")
    free=$(awk '/MemFree/ { print int($4 / 1024) }' "$node/meminfo")
    echo "node ${node##*/node}: cpus${cpus:- none}; distances $(cat "$node/distance");" \
        "pages $huge huge, $gigantic gigantic; $free MiB free"
done

# Runs a test program, and says how it ended.
run() {
    name=$1
    shift
    "$@" </dev/null
    status=$?
    printf '\n%s %s ended with %d\n' "$token" "$name" "$status"
}

if [ -n "$WKSP_VM_SHELL" ]; then
    cat /plan
    setsid cttyhack sh
else
    . /plan
fi
poweroff -f
