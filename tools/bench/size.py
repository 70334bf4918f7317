"""How large the artifact is: packed, unpacked, and in lines of our own."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from local.function.emulator import ARTIFACT


@dataclass(frozen=True)
class Size:
    """Bytes of the artifact, and lines of our code in it that are not blank."""

    zipped_bytes: int
    unpacked_bytes: int
    lines: int


def size(artifact: Path = ARTIFACT) -> Size:
    """Return the size of what `make build` made, without what Python may have compiled since."""
    files = [
        path for path in sorted(artifact.rglob("*")) if path.is_file() and "__pycache__" not in path.parts
    ]
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(artifact))
    ours = [file for file in files if file.parent.name == "secret_replicator"]
    lines = sum(bool(line.strip()) for file in ours for line in file.read_text("utf-8").splitlines())
    return Size(len(packed.getvalue()), sum(file.stat().st_size for file in files), lines)
