"""What the platform says is in Korean on a Korean page: every word of it, and every reason an engine may give."""

import html
import re
from itertools import count

import drawn
import pytest

pytest.importorskip("fastapi")

import spoken
from sqlalchemy.orm import Session
from web_client import Visitor

from competition.images import encode_png
from competition.media.kinds import ALL_FILMS, PICTURES
from competition.web import choices
from competition.web.reasons import CATALOGUE, explain
from competition.web.rows import duration, share
from competition.web.tables import CANCELLED, DONE, FAILED, QUEUED, RUNNING, Job

HANGUL = re.compile("[가-힣]")
VALUE = re.compile(r"\{\w*\}")
STREAMS = ("video", "audio", "subtitle", "data", "attachment")  # as FFmpeg names them
ENDINGS = [" or ".join(kind.extensions) for kind in (*PICTURES, *ALL_FILMS) if len(kind.extensions) > 1]
INSIDE = [word for word, place in spoken.words().items() if place.module == "competition.png.formats"]
# English that Korean engineers write as well: formats, names of tools and types, options of the command line.
LATIN = {
    *("PNG", "JPEG", "BMP", "WebP", "GIF", "RGB", "MP4", "JSON", "PyAV", "zip", "npz", "npy", "csv", "uint8", "uint16"),
    *(
        "pip",
        "install",
        "constraints",
        "txt",
        "video",
        "make",
        "pretrained",
        "NAME",
        "null",
        "timm",
        "openvino",
        "torch",
    ),
    *("mkvpropedit", "delete", "attachment", "times", "model", "name", "resunet", "nf", "data", "workers", "store"),
    *("HDR10", "Dolby", "Vision", "disk", "start", "seconds", "chunk", "every", "rate", "backend", "precision"),
}
PAGE = {
    "JavaScript",
    "English",
    "API",
    "MB",
    "kB",
    "jpg",
    "png",
    "bmp",
    "gif",
    "webp",
    "mp4",
    "mov",
    "mkv",
    "webm",
    "wmv",
}


def filled(sentence: str) -> tuple[str, list[str]]:
    """A sentence with values that no sentence has, and these."""
    numbers = count(1001)
    told = VALUE.sub(lambda _: str(next(numbers)), sentence)
    return told, [str(number) for number in range(1001, next(numbers))]


def english(text: str) -> set[str]:
    return set(re.findall("[A-Za-z]{2,}[0-9]*", text)) - LATIN


# ---- reasons --------------------------------------------------------------------------------------------------------


def test_what_a_job_may_come_to_is_found_in_the_source():
    """The reader of the source sees what is known to be said, so the tests after this one see it too."""
    said = spoken.sentences()
    assert "{}: damaged ({}). Fetch it again" in said  # in a context manager that reading a picture goes through
    assert "{}: has {} pixels on one side, more than the {} that are accepted. Give a smaller one" in said  # by a table
    assert "{}: is empty. Give {}" in said  # one branch of three
    assert "file: was deleted meanwhile. Add it again" in said  # by the worker itself
    assert "sound {} encoded anew, {} does not take it" in said  # a note
    assert not any("Predict it again" in sentence for sentence in said)  # of voting, which no visitor comes to


@pytest.mark.parametrize("sentence", sorted(spoken.sentences()))
def test_every_reason_is_said_in_korean_with_all_its_values(sentence):
    told, values = filled(sentence)
    korean = explain("ko", told)
    assert HANGUL.search(korean) and "영문 메시지" not in korean, spoken.sentences()[sentence]
    assert [value for value in values if value not in korean] == []
    assert english(korean) == set()
    assert explain("en", told) == told


def test_the_catalogue_holds_nothing_that_nobody_says():
    said = {*spoken.sentences(), *spoken.words(), *ENDINGS, *STREAMS}
    assert [entry for entry in CATALOGUE if VALUE.sub("{}", entry) not in said] == []


@pytest.mark.parametrize("entry", CATALOGUE)
def test_both_languages_of_an_entry_have_the_same_values(entry):
    assert sorted(VALUE.findall(entry)) == sorted(VALUE.findall(CATALOGUE[entry]))


@pytest.mark.parametrize("word", [*ENDINGS, *STREAMS, *(word for word in INSIDE if re.search(r"\b[a-z]{2}", word))])
def test_values_that_are_words_are_said_in_korean_too(word):
    if word in ENDINGS:
        said = explain("ko", f"a.png: is JPEG inside but named .png. Name it {word}")
    elif word in STREAMS:
        said = explain("ko", f"{word} stream ass left out, mp4 does not take it")
    else:
        said = explain("ko", f"a.png: is {word}. Give png, bmp")
    assert word not in said and HANGUL.search(said)


def test_names_of_files_are_kept_whatever_they_say():
    assert explain("ko", "text: is text. Give png").startswith("text: 지원하지 않는 형식입니다(텍스트).")
    for name in ("a: is b. Give c.png", "{subject}.png", "black or white.jpg", "영상 (1).png"):
        assert explain("ko", f"{name}: is empty. Give png") == f"{name}: 빈 파일입니다. 사용할 수 있는 형식: png"
    clip = "48x32 of 8 bits at 25.00 frames a second"
    fault = f"b.mp4: is {clip} with sound, text is {clip} without sound. Convert it, or leave it out"
    merged = explain("ko", fault)
    assert merged.startswith("b.mp4: 48x32, 8비트, 초당 25.00프레임, 소리 있음인데 text 파일은 48x32, 8비트,")


def test_what_the_catalogue_lacks_is_shown_in_english():
    assert explain("ko", "a.png: went astray. Look for it") == "영문 메시지: a.png: went astray. Look for it"
    two = explain("ko", "a.png: is empty. Give png\nb.png: went astray. Look for it")
    assert two == "a.png: 빈 파일입니다. 사용할 수 있는 형식: png\n영문 메시지: b.png: went astray. Look for it"


def test_a_job_that_was_given_up_has_a_sentence_in_both_languages():
    assert explain("en", "crashed") == "The work on it crashed several times."
    assert explain("ko", "crashed") == "작업이 여러 번 비정상 종료되었습니다."


# ---- pages ----------------------------------------------------------------------------------------------------------


def shown(visitor: Visitor, language: str) -> str:
    """The page as its source."""
    return str(visitor.http.get("/", headers={"Accept-Language": language}).text)


def read(page: str) -> str:
    """What somebody reads or hears of a page."""
    body = re.sub(r"<head>.*?</head>", "", page, flags=re.DOTALL)
    labels = re.findall(r'(?:aria-label|alt|title|hx-confirm|data-empty)="([^"]*)"', body)
    return " ".join(html.unescape(" ".join([re.sub("<[^>]*>", " ", body), *labels])).split())


def test_refused_files_are_explained_in_the_visitors_language(visitor):
    picture = encode_png(drawn.texture(1, 40, 40))
    visitor.send("<script>cut.png", picture[: len(picture) // 2])
    visitor.send("넓은 사진.png", encode_png(drawn.texture(1, 2, 9000)))
    visitor.send("note.mp4", b"no film at all, but a text\n" * 20)
    visitor.work()
    assert [found["state"] for found in visitor.files()] == ["refused"] * 3
    korean, english = read(shown(visitor, "ko")), read(shown(visitor, "en"))
    for found in visitor.files():
        assert f"Refused: {found['reason']}" in english and found["reason"] not in korean
    assert "거부됨: <script>cut.png: 손상된 파일입니다(" in korean
    wide = "넓은 사진.png: 긴 변이 9,000픽셀로 한도(8,192픽셀)를 넘습니다. 해상도가 더 낮은 파일을 사용하세요"
    assert f"거부됨: {wide}" in korean
    assert "거부됨: note.mp4: 지원하지 않는 형식입니다(텍스트). 사용할 수 있는 형식: " in korean
    for page in (shown(visitor, "ko"), shown(visitor, "en")):
        assert "<script>cut" not in page and "&lt;script&gt;cut" in page


def test_no_word_of_a_korean_page_is_english(visitor):
    picture, other = visitor.have("1.png"), visitor.have("2.png")
    film = visitor.have("3.mkv", media="film", kind="Matroska", seconds=185.0, playable=False)
    shown_film = visitor.have("4.mp4", media="film", kind="MP4", seconds=8.0)
    visitor.create("5.png", 100)
    asked = {"denoise": "nlmeans", "sharpen": 1.5, "self_ensemble": True, "exact": True, "others": [other]}
    called = {"called": "bicubic", "scale": 4}
    notes = ["sound left out, gif does not take it"]
    made = {"files": [{"name": "result.png", "bytes": 10}], "width": 8, "height": 8, "notes": notes}
    states = {QUEUED: {}, RUNNING: {"progress": 0.5}, DONE: {"result": made}, CANCELLED: {}}
    states[FAILED] = {"reason": "1.png: is empty. Give png"}
    with Session(visitor.service.engine) as session, session.begin():
        owner = str(visitor.http.cookies["owner"]).partition(".")[0]
        for operation, schema in choices.OPERATIONS.items():
            told = schema(**{key: asked[key] for key in asked if key in schema.model_fields}).model_dump()
            told |= called if schema is choices.Enlarge else {}
            for state, more in states.items():
                upload = picture if operation in choices.OF_PICTURES else film
                session.add(Job(owner=owner, upload=upload, operation=operation, state=state, settings=told, **more))
        estimate = {"estimate": {"seconds": 8, "bytes": 10, "width": 8, "height": 8}}
        session.add(
            Job(owner=owner, upload=shown_film, operation="estimate", state=DONE, result=estimate, settings=told)
        )
    words = read(shown(visitor, "ko"))
    networks = english(" ".join(visitor.service.networks()))
    assert english(words) - PAGE - networks == set()
    assert "비국소 평균 5" in words and "0.0초 – 30초" in words and "파일 2개" in words
    assert "50%" in words and "8.0초" in words and "3:05" in words
    assert "소리는 gif 형식에 담을 수 없어 제외했습니다" in words


def test_the_description_for_programs_says_that_it_is_english(visitor):
    page = visitor.http.get("/docs", headers={"Accept-Language": "ko"}).text
    assert '<html lang="en">' in page and 'lang="ko">내 파일</a>' in page


@pytest.mark.parametrize(
    "seconds, english, korean",
    [(8, "8.0 s", "8.0초"), (42, "42 s", "42초"), (185, "3:05", "3:05"), (3785, "1:03:05", "1:03:05")],
)
def test_times_are_written_as_in_the_language(seconds, english, korean):
    assert (duration("en", seconds), duration("ko", seconds)) == (english, korean)


def test_shares_are_written_as_in_the_language():
    assert (share("en", 0.25), share("ko", 0.25)) == ("25 %", "25%")
