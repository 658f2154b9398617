"""A visitor of the platform in this process: opens the page, sends files by tus, has jobs done."""

import base64
from pathlib import Path
from typing import Any

from sqlalchemy import true, update
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from competition.web import jobs
from competition.web.app import create_app
from competition.web.runner import Runner
from competition.web.service import Service
from competition.web.settings import Settings
from competition.web.tables import LANES, READY, Job, Upload

TUS = {"Tus-Resumable": "1.0.0"}
PATCH = {**TUS, "Content-Type": "application/offset+octet-stream"}
ROOT = Path(__file__).resolve().parents[1]
PROBE = {"media": "picture", "kind": "PNG", "width": 8, "height": 8, "seconds": 0.0, "playable": True}


class Visitor:
    """One browser; several of one service share `app`."""

    def __init__(self, app: Any, **headers: str) -> None:
        self.app = app
        self.service: Service = app.state.service
        self.http = TestClient(app, base_url="http://localhost", raise_server_exceptions=False, headers=headers)
        self.http.get("/")
        self.token = self.http.get("/api/session").json().get("token", "")
        self.headers = {"X-Token": self.token}

    def create(self, name: str, size: int, **headers: str) -> Any:
        said = "filename " + base64.b64encode(name.encode("utf-8", "surrogatepass")).decode()
        more = {"Upload-Length": str(size), "Upload-Metadata": said}
        return self.http.post("/files", headers={**TUS, **self.headers, **more, **headers})

    def patch(self, place: str, content: bytes, offset: int, **headers: str) -> Any:
        said = {**PATCH, **self.headers, "Upload-Offset": str(offset), **headers}
        return self.http.patch(place, headers=said, content=content)

    def head(self, place: str) -> Any:
        return self.http.head(place, headers=TUS)

    def send(self, name: str, content: bytes, consent: bool = False) -> str:
        """Upload a whole file; its id."""
        said = (
            {"Upload-Metadata": f"filename {base64.b64encode(name.encode()).decode()},consent eWVz"} if consent else {}
        )
        place = self.create(name, len(content), **said).headers["location"]
        assert self.patch(place, content, 0).status_code == 204
        return str(place.rpartition("/")[2])

    def have(self, name: str = "a.png", **info: object) -> str:
        """An upload as it is once it was looked at, without the look."""
        with Session(self.service.engine) as session, session.begin():
            owner = owner_of(self)
            session.add(upload := Upload(owner=owner, name=name, size=3, state=READY, info={**PROBE, **info}))
            session.flush()
            identity = upload.id
        self.service.storage.upload(identity).mkdir()
        self.service.storage.content(identity).write_bytes(b"abc")
        return identity

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """A changing request with the page's token."""
        return self.http.request(method, path, headers={**self.headers, **more.pop("headers", {})}, **more)

    def files(self) -> list[dict[str, Any]]:
        return list(self.http.get("/api/files").json())

    def work(self) -> None:
        """Do all jobs that wait, as a worker does."""
        runner = Runner(self.service.engine, self.service.storage, lambda: False)
        for lane in LANES:
            while job := jobs.claim(self.service.engine, lane, jobs.name_of()):
                runner.run(job)


def open_platform(data: Path, **settings: Any) -> Any:
    """The application over a data folder."""
    return create_app(Settings(data=data, networks=ROOT, **settings))


def owner_of(visitor: Visitor) -> str:
    return str(visitor.http.cookies["owner"]).partition(".")[0]


def identity_of(place: str) -> str:
    """The upload that a Location names."""
    return place.rpartition("/")[2]


def start(visitor: Visitor, identity: str) -> None:
    """Queue an enlargement."""
    answer = visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "bicubic", "scale": "2"})
    assert answer.status_code == 202, answer.text


def change(visitor: Visitor, table: type[Upload] | type[Job], only: str | None = None, **values: object) -> None:
    """Set values of one row, which must be there, or of all."""
    with Session(visitor.service.engine) as session, session.begin():
        assert only is None or session.get(table, only)
        session.execute(update(table).where(table.id == only if only else true()).values(values))
