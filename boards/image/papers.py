"""Writes the papers of an image into its FAT partition's folder: licences/ with the bill of
materials (sbom.json, CycloneDX 1.5, https://cyclonedx.org/docs/1.5/json), the licences of the
Debian packages and of the Rust crates, and a list of all."""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import sys
import tomllib
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from crates import crates, licence_texts

TARGET = "aarch64-unknown-linux-gnu"


def debian_packages(listing):
    """What boards/fetch printed: SUITE PACKAGE VERSION FOLDER."""
    for line in listing.read_text().splitlines():
        suite, name, version, folder = line.split(" ", 3)
        yield suite, name, version, pathlib.Path(folder)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--packages", required=True, type=pathlib.Path)
    parser.add_argument("--manifest", required=True)
    parser.add_argument("boot", type=pathlib.Path)
    arguments = parser.parse_args()
    licences = arguments.boot / "licences"
    overview = [
        f"segcam {arguments.version} for {arguments.name}",
        "",
        "Debian packages, of which some files are on this card, unmodified. Their licences are the",
        "files beside this one; their source is at Debian: apt-get source PACKAGE=VERSION, or",
        "snapshot.debian.org for all versions there ever were.",
        "",
    ]
    components = []

    for suite, name, version, folder in debian_packages(arguments.packages):
        overview.append(f"    {name} {version} ({suite})")
        components.append({
            "type": "operating-system" if name.startswith("linux-") else "application",
            "bom-ref": f"deb:{name}",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{name}@{version.replace('+', '%2B').replace(':', '%3A')}"
            f"?arch=arm64&distro={suite}",
        })
        copyright_file = folder / "usr/share/doc" / name / "copyright"
        if copyright_file.exists():
            (licences / f"{name}.txt").write_bytes(copyright_file.read_bytes())

    overview += ["", "Rust crates in the program, and their licences (texts: rust-crates.txt):", ""]
    texts = {}
    for crate in crates(arguments.manifest, TARGET):
        name, version, licence = crate["name"], crate["version"], crate["license"] or "see its text"
        overview.append(f"    {name} {version}: {licence}")
        component = {
            "type": "library",
            "bom-ref": f"cargo:{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:cargo/{name}@{version}",
        }
        if crate["license"]:
            # A slash was once the way to write OR.
            component["licenses"] = [{"expression": crate["license"].replace("/", " OR ")}]
        if crate["source"] is None:
            del component["purl"]
        components.append(component)
        for text in licence_texts(crate):
            texts.setdefault(text, []).append(f"{name} {version}")

    overview += ["", "Networks, in the folder models:", ""]
    for path in sorted(arguments.boot.glob("models/*/model.toml")):
        card = tomllib.loads(path.read_text())
        overview.append(f"    {card['name']}, {card['license']}: {card['source']}")
        components.append({
            "type": "machine-learning-model",
            "bom-ref": f"model:{card['name']}",
            "name": card["name"],
            "licenses": [{"expression": card["license"]}],
            "hashes": [{"alg": "SHA-256", "content": card["sha256"]}],
            "description": card["source"],
        })
    for path in sorted(arguments.boot.glob("*")):
        if path.is_file():
            components.append({
                "type": "file",
                "bom-ref": f"file:{path.name}",
                "name": path.name,
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
            })

    made = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC)
    title = f"segcam-{arguments.name}"
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # The same bill has the same number.
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(components)).urn,
        "version": 1,
        "metadata": {
            "timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "firmware",
                "bom-ref": title,
                "name": title,
                "version": arguments.version,
            },
        },
        "components": components,
    }
    (licences / "sbom.json").write_text(json.dumps(bill, indent=1) + "\n")
    (licences / "README.txt").write_text("\n".join(overview) + "\n")
    with open(licences / "rust-crates.txt", "w") as out:
        for text, names in texts.items():
            out.write(f"{', '.join(names)}:\n\n{text}\n\n{'-' * 72}\n\n")


if __name__ == "__main__":
    main()
