"""Every sentence of the pages, in English and Korean."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

LANGUAGES = ("en", "ko")

_SENTENCES: Mapping[str, tuple[str, str]] = {
    # ---- the page
    "title": ("Enlarge pictures and videos", "사진과 동영상 확대"),
    "skip": ("Skip to the files", "파일 목록으로 건너뛰기"),
    "language": ("한국어", "English"),
    "language label": ("한국어로 보기", "View in English"),
    "intro": (
        "Add pictures or videos, press Enlarge, and get a sharper, larger version back. Everything stays on this server.",
        "사진이나 동영상을 추가하고 확대를 누르면 더 크고 선명한 결과를 받을 수 있습니다. 모든 파일은 이 서버에만 보관됩니다.",
    ),
    "add": ("Add files", "파일 추가"),
    "drop": ("or drop them anywhere on this page", "또는 이 페이지 아무 곳에나 끌어다 놓으세요"),
    "kinds": ("png, jpg, bmp, gif, webp, mp4, mov, mkv, webm, wmv", "png, jpg, bmp, gif, webp, mp4, mov, mkv, webm, wmv"),
    "consent": ("My new files may be kept and used to improve the networks", "새 파일을 보관하여 신경망 개선에 사용해도 됩니다"),
    "consent detail": (
        "Off unless you tick it. Kept until you delete the file; deleting it also removes what was learned from it next.",
        "선택하지 않으면 사용하지 않습니다. 파일을 삭제할 때까지 보관하며, 삭제하면 학습 자료에서도 지워집니다.",
    ),
    "files": ("Your files", "내 파일"),
    "empty": ("Nothing here yet.", "아직 파일이 없습니다."),
    "kept for": ("Files are deleted after {days} days.", "파일은 {days}일 뒤에 삭제됩니다."),
    "needs script": ("This page needs JavaScript.", "이 페이지에는 JavaScript가 필요합니다."),
    # ---- a row
    "uploading": ("Uploading", "올리는 중"),
    "paused": ("Paused", "일시 정지"),
    "interrupted": ("Interrupted: choose the same file again to go on", "중단됨: 같은 파일을 다시 선택하면 이어집니다"),
    "looking": ("Being looked at …", "확인하는 중 …"),
    "refused": ("Refused", "거부됨"),
    "pause": ("Pause", "일시 정지"),
    "resume": ("Resume", "이어서 올리기"),
    "cancel": ("Cancel", "취소"),
    "delete": ("Delete", "삭제"),
    "play": ("Play", "재생"),
    "left": ("{time} left", "{time} 남음"),
    "of": ("of", "/"),
    "frames": ("frames", "프레임"),
    "consented": ("may be used for learning", "학습에 사용 가능"),
    "withdraw": ("Withdraw", "동의 철회"),
    # ---- what can be done
    "enlarge": ("Enlarge", "확대"),
    "preview": ("Preview", "미리보기"),
    "preview film": ("Preview one second", "1초 미리보기"),
    "estimate": ("Estimate", "예상"),
    "cut": ("Cut", "자르기"),
    "extract": ("Extract", "프레임 추출"),
    "merge": ("Merge", "병합"),
    "network": ("Network", "신경망"),
    "scale": ("Scale", "배율"),
    "own scale": ("network's own", "신경망 기본값"),
    "self ensemble": ("Self-ensemble (8 times slower, a little better)", "셀프 앙상블 (8배 느리지만 조금 더 좋음)"),
    "denoise": ("Denoise before", "먼저 노이즈 제거"),
    "none": ("no", "안 함"),
    "bilateral": ("bilateral filter", "양방향 필터"),
    "nlmeans": ("non-local means", "비지역 평균"),
    "strength": ("Strength", "강도"),
    "sharpen": ("Sharpen before", "먼저 선명하게"),
    "start": ("From second", "시작(초)"),
    "seconds": ("Seconds", "길이(초)"),
    "exact": ("Exact (encodes anew)", "정확하게 (다시 인코딩)"),
    "every": ("Every how many seconds (0: all frames)", "몇 초마다 (0: 모든 프레임)"),
    "form": ("As", "형식"),
    "zip": ("pictures in a zip", "이미지 zip"),
    "npz": ("arrays in an npz", "배열 npz"),
    "rate": ("Frames a second", "초당 프레임"),
    "with": ("Together with, in this order", "함께 병합할 파일 (이 순서)"),
    "no others": ("Add another file of the same kind first.", "먼저 같은 종류의 파일을 더 추가하세요."),
    "convert": ("Convert", "변환"),
    "options": ("Options", "옵션"),
    "tools": ("Cut, extract, merge", "자르기, 추출, 병합"),
    "together": ("Merge into a video", "동영상으로 병합"),
    # ---- jobs
    "queued": ("Waiting", "대기 중"),
    "running": ("Working", "처리 중"),
    "done": ("Done", "완료"),
    "failed": ("Failed", "실패"),
    "cancelled": ("Cancelled", "취소됨"),
    "estimated": ("about {time}, {bytes}, {width}×{height}", "약 {time}, {bytes}, {width}×{height}"),
    "download": ("Download", "내려받기"),
    "before": ("Before", "전"),
    "after": ("After", "후"),
    "compare": ("Show more of the picture before or after", "확대 전과 후 비교"),
    "took": ("in {time}", "{time} 소요"),
    # ---- refusals
    "file too large": ("The file is larger than this server takes.", "파일이 이 서버의 한도보다 큽니다."),
    "quota used up": ("Your files would take more room than you have. Delete some.", "사용 가능한 공간을 넘습니다. 파일을 삭제하세요."),
    "too many files": ("You have as many files as you may. Delete some.", "파일 수가 한도에 도달했습니다. 파일을 삭제하세요."),
    "disk full": ("The server's disk has no room for this now.", "서버 디스크에 공간이 없습니다."),
    "too much waits": ("Too many jobs wait. Try again later.", "대기 중인 작업이 너무 많습니다. 나중에 다시 시도하세요."),
    "not found": ("There is no such thing here.", "찾을 수 없습니다."),
    "upload is busy": ("This upload goes on elsewhere.", "다른 곳에서 올리는 중입니다."),
    "wrong offset": ("The upload does not go on at this offset.", "올리기 위치가 맞지 않습니다."),
    "longer than promised": ("More bytes than were promised.", "약속한 것보다 바이트가 많습니다."),
    "wrong checksum": ("The checksum is wrong.", "체크섬이 맞지 않습니다."),
    "not tus 1.0.0": ("Not a request of tus 1.0.0.", "tus 1.0.0 요청이 아닙니다."),
    "too slow": ("Nothing came for too long.", "너무 오랫동안 데이터가 오지 않았습니다."),
    "cut off": ("The connection was cut off.", "연결이 끊어졌습니다."),
    "wrong host": ("This server has another name.", "이 서버의 이름이 아닙니다."),
    "from another site": ("Requests from other sites change nothing here.", "다른 사이트의 요청은 허용되지 않습니다."),
    "token lacks": ("The page's token lacks. Load the page again.", "토큰이 없습니다. 페이지를 새로 고치세요."),
    "password lacks": ("A password is needed.", "비밀번호가 필요합니다."),
    "too many guesses": ("Too many wrong passwords. Wait a minute.", "비밀번호가 여러 번 틀렸습니다. 잠시 기다리세요."),
    "not ready": ("The file is not ready for this.", "아직 준비되지 않은 파일입니다."),
    "not for this": ("This cannot be done to such a file.", "이 파일에는 사용할 수 없는 기능입니다."),
    "unknown network": ("There is no such network.", "그런 신경망이 없습니다."),
    "other scale": ("This network does not enlarge by so much.", "이 신경망이 지원하지 않는 배율입니다."),
    "wrong option": ("An option is wrong.", "잘못된 옵션이 있습니다."),
    "our fault": ("Something went wrong here.", "서버에 문제가 생겼습니다."),
    "crashed": ("The work on it crashed several times.", "작업이 여러 번 비정상 종료되었습니다."),
    "no connection": ("No connection; it goes on when there is one.", "연결이 끊겼습니다. 다시 연결되면 계속합니다."),
    "delete sure": ("Delete {name} and everything made of it?", "{name} 파일과 결과를 모두 삭제할까요?"),
}


def say(language: str, key: str, **values: object) -> str:
    """A sentence in a language; what is no key of the table, such as an engine's own sentence, stays as it is."""
    sentences = _SENTENCES.get(key)
    if sentences is None:
        return key
    sentence = sentences[LANGUAGES.index(language)]
    return sentence.format(**values) if values else sentence


def language_of(request: Request) -> str:
    """A visitor's language: what the cookie says, else what the browser prefers."""
    chosen = request.cookies.get("language")
    if chosen in LANGUAGES:
        return chosen
    for preferred in request.headers.get("accept-language", "").split(","):
        if (short := preferred.strip()[:2].lower()) in LANGUAGES:
            return short
    return LANGUAGES[0]


def plain(status: int, word: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as a machine reads it: `error` is the key, `says` the sentence in English."""
    return JSONResponse({"error": word, "says": say("en", word)}, status, headers)
