# Changes of settings and models: a folder "new" on the card, or "segcam" on a USB stick, with a
# segcam.toml, a folder models, or both. They are tried first; only what works replaces the old,
# which stays as segcam.toml.old and models.old.
#
# Whenever the power goes, the card has the old or the new: what is tried lies in /boot/new, gets
# the mark "checked" when it works, and then is moved; a move that was interrupted is ended at the
# next start.

# Partitions that were seen.
sticks=
# The stick that was taken or refused last, as a hash of its files.
stick_mark=/data/stick

# At the start: ends what was interrupted.
settle_changes() {
    if [ -e /boot/new/checked ]; then
        log "an interrupted change is finished"
        writing_boot replace
    fi
    [ ! -e /boot/new.part ] || writing_boot rm -rf /boot/new.part
    if [ ! -e "$settings" ]; then
        if [ -e "$settings.old" ]; then
            say "The card has no segcam.toml: the old one is used."
            settings=$settings.old
        else
            say "The card has no segcam.toml: default settings are used."
            settings=/lib/segcam/segcam.toml
        fi
    fi
}

# Tries what lies in /boot/new, and takes or refuses it.
take_change() {
    [ -e /boot/new/segcam.toml ] || [ -d /boot/new/models ] || return
    say "Trying the change from $1 ..."
    if reason=$(try); then
        if writing_boot accept; then
            settings=/boot/segcam.toml
            say "It works and is used from now on. The old is kept as segcam.toml.old and models.old."
        else
            say "It works, but the card cannot be written."
        fi
    else
        say "It does not work and is refused; the old stays:"
        say "$reason"
        writing_boot refuse "$reason"
    fi
    # So that it can be read.
    sleep 5
}

accept() {
    log "the card is written"
    : >/boot/new/checked && sync && replace
}

replace() {
    cd /boot/new || return
    mkdir -p /boot/models
    for path in segcam.toml models/*; do
        [ -e "$path" ] || continue
        if [ -e "/boot/$path" ]; then
            case $path in
                models/*) old=/boot/models.old/${path#models/} ;;
                *) old=/boot/$path.old ;;
            esac
            mkdir -p "${old%/*}" && rm -rf "$old" && mv "/boot/$path" "$old" || return
            sync
        fi
        mv "$path" "/boot/$path" || return
        sync
    done
    cd / && rm -rf /boot/new
}

refuse() {
    rm -rf /boot/refused
    mv /boot/new /boot/refused
    echo "$1" >/boot/refused/why.txt
}

# Runs each new model, then the new settings with one picture; prints the reason where one fails.
try() {
    # The card as it would be.
    rm -rf /run/try
    mkdir -p /run/try/models
    for model in /boot/models/* /boot/new/models/*; do
        [ ! -e "$model" ] || ln -sfn "$model" /run/try/models/
    done
    cd /run/try || return
    for model in /boot/new/models/*; do
        [ -e "$model" ] || continue
        case $model in *.txt | */.*) continue ;; esac
        attempt segcam bench "models/${model##*/}" --iterations 1 --json || return
    done
    [ -e /boot/new/segcam.toml ] || return 0
    cp /boot/new/segcam.toml /run/try/segcam.toml
    attempt segcam run --board ./segcam.toml --camera synthetic:portrait --display null: --frames 1
}

attempt() {
    timeout 120 "$@" >/dev/null 2>/run/reason && return
    status=$?
    [ $status != 143 ] || echo "no answer in two minutes" >>/run/reason
    [ -s /run/reason ] || echo "segcam ended ($status)" >/run/reason
    tail -n 3 /run/reason
    return 1
}

# Whether a stick that was not there before brings a change; then it lies at /stick.
stick_came() {
    known=$sticks sticks=
    for stick in /sys/class/block/sd*; do
        stick=/dev/${stick##*/}
        # The card itself may be in a reader.
        case $stick in "${card:-none}"*) continue ;; esac
        [ ! -b "$stick" ] || sticks="$sticks $stick "
    done
    for stick in $sticks; do
        case $known in *" $stick "*) continue ;; esac
        # Whole sticks may have no partitions, and those that have them no file system.
        mount -t vfat -o ro,$harmless "$stick" /stick || mount -t exfat -o ro,$harmless "$stick" /stick || continue
        mark=$(cd /stick/segcam && find . -type f | sort | xargs -r -d '\n' sha256sum | sha256sum)
        # It may stay where it is, also over a restart.
        [ ! -d /stick/segcam ] || [ "$mark" = "$(cat $stick_mark)" ] || return 0
        umount /stick
    done 2>/dev/null
    return 1
}

take_stick() {
    writing_boot copy_stick
    copied=$?
    umount /stick
    if [ $copied = 0 ]; then
        take_change "the USB stick"
    else
        say "The USB stick's folder segcam does not fit on the card, or cannot be read."
        sleep 5
    fi
    echo "$mark" >$stick_mark
    sync
}

copy_stick() {
    rm -rf /boot/new /boot/new.part
    if cp -r /stick/segcam /boot/new.part && sync; then
        rm -f /boot/new.part/checked
        mv /boot/new.part /boot/new
    else
        rm -rf /boot/new.part
        return 1
    fi
}
