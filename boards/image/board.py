"""Prints the [image] table of a board file as assignments for a shell; lists become words."""

import pathlib
import shlex
import sys
import tomllib

path = pathlib.Path(sys.argv[1])
image = tomllib.loads(path.read_text()).get("image")
if image is None:
    sys.exit(f"{path}: has no [image] table: there is no image for this board")
for key in ("suite", "device_trees", "firmware", "config", "console", "imager"):
    value = image.get(key, "")
    words = value if isinstance(value, str) else " ".join(value)
    print(f"{key}={shlex.quote(words)}")
