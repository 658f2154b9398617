"""Small films made on the spot: a grey ramp, a moving line and the frame's number; a tone for sound."""

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np

from competition.images import Bytes

# Encoders by the ending of a name.
CODECS = {
    "mkv": ("libx264", "yuv420p", "aac"),
    "mp4": ("libx264", "yuv420p", "aac"),
    "mov": ("libx264", "yuv420p", "aac"),
    "webm": ("libvpx-vp9", "yuv420p", "libopus"),
    "wmv": ("wmv2", "yuv420p", "wmav2"),
    "gif": ("gif", "rgb8", ""),
    "avi": ("mjpeg", "yuvj420p", ""),
}
RATE = 25


def picture(number: int, height: int = 32, width: int = 48) -> Bytes:
    """A ramp from left to right, a white line that moves, the number as the brightness of a corner."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = np.linspace(16, 235, width).astype(np.uint8)[None, :, None]
    pixels[:, number % width] = 255
    pixels[:8, :8] = number * 8 % 256
    return pixels


def make_film(
    path: Path,
    frames: int = 12,
    size: tuple[int, int] = (32, 48),
    sound: bool = True,
    stamps: list[int] | None = None,
    chapters: bool = False,
    subtitles: bool = False,
    codec: str = "",
    pixel_format: str = "",
    picture=picture,
    **context: object,
) -> Path:
    """Write a film of 25 frames a second, or of `stamps` in hundredths of a second; `context` is the encoder's."""
    import av

    usual, format, voice = CODECS[path.suffix[1:]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec or usual, rate=RATE)
        stream.height, stream.width, stream.pix_fmt = *size, pixel_format or format
        stream.codec_context.time_base = Fraction(1, 100)
        if (codec or usual) == "libx264":
            stream.options = {"g": "5", "bf": "0" if stamps else "2"}
        rotation, mirrored = context.pop("rotation", 0), context.pop("mirrored", False)
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        tone = container.add_stream(voice, rate=48000, layout="stereo", bit_rate=96000) if sound and voice else None
        text = container.add_mux_stream("subrip") if subtitles else None
        if chapters:
            _name_chapters(container)
        for number in range(frames):
            stamp = stamps[number] if stamps else number * 100 // RATE
            _add_frame(container, stream, picture(number, *size), stamp, context.get("color_range"))
        container.mux(stream.encode())
        if text:
            _add_words(container, text)
        if tone:
            _add_tone(container, tone, 48000 * frames // RATE)
    return path


def _name_chapters(container) -> None:
    """Two, each a fifth of a second long, and a title."""
    base = Fraction(1, 1000)
    parts = [(0, 0, 200, "one"), (1, 200, 400, "two")]
    container.set_chapters(
        [
            {"id": number, "start": start, "end": end, "time_base": base, "metadata": {"title": title}}
            for number, start, end, title in parts
        ]
    )
    container.metadata["title"] = "A film"


def _add_frame(container, stream, pixels: Bytes, stamp: int, colours: object) -> None:
    import av

    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    frame = frame.reformat(format=stream.pix_fmt, dst_color_range=colours)
    frame.pts, frame.time_base = stamp, Fraction(1, 100)
    container.mux(stream.encode(frame))


def _add_words(container, text) -> None:
    import av

    packet = av.Packet(b"words")
    packet.stream, packet.pts, packet.dts, packet.duration = text, 100, 100, 200
    packet.time_base = Fraction(1, 1000)
    container.mux(packet)


def _add_tone(container, tone, count: int) -> None:
    """So many samples of 440 Hz."""
    import av

    context = tone.codec_context
    resampler = av.AudioResampler(context.format, "stereo", 48000, frame_size=context.frame_size or None)
    wave = (np.sin(np.arange(count) * 440 * 2 * np.pi / 48000) * 9000).astype(np.int16)
    whole = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], format="s16", layout="stereo")
    whole.sample_rate, whole.pts, whole.time_base = 48000, 0, Fraction(1, 48000)
    for part in [*resampler.resample(whole), *resampler.resample(None)]:
        container.mux(tone.encode(part))
    container.mux(tone.encode())


def frames_of(path: Path) -> list[tuple[float, Bytes]]:
    """Seconds and RGB of every frame."""
    import av

    with av.open(str(path)) as container:
        return [
            (float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
        ]


def packets_of(path: Path, kind: str) -> list[bytes]:
    """The packets of the first stream of a kind."""
    import av

    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


# ---- hostile --------------------------------------------------------------------------------------------------------


def box(name: bytes, content: bytes) -> bytes:
    """A part of an MP4 file."""
    return struct.pack(">I", 8 + len(content)) + name + content


def refer_outside(film: bytes, target: str) -> bytes:
    """An MP4 whose tracks lie in another file, by a data reference such as QuickTime's."""

    def rebuilt(content: bytes) -> bytes:
        made, at = b"", 0
        while at + 8 <= len(content):
            size, name = struct.unpack(">I", content[at : at + 4])[0], content[at + 4 : at + 8]
            inner = content[at + 8 : at + size]
            if name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
                inner = rebuilt(inner)
            elif name == b"dref":
                inner = bytes(4) + struct.pack(">I", 1) + box(b"alis", bytes(4) + alias(target))
            made += box(name, inner)
            at += size
        return made

    return rebuilt(film)


def alias(target: str) -> bytes:
    """A record of a file on another volume, as QuickTime writes it: by its absolute path."""
    name = target.rsplit("/", 1)[-1].encode()[:63]
    head = bytes(4) + struct.pack(">HHH", 0, 2, 0) + b"\x04disk".ljust(28, b"\0") + bytes(12)
    head += bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16) + struct.pack(">hh", 1, 1) + bytes(16)
    path = target.encode()
    record = struct.pack(">HH", 2, len(path)) + path + b"\0" * (len(path) % 2)
    relative = struct.pack(">HH", 18, len(path)) + path + b"\0" * (len(path) % 2)
    return head + record + relative + struct.pack(">HH", 0xFFFF, 0)


def avi_with_subtitles(text: bytes) -> bytes:
    """An AVI with a GAB2 subtitle of this text, which FFmpeg opens by a demuxer of its own choice."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)

    def listed(name: bytes, *parts: bytes) -> bytes:
        return chunk(b"LIST", name + b"".join(parts))

    gab2 = b"GAB2\0" + struct.pack("<HI", 2, 2) + b"a\0" + struct.pack("<HI", 4, len(text)) + text
    header = struct.pack("<14I", 40000, 0, 0, 0, 1, 0, 2, 0, 48, 32, 0, 0, 0, 0)
    pictures = b"vidsMJPG" + struct.pack("<10I", 0, 0, 0, 1, 25, 0, 1, 0, 0, 0) + bytes(8)
    format = struct.pack("<IiiHH4s5I", 40, 48, 32, 1, 24, b"MJPG", 0, 0, 0, 0, 0)
    words = b"txts" + bytes(4) + struct.pack("<10I", 0, 0, 0, 1, 25, 0, 1, 0, 0, 0) + bytes(8)
    streams = listed(b"strl", chunk(b"strh", pictures), chunk(b"strf", format))
    streams += listed(b"strl", chunk(b"strh", words), chunk(b"strf", b""))
    movie = listed(b"movi", chunk(b"01tx", gab2))
    return chunk(b"RIFF", b"AVI " + listed(b"hdrl", chunk(b"avih", header), streams) + movie)
