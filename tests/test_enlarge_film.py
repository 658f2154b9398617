"""Films through the network: every frame at its time, what lies beside them kept, chunks that survive any end."""

import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import small_disks
from film_files import frames_of, make_film, packets_of, picture

from competition.errors import BadInput, StorageError, UsageError
from competition.media.limits import STRANGERS
from competition.media.probe import probe
from competition.media.thumbnail import thumbnail
from competition.upscaler import Enlarger
from competition.video.__main__ import main
from competition.video.cut import cut_film
from competition.video.enlarge import enlarge_film, forget, work_folder
from competition.video.estimate import estimate_film
from competition.video.light import Light, light_of
from competition.video.merge import merge_clips

av = pytest.importorskip("av")
FFMPEG = shutil.which("ffmpeg")
UNEVEN = [0, 4, 8, 20, 21, 22, 30, 50, 54, 58, 62, 90]


def streams(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [stream.type for stream in container.streams]


def look(path: Path) -> tuple[object, ...]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        shape = stream.sample_aspect_ratio, frame.rotation, frame.width, frame.height
        return *shape, frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc, frame.format.name


# ---- frames ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mkv", "mp4", "mov", "webm", "wmv", "gif"])
def test_every_frame_is_enlarged_and_keeps_its_time(tmp_path, ending):
    film = make_film(tmp_path / f"film.{ending}", stamps=UNEVEN, sound=False)
    done = enlarge_film(film, tmp_path / f"out.{ending}", "nearest", 2, chunk=5)
    before, after = frames_of(film), frames_of(tmp_path / f"out.{ending}")
    assert (done.frames, done.kept, done.notes) == (12, 0, ())
    start = after[0][0] - before[0][0]  # WMV begins later
    for (seconds, low), (shown, high) in zip(before, after, strict=True):
        assert shown - start == pytest.approx(seconds, abs=0.001)
        assert high.shape == (64, 96, 3)
        assert np.abs(high[::2, ::2].astype(int) - low).mean() < (14 if ending == "gif" else 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"film.{ending}", f"out.{ending}"]


@pytest.mark.parametrize("ending", ["mkv", "mp4", "gif"])
def test_the_last_frame_is_shown_as_long_as_before(tmp_path, ending):
    film = make_film(tmp_path / f"film.{ending}", stamps=UNEVEN, sound=False)
    done = enlarge_film(film, tmp_path / f"out.{ending}", "nearest", 2)
    with av.open(str(film)) as low, av.open(str(tmp_path / f"out.{ending}")) as high:
        assert high.duration == pytest.approx(low.duration, abs=40_000)
        assert done.seconds == pytest.approx(low.duration / 1e6, abs=0.04)


@pytest.mark.parametrize(
    ("range", "matrix", "format"),
    [(1, 1, "yuv420p"), (1, 6, "yuv420p"), (2, 1, "yuv420p"), (2, 6, "yuv444p"), (1, 9, "yuv420p10le")],
)
def test_range_and_matrix_are_those_of_the_film_and_grey_stays_grey(tmp_path, range, matrix, format):
    def ramp(number: int, height: int, width: int) -> np.ndarray:
        return (
            np.repeat(np.linspace(0, 255, width // 16).astype(np.uint8), 16)[None, :, None]
            .repeat(height, 0)
            .repeat(3, 2)
        )

    context = {"color_range": range, "colorspace": matrix, "color_primaries": 1, "color_trc": 1}
    film = make_film(
        tmp_path / "film.mkv", 2, (64, 256), False, codec="ffv1", pixel_format=format, picture=ramp, **context
    )
    enlarge_film(film, tmp_path / "out.mkv", "nearest", 2)
    depth = "p10le" if "10" in format else "p"
    *colours, format_kept = look(tmp_path / "out.mkv")[4:]
    assert colours == [range, matrix, 1, 1]
    assert format_kept == ("yuvj420p" if range == 2 else f"yuv420{depth}")  # FFmpeg's old name for the full range
    planes = []
    for path in (film, tmp_path / "out.mkv"):
        with av.open(str(path)) as container:
            plane = next(container.decode(video=0)).planes[0]
            dtype = np.uint16 if "10" in format else np.uint8
            planes.append(np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width].astype(int))
    error = np.abs(planes[1][::2, ::2] - planes[0])
    assert error[:, 8::16].max() <= (4 if "10" in format else 1)  # in the middle of each step


def test_what_a_film_does_not_say_of_its_colours_is_said_of_the_large_one(tmp_path):
    film = make_film(tmp_path / "film.mp4", 2, sound=False)
    assert look(film)[4:6] == (0, 2)
    enlarge_film(film, tmp_path / "out.mp4", "nearest", 2)
    # As players took it at its size, not as they would at the new one; all of it, or browsers would not believe it.
    assert look(tmp_path / "out.mp4")[4:8] == (1, 6, 6, 6)


@pytest.mark.parametrize(("ending", "aspect", "width"), [("mkv", Fraction(4, 3), 96), ("mp4", Fraction(4, 3), 96)])
@pytest.mark.parametrize(("other", "square"), [("webm", 128), ("wmv", 128), ("gif", 128)])
def test_the_shape_of_a_pixel_is_kept_or_made_square(tmp_path, ending, aspect, width, other, square):
    film = make_film(tmp_path / f"film.{ending}", 2, sound=False, sample_aspect_ratio=aspect)
    enlarge_film(film, tmp_path / f"out.{ending}", "nearest", 2)
    assert look(tmp_path / f"out.{ending}")[:3:2] == (aspect, width)
    enlarge_film(film, tmp_path / f"out.{other}", "nearest", 2)
    assert look(tmp_path / f"out.{other}")[2:4] == (square, 64)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_film_becomes_upright(tmp_path, rotation):
    film = make_film(tmp_path / "film.mp4", 2, sound=False, rotation=rotation)
    enlarge_film(film, tmp_path / "out.mp4", "nearest", 2)
    upright = np.rot90(frames_of(film)[0][1], look(film)[1] / 90 % 4)
    high = frames_of(tmp_path / "out.mp4")[0][1]
    assert look(tmp_path / "out.mp4")[1] == 0 and high.shape == tuple(np.array(upright.shape) * (2, 2, 1))
    assert np.abs(high[::2, ::2].astype(int) - upright).mean() < 8


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_mirrored_film_becomes_upright_as_ffmpeg_shows_it(tmp_path, rotation):
    film = make_film(tmp_path / "film.mp4", 2, sound=False, rotation=rotation, mirrored=True)
    enlarge_film(film, tmp_path / "out.mp4", "nearest", 2)
    low = frames_of(film)[0][1]
    upright = np.rot90(low, rotation // 90)[:, ::-1]
    high = frames_of(tmp_path / "out.mp4")[0][1]
    assert look(tmp_path / "out.mp4")[1] == 0 and high.shape == tuple(np.array(upright.shape) * (2, 2, 1))
    assert np.abs(high[::2, ::2].astype(int) - upright).mean() < 8
    thumbnail(film, tmp_path / "small.png")
    assert np.abs(cv2.imread(str(tmp_path / "small.png"))[..., ::-1].astype(int) - upright).mean() < 12
    if FFMPEG:
        line = [FFMPEG, "-v", "error", "-i", film, "-frames:v", "1", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
        shown = np.frombuffer(subprocess.run(line, capture_output=True, check=True).stdout, np.uint8)
        assert np.abs(shown.reshape(upright.shape).astype(int) - upright).mean() < 8


HDR = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


@pytest.fixture(scope="module")
def hdr_film(tmp_path_factory) -> Path:
    """As cameras write them: HEVC of ten bits with PQ, and HDR10 metadata."""
    if not FFMPEG:
        pytest.skip("no ffmpeg: apt-get install ffmpeg")
    film = tmp_path_factory.mktemp("hdr") / "film.mp4"
    said = f"log-level=none:pools=1:frame-threads=1:keyint=4:master-display={HDR}:max-cll=1000,400"
    colours = ["-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", "smpte2084"]
    source = ["-f", "lavfi", "-i", "testsrc2=size=192x128:rate=10:duration=1"]
    line = [
        FFMPEG,
        "-v",
        "error",
        *source,
        "-c:v",
        "libx265",
        "-x265-params",
        said,
        *colours,
        "-pix_fmt",
        "yuv420p10le",
    ]
    done = subprocess.run([*line, film], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"ffmpeg without x265: {done.stderr}")
    return film


def light(path: Path) -> list[Light]:
    """What each frame says."""
    with av.open(str(path)) as container:
        return [light_of(frame) for frame in container.decode(video=0)]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_what_hdr_films_say_of_their_light_is_kept(tmp_path, hdr_film, ending):
    """By the key frames, also of chunks that begin behind the last key frame of the film, and of an exact part."""
    large, larger, part = (tmp_path / f"{name}.{ending}" for name in ("large", "larger", "part"))
    kept = Light((34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 50, 10_000_000), (1000, 400))
    assert light(hdr_film)[0] == kept
    assert enlarge_film(hdr_film, large, "nearest", 2, chunk=5).notes == ()
    assert light(large) == [kept, *[Light()] * 4] * 2
    assert look(large)[4:] == (1, 9, 9, 16, "yuv420p10le")

    def end(done: float, total: float) -> None:
        if done == 5:
            raise Ended

    with pytest.raises(Ended):
        enlarge_film(large, larger, "nearest", 2, chunk=4, report=end)
    assert enlarge_film(large, larger, "nearest", 2, chunk=4).kept == 4
    assert [number for number, said in enumerate(light(larger)) if said == kept] == [0, 4, 8]
    cut_film(large, part, 0.2, 0.3, exact=True)
    assert light(part)[0] == kept


def test_what_a_container_cannot_say_of_light_is_told(tmp_path, hdr_film):
    done = enlarge_film(hdr_film, tmp_path / "out.wmv", "nearest", 2, seconds=0.2)
    assert done.notes == ("HDR10 metadata left out, asf does not take it",)


def test_odd_sizes_and_three_times_as_large(tmp_path):
    film = make_film(tmp_path / "film.gif", 3, (31, 45))
    enlarge_film(film, tmp_path / "out.mp4", "nearest", 3)
    assert look(tmp_path / "out.mp4")[2:4] == (135, 93) and len(frames_of(tmp_path / "out.mp4")) == 3


@pytest.mark.parametrize("ending", ["mkv", "webm", "mov"])
def test_the_rate_is_the_films_in_every_container(tmp_path, ending):
    """Whatever the ticks of the clock, which MP4 has thousands of a second of."""
    film = make_film(tmp_path / "film.mp4", 8, sound=False)
    enlarge_film(film, tmp_path / f"out.{ending}", "nearest", 2)
    cut_film(film, tmp_path / f"part.{ending}", 0.1, 0.1, exact=True)
    merge_clips((film, film), tmp_path / f"clips.{ending}")
    assert [probe(tmp_path / f"{name}.{ending}", STRANGERS).rate for name in ("out", "part", "clips")] == [25] * 3


def test_ten_bits_become_eight_where_an_encoder_has_no_more(tmp_path):
    film = make_film(tmp_path / "film.mkv", 2, sound=False, codec="ffv1", pixel_format="yuv420p10le")
    enlarge_film(film, tmp_path / "out.webm", "nearest", 2)
    kept = "yuv420p10le" in [one.name for one in av.Codec("libvpx-vp9", "w").video_formats]
    assert look(tmp_path / "out.webm")[-1] == ("yuv420p10le" if kept else "yuv420p")


def test_a_network_of_a_larger_scale_is_reduced(tmp_path):
    film = make_film(tmp_path / "film.mkv", 2, sound=False)
    enlarge_film(film, tmp_path / "out.mkv", "mini_x4", 3)
    assert look(tmp_path / "out.mkv")[2:4] == (144, 96)
    with pytest.raises(UsageError, match="scale"):
        Enlarger("mini_x4", 8)


# ---- what lies beside -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mkv", "mp4", "mov", "webm", "wmv"])
def test_sound_is_kept_bit_for_bit(tmp_path, ending):
    film = make_film(tmp_path / f"film.{ending}")
    done = enlarge_film(film, tmp_path / f"out.{ending}", "nearest", 2)
    assert packets_of(tmp_path / f"out.{ending}", "audio") == packets_of(film, "audio") and not done.notes


def test_sound_that_a_container_does_not_take_is_encoded_anew_and_said(tmp_path):
    film = make_film(tmp_path / "film.mp4", 25)
    done = enlarge_film(film, tmp_path / "out.webm", "nearest", 2)
    assert done.notes == ("sound aac encoded anew, webm does not take it",)
    with av.open(str(tmp_path / "out.webm")) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(samples) == pytest.approx(48000, abs=2000)
    peak = np.argmax(np.abs(np.fft.rfft(samples[4800:43200])))
    assert peak * 48000 / 38400 == pytest.approx(440, abs=3)
    silent = enlarge_film(film, tmp_path / "out.gif", "nearest", 2)
    assert silent.notes == ("audio stream aac left out, gif does not take it",)


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_chapters_titles_and_subtitles_are_kept(tmp_path, ending):
    film = make_film(tmp_path / f"film.{ending}", chapters=True, subtitles=ending == "mkv")
    enlarge_film(film, tmp_path / f"out.{ending}", "nearest", 2)
    with av.open(str(film)) as low, av.open(str(tmp_path / f"out.{ending}")) as high:
        assert [(c["start"] * c["time_base"], c["metadata"]) for c in high.chapters()] == [
            (c["start"] * c["time_base"], c["metadata"]) for c in low.chapters()
        ]
        assert len(high.chapters()) == 2 and high.metadata["title"] == "A film"
    if ending == "mkv":
        assert packets_of(tmp_path / "out.mkv", "subtitles") == [b"words"]
    assert sorted(streams(tmp_path / f"out.{ending}")) == sorted(streams(film))


# ---- parts, estimates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mkv", "gif"])
def test_a_part_is_seen_first(tmp_path, ending):
    film = make_film(tmp_path / f"film.{ending}", 50)
    done = enlarge_film(film, tmp_path / "part.mp4", "nearest", 2, start=1.0, seconds=0.4)
    found = frames_of(tmp_path / "part.mp4")
    assert done.frames == len(found) == 10 and found[0][0] == 0 and streams(tmp_path / "part.mp4") == ["video"]
    expected = picture(25)[::2, ::2].astype(int)
    assert np.abs(found[0][1][::4, ::4].astype(int) - expected).mean() < 14


def test_an_estimate_knows_the_frames_and_the_size_and_writes_nothing(tmp_path):
    film = make_film(tmp_path / "film.mp4", 50)
    told = estimate_film(film, tmp_path / "out.mp4", "mini_x4", trial=0.5)
    assert (told.frames, told.width, told.height) == (50, 192, 128)
    assert told.seconds == pytest.approx(told.per_frame * 50) and told.per_frame > 0
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    done = enlarge_film(film, tmp_path / "out.mp4", "bicubic", 4)
    assert (
        0.2 < estimate_film(film, tmp_path / "out.mp4", "bicubic", 4).bytes / (tmp_path / "out.mp4").stat().st_size < 5
    )
    assert done.frames == 50


# ---- going on -------------------------------------------------------------------------------------------------------


class Ended(Exception):
    """What a report raises to end the work in its middle."""


@pytest.mark.parametrize(("ending", "stamps"), [("mkv", None), ("mp4", UNEVEN), ("gif", UNEVEN), ("webm", None)])
def test_an_interrupted_film_goes_on_at_the_last_whole_chunk(tmp_path, ending, stamps):
    film = make_film(tmp_path / f"film.{ending}", stamps=stamps)
    whole, output = tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}"
    enlarge_film(film, whole, "nearest", 2, chunk=3)
    kept = []
    for after in (1, 5, 8, 11):

        def end(done: float, total: float, after: int = after) -> None:
            assert total in (12, 13)  # Matroska tells the seconds of all that is in it
            if done == after:
                raise Ended

        with pytest.raises(Ended):
            enlarge_film(film, output, "nearest", 2, chunk=3, report=end)
        assert not output.exists()
        kept.append(sum(int(path.name.split("_")[1]) for path in work_folder(output).glob("*.nut")))
    assert kept == [0, 3, 6, 9]
    done = enlarge_film(film, output, "nearest", 2, chunk=3)
    assert (done.frames, done.kept) == (12, 9) and not work_folder(output).exists()
    assert packets_of(output, "video") == packets_of(whole, "video")
    assert [seconds for seconds, _ in frames_of(output)] == [seconds for seconds, _ in frames_of(whole)]


def test_other_settings_or_another_film_begin_anew(tmp_path):
    film, output = make_film(tmp_path / "film.mkv"), tmp_path / "out.mkv"

    def interrupt(source: str, chunk: int) -> int:
        kept = []

        def end(done: float, total: float) -> None:
            kept.append(done)
            if len(kept) == 5:
                raise Ended

        with pytest.raises(Ended):
            enlarge_film(film, output, source, 2, chunk=chunk, report=end)
        return int(kept[0]) - 1

    assert interrupt("nearest", 3) == 0
    assert interrupt("nearest", 3) == 3
    assert interrupt("bilinear", 3) == 0
    assert interrupt("bilinear", 2) == 0
    make_film(film, 11)
    assert interrupt("bilinear", 2) == 0
    forget(output)
    assert not work_folder(output).exists()
    forget(output)


def test_two_at_once_and_writing_over_the_film_are_refused(tmp_path):
    film, output = make_film(tmp_path / "film.mkv"), tmp_path / "out.mkv"

    def second(done: float, total: float) -> None:
        with pytest.raises(StorageError, match=r"locked by pid"):
            enlarge_film(film, output, "nearest", 2)

    enlarge_film(film, output, "nearest", 2, report=second)
    with pytest.raises(UsageError, match=r"film.mkv: is the film itself"):
        enlarge_film(film, film, "nearest", 2)
    with pytest.raises(UsageError, match=r"out.xyz: its ending names no container"):
        enlarge_film(film, tmp_path / "out.xyz", "nearest", 2)
    with pytest.raises(BadInput, match=r"absent.mkv: no such file"):
        enlarge_film(tmp_path / "absent.mkv", output, "nearest", 2)


def test_a_full_disk_is_told_and_leaves_what_can_go_on(tmp_path, disk, capsys, monkeypatch):
    film = make_film(tmp_path / "film.mkv", 40, (64, 96), picture=noise)
    for kilobytes in (8, 100, 500):
        place = disk(kilobytes)
        monkeypatch.setattr(
            sys, "argv", ["video", "enlarge", str(film), f"{place}/out.mkv", "--run", "nearest", "--chunk", "8"]
        )
        status, said = small_disks.ends(main, capsys)
        assert (status == 5 and "needs" in said) or "No space left" in said
        assert not (place / "out.mkv").exists() and not list(place.glob(".tmp*"))
    disk(20_000, again=True)
    done = enlarge_film(film, place / "out.mkv", "nearest", chunk=8)
    assert done.kept in (8, 16, 24, 32) and done.frames == 40


def noise(number: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)


# ---- processes ------------------------------------------------------------------------------------------------------


def start(film: Path, output: Path, *options: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "competition.video", "enlarge", str(film), str(output), "--chunk", "4", *options]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_goes_on(tmp_path, number):
    film, output = make_film(tmp_path / "film.mkv", 40, (64, 96)), tmp_path / "out.mkv"
    how = ("--run", "mini_x4")
    for chunks in (1, 3):
        process = start(film, output, *how)
        while len(list(work_folder(output).glob("*.nut"))) < chunks:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        os.kill(process.pid, number)
        _, told = process.communicate(timeout=60)
        if number == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 7 and told.startswith("error: stopped: whatever was finished is on disk")
        assert not output.exists()
    process = start(film, output, *how)
    said, told = process.communicate(timeout=600)
    assert process.returncode == 0 and "by an earlier run" in said, told
    assert len(frames_of(output)) == 40
    assert packets_of(output, "audio") == packets_of(film, "audio")


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path):
    """250 frames, then 3,000, of which each is a quarter of a megabyte when enlarged."""
    script = (
        "import resource, sys; from competition.video.__main__ import main; main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for seconds in (10, 120):
        film = make_film(tmp_path / f"{seconds}.mkv", seconds * 25, (60, 80))
        line = [sys.executable, "-c", script, "enlarge", str(film), str(tmp_path / "out.mkv"), "--run", "bilinear"]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    print(peaks)
    assert peaks[1] < peaks[0] + 100  # MB, where all enlarged frames together are 600 and more
