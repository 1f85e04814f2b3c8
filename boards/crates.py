"""The Rust crates that the program is linked from, and their licences."""

import json
import pathlib
import subprocess


def crates(manifest, target):
    """cargo's descriptions of them, by name; the program's own crate is one."""
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", target]
    answer = subprocess.run([*command, "--manifest-path", manifest], check=True, capture_output=True)
    metadata = json.loads(answer.stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, open_ = set(), [metadata["resolve"]["root"]]
    while open_:
        if (at := open_.pop()) in found:
            continue
        found.add(at)
        for dependency in nodes[at]["deps"]:
            # What builds and tests the program is not in it.
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                open_.append(dependency["pkg"])
    return sorted((packages[at] for at in found), key=lambda crate: (crate["name"], crate["version"]))


def licence_texts(crate):
    """The texts of its licences, and its notices."""
    folder = pathlib.Path(crate["manifest_path"]).parent
    names = ("licen", "copying", "notice", "unlicense")
    files = [path for path in folder.iterdir() if path.is_file() and path.name.lower().startswith(names)]
    return [path.read_text(errors="replace").strip() for path in sorted(files)]
