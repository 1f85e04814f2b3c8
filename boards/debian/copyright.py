"""Prints the package's copyright file: copyright.py TARGET, in the repository."""

import pathlib
import re
import sys
import tomllib

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "boards"))
from crates import crates, licence_texts  # noqa: E402

RULE = "-" * 72
APACHE = re.compile(r"TERMS AND CONDITIONS FOR USE.*END OF TERMS AND CONDITIONS", re.DOTALL)
HEAD = """\
segcam: segmentation of a camera's pictures, offline, on the screen.

{licence}
{rule}
The networks under /usr/share/segcam/models, of which selfie is in the program, too:

{networks}
{rule}
The photograph in the program (the camera synthetic:portrait) is NASA's portrait of Eileen
Collins, GPN-2000-001177, in the public domain.

{rule}
Linked into the program, where it is linked statically: the GNU C Library, Copyright (C) 1988-2022
Free Software Foundation, Inc. and others, under the GNU Lesser General Public License 2.1 or later
(/usr/share/common-licenses/LGPL-2.1); its source is Debian's package glibc, and boards/cross links
the program anew with another. Rust's standard library, Copyright (c) The Rust Project Contributors,
MIT OR Apache-2.0; the text of the first is that of others below.

The Apache License, Version 2.0, is in /usr/share/common-licenses/Apache-2.0.

{rule}
Rust crates in the program, and their licences:

{crates}

{rule}
Their notices and texts, the Apache License left out:
"""


def networks():
    for path in sorted(root.glob("models/*/model.toml")):
        card = tomllib.loads(path.read_text())
        yield f"{card['name']}: {card['license']}\n  {card['source']}"
        notice = path.with_name("NOTICE")
        if notice.exists():
            yield f"\n{notice.read_text()}"


def main():
    found = crates(root / "Cargo.toml", sys.argv[1])
    found = [crate for crate in found if crate["source"]]
    texts = {}
    for crate in found:
        for text in licence_texts(crate):
            text = APACHE.sub("[see /usr/share/common-licenses/Apache-2.0]", text)
            if not re.match(r"\s*Apache License", text) or "[see " not in text:
                texts.setdefault(text, []).append(f"{crate['name']} {crate['version']}")
    licence = (root / "LICENSE-MIT").read_text().strip()
    print(HEAD.format(
        licence=(root / "LICENSE").read_text() + "\n" + licence + "\n",
        networks="\n".join(networks()),
        crates="\n".join(f"  {crate['name']} {crate['version']}: {crate['license']}" for crate in found),
        rule=RULE,
    ))
    for text, names in texts.items():
        print(f"{RULE}\n{', '.join(names)}:\n\n{text}\n")


if __name__ == "__main__":
    main()
