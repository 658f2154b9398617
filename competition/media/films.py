"""Opening films: by the demuxer that the first bytes name, with no way to any other file, within limits."""

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

from competition.errors import BadInput, UsageError
from competition.files import printable
from competition.media.kinds import ALL_FILMS, Kind, identify, require_file
from competition.media.limits import OWN, Limits

# A playlist under a video's name, or inside one, would make FFmpeg open whatever it lists. The file itself is handed
# over open, so that no protocol is needed at all; external tracks are asked for, to hear of them and refuse.
UNKNOWN = "unknown"
_CLOSED = {"protocol_whitelist": "none"}
_OF_DEMUXER = {"mov": {"enable_drefs": "1"}}


class Film:
    """An open film: its container and its first stream of moving pictures."""

    def __init__(self, container: Any, subject: str, limits: Limits) -> None:
        self.container, self.subject, self.limits = container, subject, limits
        self.seekable = container.format.name != "gif"
        moving = [stream for stream in container.streams.video if not stream.disposition & _cover()]
        if not moving:
            raise BadInput(f"{subject}: holds no moving pictures. Give a video")
        self.stream = moving[0]
        if codec_of(self.stream) == UNKNOWN:
            raise BadInput(f"{subject}: its pictures are packed by a codec that is not known. Convert it to MP4")
        self._require_modest()
        self.stream.thread_type = "AUTO"

    @property
    def step(self) -> int:
        """The usual time from one frame to the next, in the stream's time base, at least 1."""
        rate = self.stream.average_rate or self.stream.guessed_rate or 25
        return max(1, round(1 / Fraction(rate * self.stream.time_base)))

    @property
    def sounds(self) -> list[Any]:
        """The streams of sound that can be decoded."""
        return [stream for stream in self.container.streams.audio if codec_of(stream) != UNKNOWN]

    @property
    def seconds(self) -> float:
        """The length that the header tells, 0 where it tells none."""
        if self.stream.duration:
            return float(self.stream.duration * self.stream.time_base)
        return max(0.0, (self.container.duration or 0) / 1_000_000)

    def frames(self) -> Iterator[Any]:
        """All frames from here on, each with a `pts` above the one before; raises BadInput beyond the limits."""
        first = before = None
        size = None
        for number, frame in enumerate(self._decoded(), 1):
            stamp = frame.dts if frame.pts is None else frame.pts
            if stamp is None or (before is not None and stamp <= before):
                stamp = (0 if before is None else before) + (1 if stamp is not None else self.step)
            frame.pts, before = stamp, stamp
            first, size = stamp if first is None else first, size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                raise BadInput(f"{self.subject}: its frames change size at {stamp}. Cut it there, or convert it")
            self.limits.require(self.subject, "frames", number)
            self.limits.require(self.subject, "seconds", float((stamp - first) * self.stream.time_base))
            self.limits.require(self.subject, "pixels", frame.width * frame.height)
            yield frame

    def packets(self, *streams: Any) -> Iterator[Any]:
        """Packets of some streams in the file's order, without the empty ones that mark its end."""
        with translated(self.subject):
            for packet in self.container.demux(*streams):
                if packet.size and (packet.dts is not None or packet.pts is not None):
                    yield packet

    def seek(self, stamp: int) -> None:
        """Go to the last whole frame at or before a time in the stream's time base, as far as the file allows."""
        with translated(self.subject):
            self.container.seek(stamp, stream=self.stream)

    def _decoded(self) -> Iterator[Any]:
        with translated(self.subject):
            yield from self.container.decode(self.stream)

    def _require_modest(self) -> None:
        """Raise BadInput where the header already tells of more than the limits."""
        stream, limits, subject = self.stream, self.limits, self.subject
        limits.require(subject, "streams", len(self.container.streams))
        limits.require(subject, "pixels", stream.width * stream.height)
        limits.require(subject, "side", max(stream.width, stream.height))
        limits.require(subject, "rate", float(stream.average_rate or stream.guessed_rate or 0))
        limits.require(subject, "seconds", max(self.seconds, (self.container.duration or 0) / 1_000_000))
        limits.require(subject, "frames", stream.frames)
        if not stream.width or not stream.height:
            raise BadInput(f"{subject}: does not tell the size of its frames. Convert it to MP4")
        if not limits.attachments and any(one.type == "attachment" for one in self.container.streams):
            raise BadInput(f"{subject}: has files attached. Take them out: mkvpropedit --delete-attachment")


@contextmanager
def opened(
    path: Path, limits: Limits = OWN, allowed: tuple[Kind, ...] = ALL_FILMS, name: str | None = None
) -> Iterator[Film]:
    """A film that may be read while the block lasts; `name` is what its user calls it.

    Raises BadInput for what is no film of an allowed kind, is named otherwise, wants another file opened, or is beyond
    the limits; UsageError without PyAV.
    """
    av, kind = library(), identify(path, allowed, name)
    subject = printable(name or path)
    limits.require(subject, "bytes", require_file(path))

    def refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
        raise BadInput(f"{subject}: wants another file opened. Give one that holds all of its film")

    options = _CLOSED | {"format_whitelist": kind.demuxer} | _OF_DEMUXER.get(kind.demuxer, {})
    with open(path, "rb", buffering=0) as file:
        with translated(subject):
            container = av.open(
                file,
                format=kind.demuxer,
                container_options=options,
                io_open=refuse,
                buffer_size=2**17,
                metadata_errors="replace",
            )
        with container:
            yield Film(container, subject, limits)


@contextmanager
def translated(subject: str) -> Iterator[None]:
    """Let what FFmpeg says against a file name it."""
    av = library()
    try:
        yield
    except av.error.FFmpegError as error:
        cause = f"cannot be read as a video ({error.strerror})"
        raise BadInput(f"{subject}: {cause}. Convert it, or fetch it again") from error


def library() -> Any:
    """PyAV; raises UsageError where it is not installed."""
    try:
        import av
    except ImportError as error:
        mend = "Install it: pip install -c constraints.txt -e '.[video]'"
        raise UsageError(f"video: PyAV cannot be imported ({error}). {mend}") from error
    return av


def codec_of(stream: Any) -> str:
    """What a stream is packed by, "unknown" where there is no decoder for it."""
    return stream.codec_context.name if stream.codec_context else UNKNOWN


def seconds_of(frame: Any) -> Fraction:
    """When a frame is shown."""
    return Fraction(frame.pts * frame.time_base)


def stamp_of(part: Any) -> int:
    """When a packet is shown; of old containers it is only known when it is decoded."""
    return int(part.dts if part.pts is None else part.pts)


def side_data(frame: Any, kind: str) -> bytes:
    """What a frame carries of a kind, by FFmpeg's name without AV_FRAME_DATA_; empty where that is nothing."""
    try:
        return bytes(frame.side_data[kind])
    except (KeyError, ValueError):  # ValueError: it carries something else as well that PyAV has no name for
        return b""


def orientation(frame: Any) -> tuple[int, bool]:
    """How a frame becomes upright: so many quarter turns to the left, and whether it is mirrored sideways then."""
    content = side_data(frame, "DISPLAYMATRIX")
    if len(content) < 36:
        return round(frame.rotation / 90) % 4, False
    # Pixel (x, y) is shown at (a x + c y, b x + d y), y downwards.
    a, b, _, c, d, *_ = struct.unpack_from("9i", content)
    mirrored = a * d - b * c < 0
    return round(-math.atan2(b, -a if mirrored else a) / (math.pi / 2)) % 4, mirrored


def _cover() -> Any:
    return library().stream.Disposition.attached_pic
