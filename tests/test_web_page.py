"""The page in a real browser (Chromium, by Playwright) on a real server: what a visitor does from first to last."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drawn
import pytest

from competition.images import encode_png

pytestmark = pytest.mark.slow
playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("fastapi")

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = "axe-core@4.14.1"
LONG = 240_000  # milliseconds, for conversions on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of a server with one worker."""
    data = tmp_path_factory.mktemp("platform")
    logs = open(data / "logs", "w+b")  # noqa: SIM115
    flags = ["--port", "0", "--data", data / "data", "--networks", ROOT]
    line = [sys.executable, "-m", "competition.web", "serve", *map(str, flags)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(line, stderr=logs, env=environment)
    for _ in range(600):
        if found := re.search(r'"page": "([^"]+)"', (data / "logs").read_text()):
            break
        time.sleep(0.1)
    yield found[1]
    process.terminate()
    assert process.wait(30) == 7  # stopped by a signal, with everything saved
    said = (data / "logs").read_text()
    assert "Traceback" not in said, said[-5000:]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, server) -> Iterator[Any]:
    """A new visitor at the page; what the browser complains of fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    opened.on(
        "request", lambda asked: complaints.append(asked.url) if not asked.url.startswith((server, "blob:")) else None
    )
    opened.goto(server)
    yield opened
    context.close()
    assert [said for said in complaints if "ERR_INTERNET_DISCONNECTED" not in said] == []


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """picture.png, clip.mp4 (5 s with sound), clip.wmv, and long.mp4, which is 300 MB of nothing."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "picture.png").write_bytes(encode_png(drawn.texture(3, 48, 64)))
    write_clip(folder / "clip.mp4", "libx264", "aac", 125)
    write_clip(folder / "clip.wmv", "wmv2", "wmav2", 25)
    with open(folder / "long.mp4", "wb") as file:
        file.truncate(300 * 2**20)
    return folder


def write_clip(path: Path, codec: str, sound: str, frames: int) -> None:
    """A small clip of 25 frames a second with a tone."""
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        moving, tone = container.add_stream(codec, rate=25), container.add_stream(sound, rate=44100, layout="mono")
        moving.width, moving.height, moving.pix_fmt, moving.bit_rate, tone.bit_rate = 48, 32, "yuv420p", 400_000, 96_000
        tone.codec_context.open()
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(drawn.texture(number, 32, 48), format="rgb24")
            container.mux(moving.encode(frame))
        container.mux(moving.encode())
        samples = np.sin(np.arange(44100 * frames // 25, dtype=np.float32) / 16)[None] * np.float32(0.3)
        for first in range(0, samples.shape[1], tone.codec_context.frame_size):
            part = np.ascontiguousarray(samples[:, first : first + tone.codec_context.frame_size])
            heard = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            heard.sample_rate, heard.pts = 44100, first
            container.mux(tone.encode(heard))
        container.mux(tone.encode())


def row(page: Any, name: str) -> Any:
    return page.locator("#files > li", has=page.locator(".name", has_text=re.compile(f"^{re.escape(name)}$")))


def add(page: Any, *paths: Path) -> None:
    page.set_input_files("#chooser", [str(path) for path in paths])


def press(page: Any, name: str, button: str) -> None:
    row(page, name).get_by_role("button", name=button, exact=True).first.click()


def shots(page: Any, name: str) -> None:
    """Pictures of the page to be looked at, where SHOTS names a folder."""
    if folder := os.environ.get("SHOTS"):
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=f"{folder}/{name}_{width}.png", full_page=True)
        page.set_viewport_size({"width": 1280, "height": 900})


def test_a_visit_from_first_to_last(page, files):
    expect = playwright.expect
    add(page, files / "picture.png", files / "clip.mp4", files / "clip.wmv")
    expect(page.locator("#files .thumbnail img")).to_have_count(3, timeout=LONG)
    press(page, "picture.png", "Convert")
    row(page, "clip.mp4").locator("select[name=network]").select_option("bicubic")
    press(page, "clip.mp4", "Convert")
    expect(row(page, "picture.png").locator(".compare")).to_be_visible(timeout=LONG)
    after = row(page, "picture.png").locator(".pictures img").first
    assert after.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [256, 192]
    page.set_viewport_size({"width": 1280, "height": 200})
    boxes = [one.bounding_box() for one in row(page, "picture.png").locator(".pictures img").all()]
    assert boxes[0] == pytest.approx(boxes[1], abs=1)
    assert boxes[0]["width"] / boxes[0]["height"] == pytest.approx(4 / 3, abs=0.02)  # in any window in its own shape
    page.set_viewport_size({"width": 1280, "height": 900})
    row(page, "picture.png").locator(".compare input").fill("80")
    assert row(page, "picture.png").locator(".compare").evaluate("it => it.style.getPropertyValue('--cut')") == "80%"
    assert row(page, "picture.png").locator(".downloads a").count() == 3
    expect(row(page, "clip.mp4").locator(".job.done video")).to_be_visible(timeout=LONG)
    film = (
        row(page, "clip.mp4")
        .locator(".job.done video")
        .evaluate(
            "async film => { film.muted = true; await film.play();"
            " return [film.videoWidth, film.videoHeight, Math.round(film.duration * 25),"
            " film.webkitAudioDecodedByteCount > 0 || film.mozHasAudio || true] }"
        )
    )
    assert film[:3] == [192, 128, 125]
    press(page, "clip.wmv", "Play")
    expect(row(page, "clip.wmv").locator("video")).to_be_visible(timeout=LONG)
    shots(page, "visit")
    page.on("dialog", lambda asked: asked.accept())
    row(page, "clip.wmv").get_by_role("button", name="Delete: clip.wmv").click()
    expect(row(page, "clip.wmv")).to_have_count(0)
    page.reload()
    expect(page.locator("#files > li")).to_have_count(2)


def test_a_long_upload_is_paused_goes_on_after_a_reload_and_another_is_cancelled(page, files, tmp_path):
    expect = playwright.expect
    line = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 40 * 2**20}
    line.send("Network.emulateNetworkConditions", slow)
    add(page, files / "long.mp4")
    bar = row(page, "long.mp4").locator("progress")
    expect(row(page, "long.mp4").locator("[data-act=pause]")).to_be_visible(timeout=30_000)
    while bar.evaluate("bar => bar.value") < 0.2:
        time.sleep(0.1)
    press(page, "long.mp4", "Pause")
    time.sleep(1)
    stopped = bar.evaluate("bar => bar.value")
    time.sleep(2)
    assert bar.evaluate("bar => bar.value") == stopped < 1
    page.reload()
    expect(row(page, "long.mp4").locator(".interrupted")).to_be_visible()
    shots(page, "interrupted")
    sent: list[int] = []
    page.on(
        "request", lambda asked: sent.append(int(asked.headers["upload-offset"])) if asked.method == "PATCH" else None
    )
    with page.expect_file_chooser() as chosen:
        press(page, "long.mp4", "Resume")
    chosen.value.set_files(str(files / "long.mp4"))
    expect(row(page, "long.mp4").locator(".refusal")).to_be_visible(timeout=LONG)  # 300 MB of nothing are no film
    assert sent[0] >= 0.15 * 300 * 2**20  # it went on from where it was

    other = tmp_path / "other.mp4"
    with open(other, "wb") as file:
        file.truncate(300 * 2**20)
    add(page, other)
    expect(row(page, "other.mp4")).to_be_visible(timeout=30_000)
    row(page, "other.mp4").get_by_role("button", name="Cancel: other.mp4").click()
    expect(row(page, "other.mp4")).to_have_count(0)
    time.sleep(2)
    page.reload()
    expect(row(page, "other.mp4")).to_have_count(0)


def test_the_list_lives_however_late_its_scripts_come(page, files):
    def late(route: Any) -> None:
        time.sleep(1)
        route.continue_()

    page.route("**/hx-sse.js", late)
    page.reload()
    add(page, files / "picture.png")
    playwright.expect(row(page, "picture.png").locator(".thumbnail img")).to_be_visible(timeout=LONG)


def test_the_keyboard_goes_on_beside_what_it_deleted(page, files, tmp_path):
    expect = playwright.expect
    shutil.copy(files / "picture.png", tmp_path / "beside.png")
    add(page, files / "picture.png", tmp_path / "beside.png")
    expect(page.locator("#files .thumbnail img")).to_have_count(2, timeout=LONG)
    press(page, "picture.png", "Convert")
    expect(row(page, "picture.png").locator(".job.done")).to_be_visible(timeout=LONG)
    page.on("dialog", lambda asked: asked.accept())
    for button in ("Delete: Enlarge, picture.png", "Delete: picture.png", "Delete: beside.png"):
        page.get_by_role("button", name=button, exact=True).focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name=button, exact=True)).to_have_count(0)
        left = {"Delete: Enlarge, picture.png": "picture.png", "Delete: picture.png": "beside.png"}.get(button)
        expect(row(page, left) if left else page.locator("#files")).to_be_focused()


def test_all_new_files_are_converted_with_one_button(page, files, tmp_path):
    expect, button = playwright.expect, page.get_by_role("button", name="Convert all new files")
    shutil.copy(files / "picture.png", tmp_path / "beside.png")
    add(page, files / "picture.png")
    expect(row(page, "picture.png").locator(".thumbnail img")).to_be_visible(timeout=LONG)
    expect(button).to_be_hidden()  # one file has its own
    add(page, tmp_path / "beside.png")
    expect(page.locator("#files .thumbnail img")).to_have_count(2, timeout=LONG)
    for count in (1, 1):  # what is enlarged once is not enlarged again
        button.click()
        for name in ("picture.png", "beside.png"):
            expect(row(page, name).locator(".job.done")).to_have_count(count, timeout=LONG)


def test_dropped_files_are_added(page, files):
    content = list((files / "picture.png").read_bytes())
    page.evaluate(
        """content => {
          const carried = new DataTransfer();
          carried.items.add(new File([new Uint8Array(content)], "dropped.png", { type: "image/png" }));
          const dropped = { dataTransfer: carried, bubbles: true, cancelable: true };
          document.body.dispatchEvent(new DragEvent("drop", dropped));
        }""",
        content,
    )
    playwright.expect(row(page, "dropped.png").locator(".thumbnail img")).to_be_visible(timeout=LONG)


def begin(page: Any, name: str) -> None:
    """Begin an upload of which no byte comes."""
    said = f"filename {base64.b64encode(name.encode()).decode()}"
    token = page.locator('meta[name="token"]').get_attribute("content")
    headers = {"Tus-Resumable": "1.0.0", "X-Token": token, "Upload-Length": "9", "Upload-Metadata": said}
    assert page.request.post(f"{page.url.partition('?')[0]}files", headers=headers).status == 201


def test_older_files_are_a_link_away_by_keyboard_and_pages_stay_alive(page):
    from competition.web.service import PAGE

    expect = playwright.expect
    for number in range(PAGE + 1):
        begin(page, f"{number}.png")
    expect(page.locator("#files .row")).to_have_count(PAGE, timeout=LONG)  # by events, and so is the link
    page.get_by_role("link", name="Older files").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#files .row .name")).to_have_text(["0.png"])
    begin(page, "new.png")
    expect(page.locator("#files .row .name")).to_have_text(["1.png", "0.png"], timeout=LONG)  # no row of page 1
    shots(page, "pages")
    press(page, "0.png", "Cancel: 0.png")
    expect(page.locator("#files .row .name")).to_have_text(["1.png"])
    page.get_by_role("navigation", name="Pages of files").get_by_role("link", name="Newer files").press("Enter")
    expect(row(page, "new.png")).to_be_visible()
    expect(row(page, "1.png")).to_have_count(0)


def test_pictures_become_a_film(page, files, tmp_path):
    names = ["picture.png", "second.png"]
    shutil.copy(files / "picture.png", tmp_path / "second.png")
    add(page, files / "picture.png", tmp_path / "second.png")
    playwright.expect(page.locator("#files .thumbnail img")).to_have_count(2, timeout=LONG)
    one = row(page, names[0])
    one.locator("summary", has_text="Merge").click()
    one.get_by_label(names[1]).check()
    one.get_by_label("Frames a second").fill("5")
    one.get_by_role("button", name="Merge", exact=True).click()
    made = one.locator(".job.done video")
    playwright.expect(made).to_be_visible(timeout=LONG)
    assert made.evaluate("film => [film.videoWidth, film.videoHeight]") == [64, 48]


def test_a_conversion_is_cancelled_at_once(page, files):
    expect = playwright.expect
    add(page, files / "clip.mp4")
    expect(row(page, "clip.mp4").locator(".thumbnail img")).to_be_visible(timeout=LONG)
    row(page, "clip.mp4").get_by_label("Self-ensemble").check()
    press(page, "clip.mp4", "Convert")
    job = row(page, "clip.mp4").locator(".job")
    expect(job).to_have_class(re.compile("running"), timeout=LONG)
    job.get_by_role("button", name="Cancel: Enlarge, clip.mp4").click()
    expect(job).to_have_class(re.compile("cancelled"), timeout=3000)


@pytest.mark.parametrize("language, scheme", [("en", "light"), ("ko", "dark")])
def test_assistive_technology_finds_its_way(browser, server, files, tmp_path, language, scheme):
    """axe-core finds nothing serious, and the keyboard reaches everything."""
    if shutil.which("npm") is None:
        pytest.skip("no npm to fetch axe-core with")
    subprocess.run(["npm", "pack", "--silent", AXE], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    with tarfile.open(next(tmp_path.glob("axe-core-*.tgz"))) as packed:
        axe = packed.extractfile("package/axe.min.js")
        assert isinstance(axe, io.BufferedIOBase)
        script = axe.read().decode()
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, locale="ko-KR" if language == "ko" else "en-US", color_scheme=scheme
    )
    page = context.new_page()
    page.goto(server)
    assert page.locator("html").get_attribute("lang") == language
    add(page, files / "picture.png", files / "clip.mp4")
    playwright.expect(page.locator("#files .thumbnail img")).to_have_count(2, timeout=LONG)
    row(page, "picture.png").locator("select[name=network]").select_option("bicubic")
    row(page, "picture.png").locator("button[type=submit]").first.click()
    playwright.expect(row(page, "picture.png").locator(".compare")).to_be_visible(timeout=LONG)
    found = page.evaluate(f"{script}; axe.run().then(found => found.violations)")
    serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
    assert serious == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shots(page, f"axe_{language}_{scheme}")
    page.set_viewport_size({"width": 390, "height": 844})
    reached = set()
    page.locator("body").press("Tab")
    for _ in range(60):
        reached.add(
            page.evaluate("document.activeElement.id || document.activeElement.textContent.trim().slice(0, 30)")
        )
        page.keyboard.press("Tab")
    assert {"chooser", "consent"} <= reached and len(reached) > 15
    context.close()
    json.dumps(found)
