#!/bin/sh
# Counts the AArch64 instructions of one inference, on any machine, the same in every run.
#
#     tests/bench/arm.sh [--frame] [NAME=]MODEL.onnx ...
#
# With --frame also what a frame costs beside its inference, from a 640x480 YUYV buffer to a
# screen's of that size (tests/bench/frames.rs).
#
# The bare network runs three times on one thread (tests/bench/inferences.rs) under QEMU with a
# counting plugin; the table has the third's count, and beside it the peers'. Pictures go in as
# floats; scores come out as bytes, which is what `segcam run` makes labels of. Environment:
# ARMCOUNT, the folder with the plugin's icount.c and qplug.h (default ../shared/tools/armcount);
# CPUS (default "cortex-a53 cortex-a76"); SEGCAM_KERNELS as always.
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || { sed -n '2,/^set/{/^#/p}' "$0" | cut -c 3-; exit 2; }

armcount=${ARMCOUNT:-../shared/tools/armcount}
cpus=${CPUS:-cortex-a53 cortex-a76}
built=${CARGO_TARGET_DIR:-target}
[ -f "$armcount/icount.c" ] || {
    echo "no icount.c in $armcount: set ARMCOUNT to the folder of the plugin's sources" >&2
    exit 2
}

missing=
for package in gcc qemu-user; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
if [ -n "$missing" ]; then
    [ "$(id -u)" = 0 ] || { echo "missing; as root: apt-get install$missing" >&2; exit 2; }
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >&2
fi

boards/cross aarch64 build --quiet --release --example inferences --example frames
examples=$built/aarch64-unknown-linux-gnu/release/examples

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -O2 -shared -fPIC -o "$work/icount.so" "$armcount/icount.c"

# Field $1 of the last inference, in millions.
field() {
    awk -v name="$1" '
        / mark / {
            for (i = 1; i <= NF; i++) {
                split($i, pair, "=")
                if (pair[1] == name) { before = now; now = pair[2] }
            }
        }
        END { printf "%.1f", (now - before) / 1e6 }' "$work/count"
}

if [ "$1" = --frame ]; then
    shift
    echo "640x480 YUYV to the screen, beside the network:"
    for cpu in $cpus; do
        ICOUNT_OUT="$work/count" qemu-aarch64 -cpu "$cpu" -plugin "$work/icount.so" "$examples/frames"
        # Marks 3 and 4 are around the bare network, 7 and 8 around a whole frame.
        awk -v cpu="$cpu" '
            / mark / { sub("total=", "", $3); mark[++n] = $3 }
            END {
                beside = mark[8] - mark[7] - (mark[4] - mark[3])
                printf "%-11s %.2f million, %.1f a pixel\n", cpu, beside / 1e6, beside / (640 * 480)
            }' "$work/count"
    done
    [ $# -gt 0 ] || exit 0
fi

printf '%-12s %-11s %-8s %10s %8s %8s %8s %8s\n' \
    network cpu kernels 'million' load store branch int
for argument; do
    name=${argument%%=*}
    model=${argument#*=}
    [ "$name" != "$model" ] || name=$(basename "$(dirname "$model")")
    for cpu in $cpus; do
        kernels=$(ICOUNT_OUT="$work/count" qemu-aarch64 -cpu "$cpu" \
            -plugin "$work/icount.so" "$examples/inferences" "$model")
        printf '%-12s %-11s %-8s %10s %8s %8s %8s %8s\n' "$name" "$cpu" "$kernels" \
            "$(field total)" "$(field load)" "$(field store)" "$(field branch)" "$(field int)"
    done
done
cat <<'TABLE'

Peers, int8, million instructions of one inference (November 2026, the same plugin):
                        unet               fcn
                   A53     A76        A53     A76
ncnn               379     358         89      51
LiteRT/XNNPACK    1187     311        127      53
ONNX Runtime      1052     454        113      70
MNN (f32)          421     421         91      92
tract (float)     2408       -        249       -
TABLE
