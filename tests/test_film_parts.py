"""Films cut, taken apart, put together and made playable, in every container; and what is refused on the way."""

import struct
import zipfile
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from film_files import CODECS, frames_of, make_film, packets_of, picture

from competition.errors import BadInput, UsageError
from competition.images import write_png
from competition.media.films import orientation
from competition.media.kinds import FILMS
from competition.media.limits import Limits
from competition.media.probe import probe
from competition.video.__main__ import main
from competition.video.cut import cut_film
from competition.video.enlarge import enlarge_film
from competition.video.extract import extract_frames
from competition.video.frames import pictured
from competition.video.light import Light, light_of
from competition.video.merge import merge_clips, merge_frames
from competition.video.play import make_playable
from competition.video.targets import TARGETS

av = pytest.importorskip("av")
CONTAINERS = [ending for ending in CODECS if ending != "avi"]


def near(found: np.ndarray, number: int) -> bool:
    """Whether a frame is the one of this number, by the brightness of its corner."""
    return abs(float(found[1:7, 1:7].mean()) - number * 8 % 256) < 6


# ---- every container through every command --------------------------------------------------------------------------


@pytest.mark.parametrize("ending", CONTAINERS)
def test_every_container_goes_through_every_command(tmp_path, ending):
    film = make_film(tmp_path / f"film.{ending}", 20)
    out = {name: tmp_path / f"{name}.{ending}" for name in ("cut", "exact", "frames", "arrays", "clips", "large")}
    cut = cut_film(film, out["cut"], 0.3, 0.4)
    assert cut.start <= 0.34 and len(frames_of(out["cut"])) == cut.frames >= 10
    exact = cut_film(film, out["exact"], 0.3, 0.4, exact=True)
    found = frames_of(out["exact"])
    assert exact.frames == len(found) == 10 and near(found[0][1], 8)
    extract_frames(film, tmp_path / "all.zip")
    extract_frames(film, tmp_path / "all.npz")
    for source, name in (("all.zip", "frames"), ("all.npz", "arrays")):
        assert merge_frames(tmp_path / source, out[name]).frames == 20
        assert [round(seconds, 2) for seconds, _ in frames_of(out[name])] == [number / 25 for number in range(20)]
    merged = merge_clips((film, out["exact"]), out["clips"])
    found = frames_of(out["clips"])
    assert merged.frames == len(found) == 30 and near(found[19][1], 19) and near(found[20][1], 8)
    assert probe(out["clips"]).sound == probe(film).sound
    enlarge_film(out["clips"], out["large"], "nearest", 2)
    assert len(frames_of(out["large"])) == 30
    made = make_playable(out["large"], tmp_path / "play.mp4", 64)
    told = probe(tmp_path / "play.mp4")
    assert made.frames == 30 and told.playable and (told.width, told.height) == (64, 42)
    assert bool(told.sound) == (ending != "gif")


@pytest.mark.parametrize(("source", "target"), [("mkv", "mp4"), ("mp4", "mkv"), ("mov", "mkv"), ("mp4", "mov")])
def test_a_fast_cut_copies_packets_and_begins_at_a_key_frame(tmp_path, source, target):
    film, output = make_film(tmp_path / f"film.{source}", 20), tmp_path / f"part.{target}"
    cut_film(film, output, 0.45, 0.2)
    whole, part = frames_of(film), frames_of(output)
    begin = next(at for at, (_, frame) in enumerate(whole) if np.array_equal(frame, part[0][1]))
    assert begin * 0.04 <= 0.45 < (begin + 5) * 0.04 and part[0][0] == 0
    for (_, expected), (_, found) in zip(whole[begin:], part, strict=False):
        assert np.array_equal(found, expected)
    sound = packets_of(output, "audio")
    assert 0 < len(sound) < len(packets_of(film, "audio")) and set(sound) < set(packets_of(film, "audio"))


def test_every_film_of_a_stranger_can_be_written_under_its_own_ending():
    endings = {ending for kind in FILMS for ending in kind.extensions}
    assert {".mp4", ".asf"} <= endings <= {*TARGETS}


def test_a_part_that_is_none_and_a_container_that_does_not_fit_are_refused(tmp_path):
    film = make_film(tmp_path / "film.mp4", 10)
    for exact in (False, True):
        with pytest.raises(BadInput, match=r"film.mp4: holds no frame from 60 s on, it is 0.4 s long"):
            cut_film(film, tmp_path / "part.mp4", 60, exact=exact)
    with pytest.raises(UsageError, match=r"part.webm: webm does not take h264. Cut exactly"):
        cut_film(film, tmp_path / "part.webm")
    with pytest.raises(UsageError, match=r"is no part of a film"):
        cut_film(film, tmp_path / "part.mp4", -1)
    with pytest.raises(UsageError, match=r"film.mp4: is the film itself"):
        cut_film(film, film)
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


# ---- taken apart ----------------------------------------------------------------------------------------------------


def test_pictures_and_arrays_hold_the_same_frames_and_exact_times(tmp_path):
    stamps = [0, 4, 8, 20, 21, 22, 30, 50]
    film = make_film(tmp_path / "film.gif", 8, stamps=stamps)
    told = extract_frames(film, tmp_path / "out.zip")
    extract_frames(film, tmp_path / "out.npz")
    expected = [frame for _, frame in frames_of(film)]
    arrays = np.load(tmp_path / "out.npz", allow_pickle=False)
    assert np.array_equal(arrays["frames"], expected) and np.allclose(arrays["seconds"], np.array(stamps) / 100)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        *names, times = archive.namelist()
        assert names == [f"{number:06d}_{stamp * 10:09d}.png" for number, stamp in enumerate(stamps)]
        lines = archive.read(times).decode().splitlines()
        assert lines[0] == "name,seconds" and [line.split(",")[1] for line in lines[1:]] == [
            str(Fraction(stamp, 100)) for stamp in stamps
        ]
        for name, frame in zip(names, expected, strict=True):
            found = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(found[..., ::-1], frame)
    assert told == (8, 48, 32, (tmp_path / "out.zip").stat().st_size)


@pytest.mark.parametrize(("every", "numbers"), [(Fraction(1, 5), [0, 5, 10, 15]), (Fraction(1, 100), range(20))])
def test_frames_every_so_often(tmp_path, every, numbers):
    film = make_film(tmp_path / "film.mp4", 20)
    assert extract_frames(film, tmp_path / "out.npz", every).frames == len(numbers)
    frames = np.load(tmp_path / "out.npz")["frames"]
    assert all(near(frame, number) for frame, number in zip(frames, numbers, strict=True))


def test_ten_bits_stay_ten_bits(tmp_path):
    film = make_film(tmp_path / "film.mkv", 2, sound=False, codec="ffv1", pixel_format="yuv444p10le")
    extract_frames(film, tmp_path / "out.npz")
    assert np.load(tmp_path / "out.npz")["frames"].dtype == np.uint16


def test_too_many_bytes_and_other_endings_leave_nothing(tmp_path):
    film = make_film(tmp_path / "film.mp4", 20)
    for name in ("out.zip", "out.npz"):
        with pytest.raises(BadInput, match=r"film.mp4: its frames take more than 3,000 bytes"):
            extract_frames(film, tmp_path / name, most=3000)
    with pytest.raises(UsageError, match=r"out.tar: its ending is neither"):
        extract_frames(film, tmp_path / "out.tar")
    with pytest.raises(UsageError, match=r"--every: 0"):
        extract_frames(film, tmp_path / "out.zip", Fraction(0))
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


# ---- put together ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path) -> Path:
    folder = tmp_path / "pictures"
    for number in range(4):
        write_png(folder / f"{number}.png", picture(number))
    return folder


@pytest.mark.parametrize(("rate", "last"), [(None, 3 / 25), (Fraction(2), 1.5), (Fraction(30000, 1001), 0.1001)])
def test_pictures_of_a_folder_become_a_film_of_a_rate(tmp_path, pictures, rate, last):
    done = merge_frames(pictures, tmp_path / "film.mp4", rate)
    found = frames_of(tmp_path / "film.mp4")
    assert found[-1][0] == pytest.approx(last, abs=1e-4) and done.seconds == pytest.approx(last * 4 / 3, abs=1e-3)
    assert all(near(frame, number) for number, (_, frame) in enumerate(found))


def archive_of(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_archives_with_other_things_in_them_are_refused(tmp_path, pictures):
    one, other = (pictures / "0.png").read_bytes(), tmp_path / "other.png"
    write_png(other, picture(0, 16, 24))
    cases = {
        r"(text|a.txt): is no picture": {"a.png": one, "a.txt": b"words"},
        r"passwd: is no picture": {"../../passwd": b"x", "a.png": one},
        r"holds no pictures": {},
        r"b.png: is 24x16, a.png is 48x32": {"a.png": one, "b.png": other.read_bytes()},
        r"a.png: is text": {"a.png": b"not a picture"},
        r"is larger than any picture": {"a.png": bytes(2**20)},
        r"times.csv: does not tell": {"a.png": one, "times.csv": b"name,seconds\nb.png,1\n"},
        r"times of its pictures do not rise": {
            "a.png": one,
            "b.png": one,
            "times.csv": b"name,seconds\na.png,1\nb.png,1\n",
        },
    }
    for words, entries in cases.items():
        path = archive_of(tmp_path / "in.zip", entries)
        with pytest.raises(BadInput, match=words):
            merge_frames(path, tmp_path / "out.mp4", limits=Limits(pixels=2**16))
    (tmp_path / "in.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(BadInput, match=r"in.zip: cannot be read as an archive"):
        merge_frames(tmp_path / "in.zip", tmp_path / "out.mp4")
    with pytest.raises(BadInput, match=r"pictures: has 4 frames, more than the 3"):
        merge_frames(pictures, tmp_path / "out.mp4", limits=Limits(frames=3))
    assert not (tmp_path / "out.mp4").exists() and not list(tmp_path.glob(".tmp*"))


@pytest.mark.parametrize(
    "arrays",
    [
        {"frames": np.zeros((2, 8, 8, 3))},
        {"frames": np.zeros((2, 8, 8), np.uint8)},
        {"frames": np.array([{}], object)},
        {"other": np.zeros(3)},
        {"frames": np.zeros((2, 8, 8, 3), np.uint8), "seconds": np.array([1.0, 1.0])},
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, arrays):
    np.savez(tmp_path / "in.npz", **arrays)
    with pytest.raises(BadInput, match=r"in.npz: (its frames are|holds|the times)"):
        merge_frames(tmp_path / "in.npz", tmp_path / "out.mp4")


def test_damaged_locked_and_unusual_archives_are_refused_with_one_line(tmp_path, pictures):
    one = (pictures / "0.png").read_bytes()
    whole = archive_of(tmp_path / "whole.zip", {"a.png": one}).read_bytes()
    arrays = tmp_path / "arrays.npz"
    np.savez_compressed(arrays, frames=np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8))
    packed = arrays.read_bytes()
    listed = whole.index(b"PK\1\2")
    with zipfile.ZipFile(tmp_path / "lzma.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.png", one)
    cases = {
        "broken stream.zip": whole[:60] + bytes(len(one) // 2) + whole[60 + len(one) // 2 :],
        "broken stream.npz": packed[:3000] + bytes(500) + packed[3500:],
        "locked.zip": whole[:6] + b"\1" + whole[7 : listed + 8] + b"\1" + whole[listed + 9 :],
        "no offset.zip": whole[:-6] + b"\xff\xff\xff\x7f" + whole[-2:],
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput, match=f"{name}: cannot be read as an archive"):
            merge_frames(tmp_path / name, tmp_path / "out.mp4")
    with pytest.raises(BadInput, match=r"lzma.zip: is packed in a way"):
        merge_frames(tmp_path / "lzma.zip", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_only_reading_an_archive_blames_it(tmp_path, pictures):
    path = archive_of(tmp_path / "in.zip", {"a.png": (pictures / "0.png").read_bytes()})
    with pytest.raises(EOFError, match=r"an encoder's own"), pictured(path, Limits()):
        raise EOFError("an encoder's own")


def test_unequal_clips_are_refused_by_name(tmp_path):
    first, same = make_film(tmp_path / "first.mp4"), make_film(tmp_path / "same.mkv")
    small = make_film(tmp_path / "small.mp4", size=(16, 48))
    silent = make_film(tmp_path / "silent.mp4", sound=False)
    slow = make_film(tmp_path / "slow.mp4", stamps=[number * 8 for number in range(12)])
    with pytest.raises(BadInput) as caught:
        merge_clips((first, same, small, silent, slow), tmp_path / "out.mp4")
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [str(small), str(silent), str(slow)]
    assert "48x16" in lines[0] and "without sound" in lines[1] and "12.50 frames" in lines[2]
    with pytest.raises(UsageError, match=r"fewer than two"):
        merge_clips((first,), tmp_path / "out.mp4")


def test_the_sound_of_clips_stays_with_their_pictures(tmp_path):
    """Clips whose sound is shorter than their pictures, so that a gap would move what comes behind it."""

    def clip(name: str, loud: bool) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
            tone = container.add_stream("pcm_s16le", rate=48000, layout="stereo")
            for number in range(50):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
            container.mux(stream.encode())
            wave = np.sin(np.arange(48000) * 440 * 2 * np.pi / 48000) * (8000 if loud else 0)  # one of two seconds
            samples = np.repeat(wave.astype(np.int16), 2)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
            frame.sample_rate = 48000
            container.mux([*tone.encode(frame), *tone.encode()])
        return path

    merge_clips((clip("a.mkv", True), clip("b.mkv", False), clip("c.mkv", True)), tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        samples = np.concatenate([np.abs(frame.to_ndarray()[0]) for frame in container.decode(audio=0)])
    loud = [
        samples[round(second * 48000) + 2400 : round((second + 1) * 48000) - 2400].mean() > 0.05 for second in range(6)
    ]
    assert loud == [True, False, False, False, True, False]


# ---- the command line -----------------------------------------------------------------------------------------------


def test_the_commands_do_what_the_functions_do(tmp_path, pictures, capsys):
    film = str(make_film(tmp_path / "film.mp4", 20))
    out = {
        name: str(tmp_path / name) for name in ("cut.mp4", "out.zip", "merged.mkv", "two.mp4", "play.mp4", "large.mp4")
    }
    main(["cut", film, out["cut.mp4"], "--start", "300ms", "--length", "0.4s", "--exact"])
    main(["extract", film, out["out.zip"], "--every", "200ms"])
    main(["merge", out["out.zip"], out["merged.mkv"], "--rate", "24000/1001"])
    main(["merge", film, out["cut.mp4"], out["two.mp4"]])
    main(["play", film, out["play.mp4"], "--side", "32"])
    main(["probe", film])
    main(["enlarge", film, out["large.mp4"], "--run", "bicubic", "--scale", "2", "--estimate"])
    main(["enlarge", film, out["large.mp4"], "--run", "bicubic", "--scale", "2", "--length", "200ms"])
    said = capsys.readouterr().out
    for words in (
        "10 frames, 0.40 s from 0.32 s",
        "4 frames of 48x32",
        "30 frames",
        "codec: h264",
        "20 frames of 96x64",
    ):
        assert words in said, said
    assert len(frames_of(Path(out["large.mp4"]))) == 5
    assert frames_of(Path(out["merged.mkv"]))[1][0] == pytest.approx(1001 / 24000, abs=0.001)
    for options in (["--rate", "0/1"], ["--rate", "fast"], ["--rate", "2000"]):
        with pytest.raises(UsageError, match="--rate"):
            main(["merge", str(pictures), out["merged.mkv"], *options])
    with pytest.raises(UsageError, match=r"--rate: is for frames"):
        main(["merge", film, film, out["two.mp4"], "--rate", "25"])


# ---- light ----------------------------------------------------------------------------------------------------------

DISPLAY = [34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 50, 10_000_000]


def carrying(display: list[int], levels: tuple[int, int] = (0, 0), terms: int = 50_000, said: int = 1) -> object:
    """A frame with HDR10 metadata, as FFmpeg lays it out."""
    pairs = [part for value in display[:8] for part in (value, terms)] + [
        part for value in display[8:] for part in (value, 10_000)
    ]
    content = struct.pack("22i", *pairs, said, 1)
    return SimpleNamespace(
        side_data={"MASTERING_DISPLAY_METADATA": content, "CONTENT_LIGHT_LEVEL": struct.pack("2I", *levels)}
    )


def test_light_is_what_a_frame_carries_and_what_no_stream_can_hold_is_left_out():
    found = light_of(carrying(DISPLAY, (1000, 400)))
    assert found == Light(tuple(DISPLAY), (1000, 400))
    words = "mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):cll=1000,400"
    assert found.parameters() == words and found.lost("libx264", "mp4") == [] and len(found.lost("wmv2", "asf")) == 1
    for wrong in (
        carrying([-1, *DISPLAY[1:]]),
        carrying([70_000, *DISPLAY[1:]]),
        carrying([*DISPLAY[:8], 50, 50]),
        carrying(DISPLAY, terms=0),
        carrying(DISPLAY, said=0),
        SimpleNamespace(side_data={"MASTERING_DISPLAY_METADATA": b"short"}),
    ):
        assert light_of(wrong) == Light() and light_of(wrong).parameters() == ""
    assert light_of(carrying(DISPLAY, (70_000, 0))) == Light(tuple(DISPLAY))
    assert light_of(SimpleNamespace(side_data={"DOVI_METADATA": b"x"})).lost("libx264", "mp4")


def test_what_pyav_has_no_name_for_hides_nothing_but_itself():
    class Frame:
        rotation = 90

        @property
        def side_data(self) -> object:
            raise ValueError("31 is not a valid Type")

    assert light_of(Frame()) == Light() and orientation(Frame()) == (1, False)
