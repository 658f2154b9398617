"""Media of strangers: lies about their kind, ways to other files and the network, too much of anything, crashes."""

import dataclasses
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import drawn
import numpy as np
import psutil
import pytest
from film_files import CODECS, avi_with_subtitles, make_film, refer_outside
from hostile_work import call_out, crash, fill_memory, never_end, reserve_addresses, sleep, surroundings, write_much
from PIL import Image

from competition.errors import BadInput, OutOfMemory, Stopped
from competition.media.films import opened
from competition.media.kinds import ALL_FILMS, FILMS, PICTURES, identify
from competition.media.limits import OWN, STRANGERS, Limits
from competition.media.pictures import header, read_first, read_picture
from competition.media.probe import probe
from competition.media.sandbox import Bounds, run
from competition.media.thumbnail import thumbnail
from competition.video.enlarge import enlarge_film
from competition.video.extract import extract_frames

pytest.importorskip("av")
ANY = (*PICTURES, *ALL_FILMS)


class Listener:
    """A server on this machine that nobody may call, and a file that nobody may read."""

    def __init__(self, folder: Path) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(0.1)
        self.port, self.calls, self.open = self.server.getsockname()[1], 0, True
        self.canary = make_film(folder / "canary.mkv", 3, sound=False)
        self.thread = threading.Thread(target=self._answer)
        self.thread.start()

    def _answer(self) -> None:
        while self.open:
            try:
                self.server.accept()[0].close()
                self.calls += 1
            except TimeoutError:
                pass

    def close(self) -> None:
        self.open = False
        self.thread.join()
        self.server.close()


@pytest.fixture
def listener(tmp_path) -> Iterator[Listener]:
    (tmp_path / "elsewhere").mkdir()
    one = Listener(tmp_path / "elsewhere")
    yield one
    one.close()


# ---- what a file is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", CODECS)
def test_a_film_is_known_by_its_content_and_may_not_be_named_otherwise(tmp_path, ending):
    film = make_film(tmp_path / f"film.{ending}", 2, sound=False)
    kind = identify(film, ALL_FILMS)
    assert f".{ending}" in kind.extensions
    for other in CODECS:
        if f".{other}" not in kind.extensions:
            with pytest.raises(BadInput, match=rf"lie.{other}: is {kind.name} inside but named .{other}. Name it"):
                identify(film, ALL_FILMS, f"lie.{other}")
    with pytest.raises(BadInput, match=r"its name has no ending"):
        identify(film, ALL_FILMS, "film")


@pytest.mark.parametrize(("ending", "format"), [("png", "PNG"), ("jpg", "JPEG"), ("bmp", "BMP"), ("webp", "WEBP")])
def test_a_picture_is_known_by_its_content(tmp_path, ending, format):
    path = tmp_path / f"picture.{ending}"
    Image.new("RGB", (7, 5)).save(path, format)
    assert probe(path)[:5] == (identify(path, PICTURES).name, "picture", path.stat().st_size, 7, 5)
    with pytest.raises(BadInput, match=r"inside but named .gif"):
        probe(path, name="picture.gif")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<html>",
        b"%PDF-1.7",
        b"\x00\x00\x00\x18ftypavif",
    ],
)
def test_other_kinds_are_refused_under_every_name(tmp_path, content):
    for kind in (*PICTURES, *FILMS):
        path = tmp_path / f"file{kind.extensions[0]}"
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"file\.\w+: is .*\. Give "):
            probe(path)


@pytest.mark.usefixtures("deadline")
def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "link.mp4").symlink_to("nowhere")
    for name in ("pipe", "folder", "link"):
        with pytest.raises(BadInput, match=rf"{name}.mp4: (is no regular file|no such file)"):
            probe(tmp_path / f"{name}.mp4")


# ---- ways out -------------------------------------------------------------------------------------------------------

TEXTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{to}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{to}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
    "dash": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static'><Period><AdaptationSet>"
    "<Representation><BaseURL>{to}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "asx": "[Reference]\nRef1={to}\n",
    "m3u in id3": "ID3\x03\x00\x00\x00\x00\x00\x00#EXTM3U\n#EXTINF:1,\n{to}\n",
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("ending", ["mp4", "mkv", "wmv", "gif", "avi", "ts"])
def test_a_playlist_under_any_name_asks_nobody_and_reads_nothing(tmp_path, listener, kind, ending):
    for to in (f"http://127.0.0.1:{listener.port}/x.ts", str(listener.canary), f"file:{listener.canary}"):
        path = tmp_path / f"list.{ending}"
        path.write_text(TEXTS[kind].format(to=to, port=listener.port))
        for allowed in (FILMS, ALL_FILMS):
            with (
                pytest.raises(BadInput, match=r"list\.\w+: is (text|SVG|of no known kind)"),
                opened(path, allowed=allowed),
            ):
                pass
    assert listener.calls == 0


@pytest.mark.parametrize("begin", ["", "\x00\x00\x00\x14ftypisom", "\x1aE\xdf\xa3", "GIF89a"])
def test_a_playlist_behind_the_first_bytes_of_a_film_leads_nowhere(tmp_path, listener, begin):
    content = begin.encode("latin1") + TEXTS["hls"].format(to=f"http://127.0.0.1:{listener.port}/x.ts").encode()
    for ending in ("mp4", "mkv", "gif"):
        path = tmp_path / f"list.{ending}"
        path.write_bytes(content)
        with pytest.raises(BadInput):
            probe(path)
    assert listener.calls == 0


@pytest.mark.parametrize("where", ["file", "http"])
def test_a_film_whose_tracks_lie_in_another_file_is_refused(tmp_path, listener, where):
    target = str(listener.canary) if where == "file" else f"http://127.0.0.1:{listener.port}/x.mp4"
    inside = make_film(tmp_path / "inside.mp4", 3, sound=False).read_bytes()
    path = tmp_path / "outside.mp4"
    path.write_bytes(refer_outside(inside, target))
    with pytest.raises(BadInput, match=r"outside.mp4: wants another file opened"):
        probe(path)
    assert listener.calls == 0


def test_subtitles_inside_an_avi_are_no_way_out(tmp_path, listener):
    for text in (TEXTS["hls"], "1\n00:00:00,000 --> 00:00:01,000\nx\n"):
        content = text.format(to=f"http://127.0.0.1:{listener.port}/x.ts").encode()
        (tmp_path / "a.avi").write_bytes(avi_with_subtitles(content))
        with pytest.raises(BadInput, match=r"a.avi: (is AVI. Give|none of its frames|cannot be read)"):
            probe(tmp_path / "a.avi")
        with pytest.raises(BadInput, match=r"a.avi: (none of its frames|cannot be read|does not tell)"):
            probe(tmp_path / "a.avi", allowed=ANY)
    assert listener.calls == 0


@pytest.mark.parametrize(
    "path",
    ["subfile,,start,0,end,9,,:{}", "concat:{}|{}", "file:{}", "data:video/mp4;base64,AAAA", "http://127.0.0.1/{}"],
)
def test_a_path_that_ffmpeg_would_take_for_an_address_is_a_path(listener, path):
    with pytest.raises(BadInput, match=r"no such file|its name has no ending|cannot be read"):
        probe(Path(path.format(listener.canary, listener.canary)))
    assert listener.calls == 0


def test_files_attached_to_a_film_of_a_stranger_are_refused(tmp_path):
    import av

    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        container.add_attachment("font.ttf", "font/ttf", b"canary")
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    assert probe(path).frames == 1
    with pytest.raises(BadInput, match=r"film.mkv: has files attached"):
        probe(path, STRANGERS)


# ---- too much -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(bytes=100), "bytes"),
        (Limits(seconds=0.2), "seconds"),
        (Limits(frames=5), "frames"),
        (Limits(pixels=1000), "pixels a frame"),
        (Limits(side=40), "pixels on one side"),
        (Limits(rate=20), "frames a second"),
        (Limits(streams=1), "streams"),
    ],
)
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_every_limit_holds(tmp_path, limits, words, ending):
    film = make_film(tmp_path / f"film.{ending}")
    with pytest.raises(BadInput, match=rf"film.{ending}: has [\d,]+ {words}, more than the [\d,]+ that are accepted"):
        extract_frames(film, tmp_path / "out.zip", limits=limits)
    assert not list(tmp_path.glob("*.zip")) and not list(tmp_path.glob(".tmp*"))


@pytest.mark.parametrize(("limits", "words"), [(Limits(frames=5), "6 frames"), (Limits(seconds=0.2), "seconds")])
def test_limits_hold_while_decoding_where_the_header_tells_nothing(tmp_path, limits, words):
    film = make_film(tmp_path / "film.mkv", sound=False)
    content = film.read_bytes()
    at = content.index(b"\x44\x89\x88")  # Duration, here of nought
    film.write_bytes(content[: at + 3] + bytes(8) + content[at + 11 :])
    with opened(film, limits) as found, pytest.raises(BadInput, match=words):
        list(found.frames())


def test_a_billion_frames_a_second_are_refused(tmp_path):
    film = make_film(tmp_path / "film.mp4", sound=False).read_bytes()
    at = film.index(b"mdhd") + 4 + 12
    (tmp_path / "film.mp4").write_bytes(film[:at] + struct.pack(">I", 10**9) + film[at + 4 :])
    with pytest.raises(BadInput, match=r"frames a second, more than the 300"):
        probe(tmp_path / "film.mp4", STRANGERS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.gif", b"GIF89a" + struct.pack("<HH", 20000, 20000) + b"\x80\0\0" + bytes(6) + b",\0\0\0\0 N N\0\2\2D\1\0;"),
        ("a.bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 30000, 30000, 1, 24, 0, 0, 0, 0, 0, 0)),
        ("a.png", b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 60000, 60000, 8, 2, 0, 0, 0, 0)),
    ],
)
def test_a_huge_size_is_refused_by_its_header(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    begun = time.process_time()
    for look in (probe, lambda path, limits: thumbnail(path, tmp_path / "t.jpg", limits=limits)):
        with pytest.raises(BadInput, match=rf"{name}: (has [\d,]+ pixels|damaged)"):
            look(tmp_path / name, STRANGERS)
    assert time.process_time() - begun < 5


def test_films_without_pictures_or_cut_short_are_refused_or_read_as_far_as_they_go(tmp_path):
    import av

    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono", bit_rate=64000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux([*stream.encode(frame), *stream.encode()])
    with pytest.raises(BadInput, match=r"sound.mp4: holds no moving pictures"):
        probe(tmp_path / "sound.mp4")
    for ending in ("mp4", "mkv", "wmv", "webm", "gif"):
        film = make_film(tmp_path / f"film.{ending}", sound=False)
        content = film.read_bytes()
        for share in (0.1, 0.5, 0.9):
            film.write_bytes(content[: int(len(content) * share)])
            try:
                assert probe(film, STRANGERS).width in (0, 48)
            except BadInput as error:
                assert str(film) in str(error)


@pytest.mark.parametrize("ending, codec", [("mp4", b"avc1"), ("wmv", b"WMV2"), ("mkv", b"V_MPEG4/ISO/AVC")])
def test_a_film_of_an_unknown_codec_is_refused(tmp_path, ending, codec):
    film = make_film(tmp_path / f"film.{ending}", 3, sound=False)
    film.write_bytes(film.read_bytes().replace(codec, b"Z" * len(codec)))
    with pytest.raises(BadInput, match=r"codec that is not known|no moving pictures"):
        probe(film, STRANGERS)


def test_sound_of_an_unknown_codec_is_left_out_with_a_note(tmp_path):
    film, format_of_wma = make_film(tmp_path / "film.wmv", 3), b"\x61\x01\x02\x00"
    film.write_bytes(film.read_bytes().replace(format_of_wma, b"\xfe\xdc\x02\x00"))
    assert probe(film, STRANGERS).sound == ()
    made = enlarge_film(film, tmp_path / "out.mkv", "nearest", 2)
    assert made.frames == 3 and made.notes == ("audio stream unknown left out, matroska does not take it",)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "wmv", "webm", "gif", "avi"])
def test_flipped_bytes_are_read_or_refused_and_nothing_else(tmp_path, ending, seed):
    film, generator = make_film(tmp_path / f"film.{ending}", 6), np.random.default_rng(seed)
    content = np.frombuffer(film.read_bytes(), np.uint8)
    for _ in range(10):
        spoilt = content.copy()
        at = generator.integers(16, len(content), 5)
        spoilt[at] = generator.integers(0, 256, 5)
        film.write_bytes(spoilt.tobytes())
        try:
            with opened(film, STRANGERS) as found:
                assert sum(1 for _ in found.frames()) < 100
        except BadInput as error:
            assert str(film) in str(error)


def test_pictures_that_cannot_be_one_picture_are_refused(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "two.webp", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    Image.new("CMYK", (8, 8)).save(tmp_path / "cmyk.jpg")
    frames[0].save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name, words in {
        "two.webp": "2 pictures",
        "two.gif": "2 pictures",
        "cmyk.jpg": "CMYK",
        "cut.png": "damaged",
    }.items():
        with pytest.raises(BadInput, match=rf"{name}: .*{words}"):
            read_picture(tmp_path / name)
    assert probe(tmp_path / "two.gif").media == "film"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.bmp", "a.webp"])
def test_a_picture_that_is_cut_or_changed_is_refused_by_name_whatever_is_asked_of_it(tmp_path, name):
    pictures = [Image.fromarray(drawn.texture(seed, 24, 24)) for seed in range(2)]
    pictures[0].save(tmp_path / name, **({"save_all": True, "append_images": pictures[1:]} if name == "a.gif" else {}))
    whole, generator = (tmp_path / name).read_bytes(), np.random.default_rng(0)
    spoilt = [whole[:size] for size in range(16, len(whole), max(1, len(whole) // 40))]
    for at in generator.integers(12, len(whole), (40, 3)):
        changed = bytearray(whole)
        for place in at:
            changed[place] ^= 1 << int(generator.integers(8))
        spoilt.append(bytes(changed))
    refused = 0
    for content in spoilt:
        (tmp_path / name).write_bytes(content)
        for look in (header, read_first, read_picture):
            try:
                look(tmp_path / name, STRANGERS, "called " + name)
            except BadInput as error:
                refused += 1
                assert str(error).startswith(f"called {name}: ")
    assert refused > len(spoilt) // 4  # of three times as many looks: a header says little, a BMP has no sums


# ---- the limited process --------------------------------------------------------------------------------------------


def test_what_runs_behind_the_door_returns_typed_results_and_raises_its_own_errors(tmp_path):
    film = make_film(tmp_path / "film.mp4")
    assert run(probe, path=film) == probe(film)
    with pytest.raises(BadInput, match=r"absent.mp4: no such file"):
        run(probe, path=tmp_path / "absent.mp4")
    assert run(thumbnail, path=film, target=tmp_path / "small.jpg", side=24) is None
    with Image.open(tmp_path / "small.jpg") as image:
        assert image.size == (24, 16)


SMALL = Bounds(memory=2**30, cpu=1, seconds=20, file=2**20)


@pytest.mark.usefixtures("deadline")
@pytest.mark.parametrize(
    ("function", "words"), [(fill_memory, "memory: exhausted"), (never_end, "SIGKILL|SIGXCPU"), (crash, "SIGSEGV")]
)
def test_what_a_decoder_does_wrong_costs_its_process_only(tmp_path, function, words):
    with pytest.raises(Exception, match=words) as caught:
        run(function, bounds=SMALL, path=tmp_path / "file.mp4")
    assert caught.value.code in (3, 9)


@pytest.mark.usefixtures("deadline")
def test_beside_a_graphics_card_memory_is_bounded_and_addresses_are_not(tmp_path):
    card = dataclasses.replace(SMALL, cpu=20, graphics=True)
    assert [run(reserve_addresses, bounds=bounds, size=2**34) for bounds in (SMALL, card)] == [0, 1]
    with pytest.raises(OutOfMemory):
        run(fill_memory, bounds=card, path=tmp_path / "file.mp4")


def test_the_process_has_no_network_an_empty_folder_and_files_of_a_bounded_size(tmp_path, listener):
    assert run(call_out, port=listener.port) != 0
    assert listener.calls == 0
    entries, files = run(surroundings)
    assert entries == [] and files < 10
    with pytest.raises(Exception, match="File too large"):
        run(write_much, bounds=SMALL, path=tmp_path / "much")
    assert (tmp_path / "much").stat().st_size <= 2**20


@pytest.mark.usefixtures("deadline")
def test_a_stop_and_a_time_limit_end_the_process_at_once(tmp_path):
    heard: list[tuple[float, float]] = []
    with pytest.raises(Stopped):
        run(sleep, path=tmp_path, report_to=lambda *told: heard.append(told), stop=lambda: bool(heard))
    assert heard == [(1, 3)]
    with pytest.raises(BadInput, match=r"took more than 1 s"):
        run(sleep, bounds=Bounds(seconds=1), path=tmp_path)


_WORKER = """
import sys
from pathlib import Path
import hostile_work
from competition.media.sandbox import run
sys.path.insert(0, sys.argv[3])
said = {"report_to" if sys.argv[1] == "sleep" else "stop": lambda *told: print("ready", flush=True)}
run(getattr(hostile_work, sys.argv[1]), path=Path(sys.argv[2]), **said)
"""
_SLOW_START = """
import os, signal, sys
if "competition.media.child" in sys.orig_argv:
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.parametrize("function", ["sleep", "write_much"])
def test_the_process_ends_with_its_parent_even_where_that_is_killed_before_it_was_heeded(tmp_path, function):
    """Killed while the process is at work, and while it has only just begun: it is stopped there by sitecustomize."""
    if function == "write_much":
        (tmp_path / "sitecustomize.py").write_text(_SLOW_START)
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", _WORKER, function, tmp_path / "made", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}) as worker:
        assert worker.stdout and worker.stdout.readline() == b"ready\n"
        [process] = psutil.Process(worker.pid).children()
        while function == "write_much" and process.status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        worker.kill()
    if function == "write_much":
        process.resume()
    until = time.monotonic() + 60
    while _lives(process):
        assert time.monotonic() < until, "outlives its parent"
        time.sleep(0.02)
    assert not (tmp_path / "made").exists()


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_limits_are_the_same_on_both_sides_of_the_door(tmp_path):
    film = make_film(tmp_path / "film.mkv")
    for limits in (OWN, STRANGERS):
        assert run(probe, path=film, limits=limits).width == 48
    with pytest.raises(BadInput, match=r"named.mkv: has 48 pixels on one side"):
        run(probe, path=film, limits=Limits(side=40), name="named.mkv")
