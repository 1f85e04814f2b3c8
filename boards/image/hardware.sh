# Drivers, by what the hardware announces.

# Loads the modules of all there is, and from now on of all that comes.
load_drivers() {
    mdev -d
    find /sys/devices -name modalias -exec cat {} + | sort -u | xargs modprobe -q -b -a
    log "drivers: $(wc -l </proc/modules)"
}

# A graphics driver takes the screen from the firmware's plain framebuffer, and takes its time.
wait_for_screen() {
    grep -q '^vc4 ' /proc/modules || return
    for tenth in $(seq 50); do
        [ -e /dev/dri/card0 ] && return
        sleep 0.1
    done
    log "vc4 found no screen"
}
