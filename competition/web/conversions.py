"""What a job's process does: each is called in the limited process, so what is heavy is imported there."""

import contextlib
import dataclasses
import fcntl
import math
import mimetypes
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from competition.errors import BadInput
from competition.files import write_atomic
from competition.media.limits import MADE, STRANGERS, Limits

Report = Callable[[float, float], None]
Source = tuple[Path, str]
Settings = dict[str, Any]
Result = dict[str, Any]
_PREVIEW = 96  # pixels on a side of the part of a picture that a preview enlarges


def look(sources: list[Source], folder: Path, settings: Settings) -> Result:
    """What an upload is, with a thumbnail beside it; raises BadInput for what is no picture or film."""
    from competition.media.probe import probe
    from competition.media.thumbnail import thumbnail

    [(path, name)] = sources
    found = probe(path, _limits(settings), name=name)
    thumbnail(path, folder / "thumbnail.jpg", limits=_limits(settings), name=name)
    return found._asdict()


def enlarge(sources: list[Source], folder: Path, settings: Settings, report: Report) -> Result:
    """The whole picture or film through the network."""
    [(path, name)] = sources
    if settings["media"] == "film":
        return _film(path, name, folder, settings, report)
    from competition.convert import convert

    made = convert(path, folder / "result.png", **_network(settings), **_before(settings), name=name, report=report)
    return _result(folder, "result.png", *_other_formats(folder), width=made.width, height=made.height)


def preview(sources: list[Source], folder: Path, settings: Settings, report: Report) -> Result:
    """One second of a film, or the middle of a picture: before and after."""
    [(path, name)] = sources
    if settings["media"] == "film":
        start = max(0.0, settings.get("seconds_in_all", 0.0) / 2 - 0.5)
        return _film(path, name, folder, settings, report, start=start, seconds=1.0)
    from competition.convert import convert

    _middle(path, name, folder / "before.png", _limits(settings))
    made = convert(
        folder / "before.png", folder / "result.png", **_network(settings), **_before(settings), report=report
    )
    return _result(folder, "result.png", "before.png", width=made.width, height=made.height)


def estimate(sources: list[Source], folder: Path, settings: Settings) -> Result:
    """Seconds, bytes and size of what `enlarge` would make, measured on a small part."""
    [(path, name)] = sources
    chosen = {**_network(settings), "limits": _limits(settings), "name": name}
    if settings["media"] == "film":
        from competition.video.estimate import estimate_film

        told = estimate_film(path, folder / f"result{_ending(name)}", **chosen)._asdict()
    else:
        from competition.convert import estimate as estimate_picture

        told = estimate_picture(path, **chosen)._asdict()
    return _result(folder, estimate={key: told[key] for key in ("seconds", "bytes", "width", "height")})


def cut(sources: list[Source], folder: Path, settings: Settings, report: Report) -> Result:
    """A part of a film."""
    from competition.video.cut import cut_film

    [(path, name)] = sources
    output = folder / f"result{_ending(name)}"
    chosen = {key: settings[key] for key in ("start", "seconds", "exact")}
    made = cut_film(path, output, **chosen, limits=_limits(settings), name=name, report=report)
    said = {"start": made.start, "seconds": made.seconds, "frames": made.frames, "notes": made.notes}
    return _result(folder, output.name, *_playable(output), **said)


def extract(sources: list[Source], folder: Path, settings: Settings, report: Report) -> Result:
    """The frames of a film, in one file."""
    from competition.video.extract import extract_frames

    [(path, name)] = sources
    output = folder / f"result.{settings['archive']}"
    every = Fraction(str(settings["every"])) if settings["every"] else None
    made = extract_frames(path, output, every, limits=_limits(settings), name=name, report=report)
    return _result(folder, output.name, frames=made.frames, width=made.width, height=made.height)


def merge(sources: list[Source], folder: Path, settings: Settings, report: Report) -> Result:
    """Several films, or several pictures as frames, as one film."""
    from competition.video.merge import merge_clips, merge_pictures

    output = folder / "result.mp4"
    if settings["media"] == "film":
        paths, names = zip(*sources, strict=True)
        made = merge_clips(paths, output, limits=_limits(settings), names=names, report=report)
    else:
        rate = Fraction(str(settings["rate"]))
        made = merge_pictures(sources, output, rate, limits=_limits(settings), report=report)
    return _result(folder, output.name, *_playable(output), frames=made.frames, seconds=made.seconds, notes=made.notes)


def play(sources: list[Source], folder: Path, settings: Settings, report: Report) -> Result:
    """A film that browsers play."""
    from competition.video.play import make_playable

    [(path, name)] = sources
    made = make_playable(path, folder / "play.mp4", limits=_limits(settings), name=name, report=report)
    return _result(folder, "play.mp4", seconds=made.seconds)


OPERATIONS: dict[str, Callable[..., Result]] = {
    one.__name__: one for one in (look, enlarge, preview, estimate, cut, extract, merge, play)
}


def _film(path: Path, name: str, folder: Path, settings: Settings, report: Report, **part: Any) -> Result:
    from competition.video.enlarge import enlarge_film, forget

    output = folder / f"result{_ending(name)}"
    with _alone(folder):
        if output.exists():  # whole: an earlier attempt was ended behind it
            forget(output)
            said = _length(output)
        else:
            chosen = {**_network(settings), **part, "limits": _limits(settings), "name": name}
            made = enlarge_film(path, output, **chosen, report=report)
            said = {"frames": made.frames, "seconds": made.seconds, "notes": made.notes}
        return _result(folder, output.name, *_playable(output), **said)


def _length(path: Path) -> dict[str, Any]:
    """Frames and seconds of a film of our own."""
    from competition.media.films import opened

    with opened(path, MADE) as film:
        return {"frames": sum(packet.size > 0 for packet in film.container.demux(film.stream)), "seconds": film.seconds}


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a job's folder; the process of an earlier attempt, whose worker was killed, may take its time to end."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # NFS has no locks of folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _network(settings: Settings) -> dict[str, Any]:
    ensemble = "mean" if settings["self_ensemble"] else "none"
    return {"source": settings["network"], "scale": int(settings["scale"]), "self_ensemble": ensemble}


def _limits(settings: Settings) -> Limits:
    """Those of strangers, but for what the operator sets; how large a file may be was asked before it came."""
    return dataclasses.replace(STRANGERS, bytes=math.inf, pixels=settings["pixels"])


def _before(settings: Settings) -> dict[str, Any]:
    """What is done to a picture before the network."""
    return {key: settings[key] for key in ("denoise", "strength", "sharpen")} | {"limits": _limits(settings)}


def _ending(name: str) -> str:
    """The ending of a visitor's name, which `look` found to be that of the content."""
    ending = Path(name).suffix.lower()
    if not ending[1:].isalnum() or len(ending) > 5:
        raise BadInput(f"{name}: has no ending of a picture or a film. Rename it")
    return ending


def _middle(path: Path, name: str, target: Path, limits: Limits) -> None:
    """The middle of a picture, cut out as it is."""
    from competition.media.pictures import encode_picture, read_picture

    picture = read_picture(path, limits, name)
    top, left = (max(0, (side - _PREVIEW) // 2) for side in picture.pixels.shape[:2])
    middle = picture.pixels[top : top + _PREVIEW, left : left + _PREVIEW]
    write_atomic(target, encode_picture(picture._replace(pixels=middle, alpha=None), "png"))


def _other_formats(folder: Path) -> list[str]:
    """The picture as JPEG and WebP as well, as far as they hold one so large."""
    from competition.media.pictures import Format, encode_picture, read_picture

    picture = read_picture(folder / "result.png", MADE)
    written = []
    formats: dict[str, Format] = {"result.jpg": "jpeg", "result.webp": "webp"}
    for name, format in formats.items():
        with contextlib.suppress(BadInput):
            write_atomic(folder / name, encode_picture(picture, format))
            written.append(name)
    return written


def _playable(film: Path) -> list[str]:
    """A version of a film for browsers, where they do not play it as it is."""
    from competition.media.probe import probe
    from competition.video.play import make_playable

    if probe(film, MADE).playable:
        return []
    make_playable(film, film.with_name("play.mp4"), limits=MADE)
    return ["play.mp4"]


def _result(folder: Path, *names: str, **said: Any) -> Result:
    """What a page needs to know of the files that were made."""
    sizes = {name: (folder / name).stat().st_size for name in names}
    files = [{"name": name, "type": mimetypes.guess_type(name)[0], "bytes": size} for name, size in sizes.items()]
    return {"files": files, "bytes": sum(sizes.values()), **said}
