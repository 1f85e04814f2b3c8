# What the device says: log TEXT (serial console and log file), say TEXT (the screen too).

# Is a link to the data partition when that is open.
journal=/run/segcam.log
# Of the log file, which then becomes the one before: two are kept.
log_limit=1048576

log() {
    read -r up rest </proc/uptime
    echo "[$up] $*" | tee -a "$journal"
}

say() {
    log "$*"
    # The text under the pictures: seen when segcam is not there.
    (echo "$*" >/dev/tty1) 2>/dev/null
}

trim_log() {
    file=$(readlink -f "$journal")
    [ "$(stat -c %s "$file")" -ge $log_limit ] || return
    # segcam goes on at the end, wherever that is.
    cp "$file" "$file.old" && : >"$file"
}
