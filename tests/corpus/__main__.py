"""Write the corpus: `python tests/corpus FOLDER`. The Python needs bpy.

FOLDER/files gets the files, and FOLDER/corpus.etf the list of them, as a term of Erlang.
"""

import sys
from pathlib import Path

from entry import Entry
from exported_files import exported_files
from hostile_files import hostile_files
from written_files import written_files

from vendor_term_codec import encode

_SAMPLES = {
    "glb": "exported rigged.glb",
    "gltf": "written skin.gltf",
    "fbx": "exported rigged.fbx",
    "obj": "exported coloured.obj",
    "usda": "exported coloured.usda",
    "usdc": "exported rigged.usdc",
    "usdz": "exported textured.usdz",
    "stl": "exported coloured.stl",
    "text.stl": "written text box.stl",
    "ply": "exported coloured.ply",
    "text.ply": "written Box ascii.ply",
    "abc": "exported moving.abc",
    "blend": "exported rigged.blend",
    "zstd.blend": "exported zstd.blend",
}
"""The files that are cut and changed, by their suffix."""


def main(folder: Path) -> None:
    """Write all files and the list."""
    files = folder / "files"
    files.mkdir(parents=True)
    entries = [*written_files(), *exported_files()]
    named = {entry.name: entry for entry in entries}
    samples = {suffix: named[name] for suffix, name in _SAMPLES.items()}
    entries += hostile_files(samples, files, folder / "victim")
    for entry in entries:
        _write(entry, files)
    (folder / "corpus.etf").write_bytes(encode([entry.term(files) for entry in entries]))
    print(len(entries), "files", flush=True)


def _write(entry: Entry, files: Path) -> None:
    path = files / entry.name
    if entry.data is not None:
        with path.open("xb") as file:
            file.write(entry.data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
