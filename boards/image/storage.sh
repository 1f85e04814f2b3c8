# The card: /boot is what the user changes, read-only but for moments; /data has log and recordings.

# The card's number in its partition table (boards/build), as it lies there.
card_number=d0a36c5e
settings=/boot/segcam.toml
# Nothing on a card or stick is a program.
harmless=noatime,nosuid,nodev,noexec
card=

find_card() {
    for disk in /sys/block/mmcblk* /sys/block/sd* /sys/block/nvme*; do
        disk=/dev/${disk##*/}
        [ -b "$disk" ] || continue
        [ "$(dd if="$disk" bs=4 skip=110 count=1 2>/dev/null | xxd -p)" = $card_number ] || continue
        case $disk in
            *[0-9]) card=${disk}p ;;
            *) card=$disk ;;
        esac
        [ -b "${card}2" ] && return
    done
    return 1
}

open_card() {
    for tenth in $(seq 150); do
        find_card && break
        sleep 0.1
    done
    if [ -z "$card" ]; then
        say "The card cannot be read. Default settings are used; write the card anew."
    elif ! mount -t vfat -o ro,$harmless "${card}1" /boot; then
        say "The card's first partition cannot be read. Default settings are used; write the card anew."
    fi
    [ -z "$card" ] || open_data
    mkdir -p /data/log
    # What was said so far.
    (echo; cat "$journal") >>/data/log/segcam.log
    ln -sf /data/log/segcam.log "$journal"
}

open_data() {
    e2fsck -p "${card}2" >/run/e2fsck 2>&1
    # 0 was clean, 1 is now, 2 wants a restart that matters to a mounted one only.
    [ $? -lt 4 ] && mount_data && return
    log "data partition: $(tail -n 2 /run/e2fsck | tr '\n' ' ')"
    zcat /lib/segcam/data.gz | dd of="${card}2" bs=1M conv=fsync 2>/dev/null
    if mount_data; then
        say "The card's data partition was broken and is made anew; its log and recordings are gone."
    else
        say "The card's data partition cannot be written: the card is worn out. Logs are lost when switched off."
    fi
}

mount_data() {
    mount -t ext4 -o errors=continue,$harmless "${card}2" /data && touch /data/writable
}

# Does something with /boot open for writing.
writing_boot() {
    mount -o remount,rw /boot || return
    "$@"
    done=$?
    sync
    mount -o remount,ro /boot
    return $done
}
