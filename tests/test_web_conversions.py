"""What visitors can have done to their files, by a real worker's way: real files in, files for download out."""

import io
import os
import threading
import zipfile
from contextlib import ExitStack
from fcntl import LOCK_EX, flock

import drawn
import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("av")

import av
from PIL import Image
from web_client import Visitor

from competition.images import encode_png
from competition.locks import locked
from competition.media.sandbox import silent
from competition.video.enlarge import work_folder
from competition.web import choices, conversions
from competition.web.reasons import explain

_CODECS = {
    "clip.gif": ("gif", "rgb8"),
    "clip.mp4": ("libx264", "yuv420p"),
    "clip.mkv": ("libx264", "yuv420p"),
    "clip.wmv": ("wmv2", "yuv420p"),
    "clip.webm": ("libvpx-vp9", "yuv420p"),
}
_FRAMES = 6


def make_clip(path) -> None:
    """Six frames of 32 by 24, ten a second."""
    codec, pixel_format = _CODECS[f"clip{path.suffix}"]
    with av.open(str(path), "w") as container:
        moving = container.add_stream(codec, rate=10)
        moving.width, moving.height, moving.pix_fmt = 32, 24, pixel_format
        for number in range(_FRAMES):
            container.mux(moving.encode(av.VideoFrame.from_ndarray(drawn.texture(number, 24, 32), format="rgb24")))
        container.mux(moving.encode())


def have_done(visitor: Visitor, identity: str, operation: str, **options: str) -> dict[str, bytes]:
    """The files that an operation makes, by name, as they are downloaded."""
    answer = visitor.ask("POST", f"/uploads/{identity}/{operation}", data=options)
    assert answer.status_code == 202, answer.text
    visitor.work()
    [found] = [found for found in visitor.files() if found["id"] == identity]
    job = found["jobs"][-1]
    assert job["state"] == "done", job["reason"]
    made = {}
    for file in job["result"]["files"]:
        answer = visitor.http.get(f"/jobs/{job['id']}/{file['name']}")
        assert answer.headers["content-disposition"].startswith("attachment") and len(answer.content) == file["bytes"]
        made[file["name"]] = answer.content
    visitor.result = job["result"]
    return made


def frames_of(content: bytes) -> list[tuple[int, int]]:
    with av.open(io.BytesIO(content)) as container:
        return [(frame.width, frame.height) for frame in container.decode(video=0)]


def test_a_picture_comes_as_png_jpeg_and_webp_with_what_its_file_says(visitor):
    picture, target = Image.fromarray(drawn.texture(1, 24, 32)), io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    picture.save(target, "JPEG", exif=exif, icc_profile=b"\0" * 128)
    identity = visitor.send("a.jpg", target.getvalue())
    visitor.work()
    made = have_done(visitor, identity, "enlarge", network="bicubic", scale="2", denoise="bilateral", sharpen="0.5")
    assert set(made) == {"result.png", "result.jpg", "result.webp"}
    for name, content in made.items():
        with Image.open(io.BytesIO(content)) as opened:
            assert opened.size == (64, 48), name
            assert opened.getexif()[0x010F] == "a camera" and opened.info["icc_profile"] == b"\0" * 128, name


@pytest.mark.slow
def test_a_preview_shows_the_middle_and_an_estimate_says_how_long(visitor):
    identity = visitor.send("a.png", encode_png(drawn.texture(1, 200, 300)))
    visitor.work()
    made = have_done(visitor, identity, "preview", network="mini_x4")
    sizes = {name: Image.open(io.BytesIO(content)).size for name, content in made.items()}
    assert sizes == {"before.png": (96, 96), "result.png": (384, 384)}
    assert have_done(visitor, identity, "estimate", network="mini_x4") == {}
    told = visitor.result["estimate"]
    assert (told["width"], told["height"]) == (1200, 800) and told["seconds"] > 0 and told["bytes"] > 0


def test_a_cut_says_where_it_really_begins(visitor, tmp_path):
    make_clip(tmp_path / "clip.mp4")  # of one key frame
    identity = visitor.send("clip.mp4", (tmp_path / "clip.mp4").read_bytes())
    visitor.work()
    for exact, facts, name in (("false", "0.0 s – 0.6 s", "0s_0.6s"), ("true", "0.3 s – 0.5 s", "0.3s_0.2s")):
        have_done(visitor, identity, "cut", start="0.3", seconds="0.2", exact=exact)
        job = visitor.files()[0]["jobs"][-1]
        page = visitor.http.get("/").text.partition(f'id="job-{job["id"]}"')[2].partition("</div>")[0]
        assert facts in page
        said = visitor.http.get(f"/jobs/{job['id']}/result.mp4").headers["content-disposition"]
        assert f'"clip_{name}.mp4"' in said


def test_a_file_is_as_large_as_the_disk_takes(tmp_path):
    film = tmp_path / "clip.mp4"
    make_clip(film)
    os.truncate(film, 65 * 2**30)  # sparse
    assert conversions.look([(film, film.name)], tmp_path, {"pixels": 2**25})["frames"] == _FRAMES


def test_what_is_made_may_be_larger_than_what_is_taken(tmp_path):
    nearest = choices.Enlarge(network="nearest", scale="4").model_dump() | {"pixels": 2**25}
    panorama = tmp_path / "a.png"
    panorama.write_bytes(encode_png(drawn.texture(1, 8, 4100)))
    made = conversions.enlarge([(panorama, "a.png")], tmp_path, nearest | {"media": "picture"}, silent)
    assert (made["width"], made["height"]) == (16400, 32)
    assert [file["name"] for file in made["files"]] == ["result.png", "result.jpg"]  # WebP ends at 16383 pixels

    wide = tmp_path / "a.webm"
    with av.open(str(wide), "w") as container:
        moving = container.add_stream("libvpx-vp9", rate=10)
        moving.width, moving.height, moving.pix_fmt = 4100, 16, "yuv420p"
        container.mux(moving.encode(av.VideoFrame.from_ndarray(drawn.texture(1, 16, 4100), format="rgb24")))
        container.mux(moving.encode())
    made = conversions.enlarge([(wide, "a.webm")], tmp_path, nearest | {"media": "film"}, silent)
    assert [file["name"] for file in made["files"]] == ["result.webm", "play.mp4"]
    assert frames_of((tmp_path / "result.webm").read_bytes()) == [(16400, 64)]


@pytest.mark.slow
def test_pictures_become_the_frames_of_a_film(visitor):
    identities = [visitor.send(f"{number}.png", encode_png(drawn.texture(number, 24, 32))) for number in range(3)]
    visitor.work()
    made = have_done(visitor, identities[0], "merge", others=identities[1:], rate="5")
    assert frames_of(made["result.mp4"]) == [(32, 24)] * 3


def test_a_picture_that_does_not_fit_among_the_frames_is_named(visitor):
    names = ("영상" * 90 + ".png", "wide.png")
    sent = [visitor.send(name, encode_png(drawn.texture(1, 24, 32 + 8 * place))) for place, name in enumerate(names)]
    visitor.work()
    assert visitor.ask("POST", f"/uploads/{sent[0]}/merge", data={"others": sent[1:]}).status_code == 202
    visitor.work()
    [reason] = [job["reason"] for found in visitor.files() for job in found["jobs"]]
    assert reason == f"wide.png: is 40x24, {names[0]} is 32x24. Make all of one size"
    assert "wide.png: 크기가 40x24인데" in explain("ko", reason)


@pytest.mark.slow
@pytest.mark.parametrize("name", _CODECS)
def test_every_kind_of_film_is_cut_taken_apart_merged_enlarged_and_played(visitor, tmp_path, name):
    make_clip(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    identity, other = visitor.send(name, content), visitor.send(name, content)
    visitor.work()
    assert [found["state"] for found in visitor.files()] == ["ready"] * 2
    suffix = name.rpartition(".")[2]
    cut = have_done(visitor, identity, "cut", start="0.2", seconds="0.3", exact="true")
    assert frames_of(cut[f"result.{suffix}"]) == [(32, 24)] * 3
    extracted = have_done(visitor, identity, "extract", every="0", archive="zip")["result.zip"]
    with zipfile.ZipFile(io.BytesIO(extracted)) as archive:
        assert sum(entry.endswith(".png") for entry in archive.namelist()) == _FRAMES
    arrays = have_done(visitor, identity, "extract", every="0.2", archive="npz")["result.npz"]
    assert np.load(io.BytesIO(arrays))["frames"].shape == (3, 24, 32, 3)
    assert frames_of(have_done(visitor, identity, "merge", others=other)["result.mp4"]) == [(32, 24)] * 2 * _FRAMES
    enlarged = have_done(visitor, identity, "enlarge", network="bicubic", scale="4")
    assert frames_of(enlarged[f"result.{suffix}"]) == [(128, 96)] * _FRAMES
    assert suffix in ("mp4", "gif") or frames_of(enlarged["play.mp4"])
    assert len(frames_of(have_done(visitor, identity, "preview", network="bicubic")[f"result.{suffix}"])) == _FRAMES
    assert frames_of(have_done(visitor, identity, "play")["play.mp4"])


# ---- attempts one after the other -----------------------------------------------------------------------------------


def enlarge(folder) -> tuple[dict[str, object], list[float]]:
    """What the conversion says of a film beside the folder, and the frames that it heard of."""
    told: list[float] = []
    settings = choices.Enlarge(network="bicubic", scale="2").model_dump() | {"media": "film", "pixels": 2**20}
    film = folder.parent / "clip.mkv"
    said = conversions.enlarge([(film, "clip.mkv")], folder, settings, lambda done, total: told.append(done))
    return said, told


@pytest.fixture
def folder(tmp_path):
    make_clip(tmp_path / "clip.mkv")
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


def test_a_film_that_an_earlier_attempt_has_made_is_not_made_again(folder, monkeypatch):
    """A version for browsers comes behind it, which may take as long."""
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("competition.video.play.make_playable", end)
        enlarge(folder)
    film = (folder / "result.mkv").read_bytes()
    work_folder(folder / "result.mkv").mkdir()  # as one that was killed before it was deleted
    said, told = enlarge(folder)
    assert told == [] and (folder / "result.mkv").read_bytes() == film
    assert {path.name for path in folder.iterdir()} == {"result.mkv", "play.mp4"}
    assert said["frames"] == _FRAMES and said["seconds"] == pytest.approx(_FRAMES / 10)


def end(*paths: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_an_attempt_waits_for_an_earlier_one_that_is_still_ending(folder):
    with ExitStack() as earlier:
        earlier.enter_context(locked(work_folder(folder / "result.mkv")))
        descriptor = os.open(folder, os.O_RDONLY)
        earlier.callback(os.close, descriptor)
        flock(descriptor, LOCK_EX)
        ending = threading.Timer(1.0, earlier.close)
        ending.start()
        said, told = enlarge(folder)
        ending.join()
    assert said["frames"] == len(told) == _FRAMES
