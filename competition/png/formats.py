"""Tells kinds of file apart by their first bytes."""

# Bytes at the beginning of a file that tell what it is: its signature, or the start of a text.
BEGINNING = 512

PNG = b"\x89PNG\r\n\x1a\n"
_PICTURES = {
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"v/1\x01": "OpenEXR",
    b"8BPS": "Photoshop",
    b"\x00\x00\x00\x0cjP": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    PNG: "PNG",
}
_OTHERS = {
    b"RIFF": "another RIFF file",
    b"PK": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "PDF",
    b"\x93NUMPY": "a NumPy array",
    b"version https://git-lfs": "a Git LFS pointer",
}


def recognise(content: bytes) -> tuple[str, bool] | None:
    """The kind of file by its first bytes, and whether it is a picture; None where they are those of no known kind."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP", True
    if content[4:8] == b"ftyp":
        return ("AVIF", True) if content[8:11] == b"avi" else ("HEIC or a film", True)
    start = content[:BEGINNING].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml")) and b"<svg" in start:
        return "SVG", True
    if start.startswith((b"<!doctype html", b"<html")):
        return "HTML", False
    for names, picture in ((_PICTURES, True), (_OTHERS, False)):
        for beginning, name in names.items():
            if content.startswith(beginning):
                return name, picture
    if content and not content[:BEGINNING].strip(b"\0"):
        return "zero bytes", False
    return ("text", False) if start and _is_text(start) else None


def _is_text(content: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n\f" for byte in content) and b"\x7f" not in content
