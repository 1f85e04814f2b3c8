# Drivers, by what the hardware announces.

# Loads the modules of all there is, and from now on of all that comes. The rest of the start need
# not wait for it.
load_drivers() {
    modprobe -q -a vfat nls_cp437 nls_ascii ext4 &
    {
        load_announced
        # Reads the kernel's messages about new devices: /etc/mdev.conf.
        mdev -d
        # What came before it listened.
        load_announced
        log "drivers: $(wc -l </proc/modules) modules"
    } &
}

load_announced() {
    cat /sys/bus/*/devices/*/modalias | sort -u | xargs modprobe -q -b -a
}

# A graphics driver takes the screen from the firmware's plain framebuffer, and takes its time.
wait_for_screen() {
    ls -d /sys/bus/platform/devices/*gpu >/dev/null 2>&1 || return
    for tenth in $(seq 100); do
        [ ! -e /dev/dri/card0 ] || return
        sleep 0.1
    done
    log "no graphics driver has come"
}
