"""Videos as training pairs: which pictures are taken, their pixels, the split by time, and files that are no video."""

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from competition.config import load
from competition.data.degrade import Degradation, degrade
from competition.errors import BadInput, UsageError
from competition.evaluate import main as evaluate
from competition.experiment import Experiment
from competition.feed import open_contest, prepare_pairs
from competition.images import read_rgb
from competition.infer import main as infer
from competition.video.__main__ import main
from competition.video.pairs import read_frames

av = pytest.importorskip("av")
Film = Callable[..., Path]


@pytest.fixture
def film(tmp_path) -> Film:
    """film(name, seconds=20): ten grey pictures a second, each with its number as brightness, or 245 minus it."""

    def make(
        name: str = "clip.mkv",
        seconds: float = 20,
        codec: str = "ffv1",
        shape: tuple[int, int] = (34, 50),
        inverted: bool = False,
    ) -> Path:
        path = tmp_path / name
        start = 0 if codec == "mjpeg" else 7  # clips need not begin at nought, but those in AVI do
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.height, stream.width = shape
            stream.pix_fmt = {"ffv1": "bgr0", "mpeg4": "yuv420p", "mjpeg": "yuvj420p"}[codec]
            for number in range(round(seconds * 10)):
                picture = np.full((*shape, 3), 245 - number if inverted else number, np.uint8)
                picture[::4, ::4, 0] = 255  # a grid of red points
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base = number + start, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return make


def frames(clip: Path, output: Path, *options: str) -> dict[str, list[str]]:
    """The names that `video frames` writes, on the two sides of the split."""
    main(["frames", str(clip), str(output), *options])
    names = sorted(path.name for path in (output / "train/hr").iterdir())
    held = (output / "validation.txt").read_text().splitlines()
    assert sorted(path.name for path in (output / "train/lr").iterdir()) == names
    return {"training": [name for name in names if name not in held], "validation": held}


def seconds(names: list[str]) -> list[float]:
    return [int(name[-13:-4]) / 1000 for name in names]


# ---- pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "numbers"),
    [
        (Fraction(1), [0, 10, 20, 30]),
        (Fraction(3, 5), [0, 6, 12, 18, 24, 30, 36]),
        (Fraction(1, 4), [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28, 30, 33, 35, 38]),
        (Fraction(1, 100), list(range(40))),
    ],
)
def test_the_first_picture_at_or_after_each_multiple_is_taken(film, every, numbers):
    found = list(read_frames(film(seconds=4), every))
    assert [int(frame.picture[1, 1, 1]) for frame in found] == numbers
    assert [frame.seconds for frame in found] == [Fraction(number, 10) for number in numbers]


@pytest.mark.parametrize(("every", "count"), [("2s", 10), ("500ms", 40), ("0.05min", 7)])
def test_times_have_units(film, tmp_path, every, count):
    names = frames(film(), tmp_path / "out", "--every", every, "--gap", "0s")
    assert len(names["training"] + names["validation"]) == count


def test_pairs_are_the_pictures_cut_to_the_scale_and_their_bicubic_reductions(film, tmp_path):
    names = frames(film(), tmp_path / "out", "--gap", "0s")
    for name in [*names["training"], *names["validation"]]:
        high, low = (read_rgb(tmp_path / "out/train" / side / name) for side in ("hr", "lr"))
        assert high.shape == (32, 48, 3) and low.shape == (8, 12, 3)
        number = int(name[-13:-4]) // 100
        assert np.all(high[1, 1] == number) and high[0, 0, 0] == 255 and high[0, 0, 1] == number
        assert np.array_equal(low, degrade(high, Degradation(), np.random.default_rng(0)))


@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", "mpeg4"), ("clip.avi", "mjpeg"), ("clip.mov", "mpeg4")])
def test_common_containers_give_the_same_times(film, tmp_path, name, codec):
    found = frames(film(name, codec=codec), tmp_path / "out", "--scale", "2")
    assert seconds(found["training"]) == list(range(13)) and seconds(found["validation"]) == [18, 19]


# ---- the split ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "training", "validation"),
    [
        ([], range(13), [18, 19]),  # of 19.9 s the last tenth is from 17.91 s on, and training ends 5 s before
        (["--gap", "0s"], range(18), [18, 19]),
        (["--gap", "3s", "--held", "0.5"], range(7), range(10, 20)),
    ],
)
def test_the_end_is_validation_and_what_lies_between_is_left_out(film, tmp_path, options, training, validation):
    names = frames(film(), tmp_path / "out", *options)
    assert seconds(names["training"]) == list(training)
    assert seconds(names["validation"]) == list(validation)


def test_every_clip_is_split_and_the_folder_is_a_contest_to_train_on(film, tmp_path):
    first, second, output = film("first.mkv"), film("second.mkv", 24, inverted=True), tmp_path / "out"
    main(["frames", str(first), str(second), str(output)])
    config = tmp_path / "run.yaml"
    data = f"{{root: {output}, validation: validation.txt, high_patch: 24, workers: 0}}"
    config.write_text(f"{{name: run, data: {data}, pretrained: null, model: {{name: srcnn}}}}")
    experiment = load(config, Experiment)
    assert prepare_pairs(experiment) == 15 + 19
    contest = open_contest(experiment)
    held = [one.pair.name for one in contest.validation]
    assert [name[:-14] for name in held] == ["first"] * 2 + ["second"] * 2
    infer(
        [
            "bicubic",
            "--input",
            str(output / "train/lr"),
            "--names",
            str(output / "validation.txt"),
            "--output",
            str(tmp_path / "predicted"),
        ]
    )
    evaluate([str(tmp_path / "predicted"), str(output / "train/hr"), "--csv", str(tmp_path / "table.csv")])
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert (
        lines[0] == "image,psnr,ssim,psnr_bicubic,gain" and [line.split(",")[0] + ".png" for line in lines[1:]] == held
    )


# ---- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--every", "1"], "--every: 1 is no length of time. Write 500ms, 1s or 2min"),
        (["--every", "0s"], "--every: 0 would take"),
        (["--gap", "-1s"], "--gap: -1s is no length|expected one argument"),
        (["--held", "1"], "--held: 1.0 is no share"),
    ],
)
def test_a_wrong_option_is_one_line(film, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        frames(film(seconds=1), tmp_path / "out", *options)


def test_a_clip_too_short_to_be_split_leaves_nothing(film, tmp_path):
    with pytest.raises(BadInput, match=r"short.mkv: its 3.9 s leave no training picture"):
        frames(film("short.mkv", 4), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["short.mkv"]


def test_what_is_there_is_not_written_over_and_names_do_not_clash(film, tmp_path):
    clip = film()
    frames(clip, tmp_path / "out")
    with pytest.raises(UsageError, match=r"out: is there already"):
        frames(clip, tmp_path / "out")
    with pytest.raises(UsageError, match=r"pictures of the same names"):
        main(["frames", str(clip), str(tmp_path / "CLIP.mp4"), str(tmp_path / "other")])


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"


def test_a_playlist_under_the_name_of_a_video_opens_nothing(film, tmp_path):
    clip = film("inside.mkv")
    (tmp_path / "list.mp4").write_text(PLAYLIST.format(clip))
    with pytest.raises(BadInput, match=r"list.mp4: is text. Give "):
        frames(tmp_path / "list.mp4", tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no video", bytes(range(256)) * 40])
def test_a_file_that_is_no_video_is_refused(tmp_path, content):
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(BadInput, match=r"clip.mp4: is (empty|text|of no known kind)\. Give asf, avi"):
        frames(tmp_path / "clip.mp4", tmp_path / "out")
    with pytest.raises(BadInput, match=r"absent.mp4: no such file"):
        frames(tmp_path / "absent.mp4", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_without_pyav_the_command_says_how_to_install_it(tmp_path):
    script = "import sys; sys.modules['av'] = None; sys.argv = ['video', 'frames', 'a.mp4', 'out']; "
    script += "import runpy; runpy.run_module('competition.video', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert "video: PyAV cannot be imported" in done.stderr and "[video]" in done.stderr
