# Makes the segcam.toml of a card out of a board file: says to its user what the lines mean.
BEGIN {
    print "# The device's settings. Change them with any text editor, on any computer, then put the card"
    print "# back and switch on. A mistake is shown on the screen in words."
    print ""
    said["threads"] = "Processor cores for the network."
    said["memory_mb"] = "The most that the network may take."
    said["model"] = "\"builtin\" finds persons. A folder of yours in models: model = \"models/NAME\""
    said["camera"] = "\"v4l2:\" is the first USB camera, \"v4l2:?width=1280&height=720\" the same at a size,\n# \"file:picture.png\" a picture on this card, \"synthetic:portrait\" a film inside the program."
    said["display"] = "The first of these that is there: a monitor, a plain framebuffer. For a panel on the SPI pins\n# see also config.txt."
    said["rotate"] = "Of the picture on the screen, clockwise: 0, 90, 180 or 270."
    said["stale_after_ms"] = "A result older than so many milliseconds is no longer shown."
    said["watchdog"] = "Starts the board anew when the program hangs."
}
# From here on for the image's builder.
/^\[image\]/ { exit }
/^#/ { next }
{
    key = $1
    if (key in said) { printf "\n# %s\n", said[key]; seen[key] = 1 }
    print
    if (key == "display" && !("rotate" in seen)) { printf "\n# %s\n#rotate = 0\n", said["rotate"] }
}
