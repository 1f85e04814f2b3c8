"""Writes what is published of a card's image: compressed, its hash, its block map (for bmaptool),
and its entry in a repository of Raspberry Pi Imager."""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import tomllib

BLOCK = 4096
MIB = 1 << 20


def ranges(card, spans):
    """Blocks that must be written: from the begin of each span to the last byte that is not zero.

    Zeros before that matter (free entries of an allocation table), those behind do not."""
    for begin, end in spans:
        last = begin
        for at in range(begin, end, MIB):
            if card[at : at + MIB].count(0) != MIB:
                last = at + len(card[at : at + MIB].rstrip(b"\0"))
        if last > begin:
            yield begin // BLOCK, (last - 1) // BLOCK


def block_map(card, spans):
    """Version 2.0 of the format that bmaptool reads (github.com/yoctoproject/bmaptool)."""
    found = list(ranges(card, spans))
    mapped = sum(last - first + 1 for first, last in found)
    lines = []
    for first, last in found:
        digest = hashlib.sha256(card[first * BLOCK : (last + 1) * BLOCK]).hexdigest()
        lines.append(f'        <Range chksum="{digest}">{first}-{last}</Range>')
    body = "\n".join(lines)
    text = f"""<?xml version="1.0" ?>
<bmap version="2.0">
    <ImageSize>{len(card)}</ImageSize>
    <BlockSize>{BLOCK}</BlockSize>
    <BlocksCount>{len(card) // BLOCK}</BlocksCount>
    <MappedBlocksCount>{mapped}</MappedBlocksCount>
    <ChecksumType>sha256</ChecksumType>
    <BmapFileChecksum>{"0" * 64}</BmapFileChecksum>
    <BlockMap>
{body}
    </BlockMap>
</bmap>
"""
    # Its own hash is made with zeros in its place.
    return text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest(), 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--title", required=True)
    parser.add_argument("--tag", required=True)
    parser.add_argument("--url", default="")
    parser.add_argument("--board", required=True, type=pathlib.Path)
    parser.add_argument("--map", action="append", help="BEGIN:END in MiB")
    parser.add_argument("card", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    image = arguments.out / f"{arguments.title}.img.xz"
    card = arguments.card.read_bytes()
    spans = [[int(mib) * MIB for mib in span.split(":")] for span in arguments.map]

    # One thread: the bytes depend on how the work is split.
    with open(f"{image}.new", "wb") as new:
        subprocess.run(["xz", "-T1", "-6", "-c", arguments.card], stdout=new, check=True)
    os.replace(f"{image}.new", image)
    packed = image.read_bytes()
    digest = hashlib.sha256(packed).hexdigest()
    image.with_name(image.name + ".sha256").write_text(f"{digest}  {image.name}\n")
    image.with_name(f"{arguments.title}.img.bmap").write_text(block_map(card, spans))

    board = tomllib.loads(arguments.board.read_text())
    made = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC)
    entry = {
        "name": f"{arguments.title.replace('-', ' ', 1)}",
        "description": f"An offline segmentation device on a {board['name']}",
        "url": arguments.url + image.name,
        "release_date": made.strftime("%Y-%m-%d"),
        "extract_size": len(card),
        "extract_sha256": hashlib.sha256(card).hexdigest(),
        "image_download_size": len(packed),
        "image_download_sha256": digest,
        "devices": [arguments.tag],
        # It has no settings that the Imager could write into it.
        "init_format": "none",
    }
    text = json.dumps({"os_list": [entry]}, indent=2) + "\n"
    image.with_name(f"{arguments.title}.json").write_text(text)


if __name__ == "__main__":
    main()
