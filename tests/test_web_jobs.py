"""Jobs of the platform: claimed once, lost and found, cancelled, measured; what they may take and what they leave."""

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import drawn
import pytest

pytest.importorskip("fastapi")

import psutil
import web_client
import web_jobs
from sqlalchemy import text
from web_client import Visitor, change, owner_of, start

from competition.images import encode_png
from competition.web import choices, jobs
from competition.web.app import create_app
from competition.web.runner import Runner
from competition.web.settings import Settings
from competition.web.tables import CANCELLED, DONE, FAILED, LONG, QUICK, Job, Upload


def test_a_job_is_claimed_once_and_an_old_attempt_says_nothing_more(visitor):
    engine = visitor.service.engine
    start(visitor, visitor.have())
    first = jobs.claim(engine, LONG, "elsewhere:1:1")
    assert first and jobs.claim(engine, LONG, "elsewhere:2:1") is None
    assert jobs.beat(engine, first, 0.5)
    change(visitor, Job, first.id, heartbeat=time.time() - 11)
    assert jobs.recover(engine, 10, 5) == 1
    second = jobs.claim(engine, LONG, "elsewhere:2:1")
    assert second and second.id == first.id and second.attempt == 2
    assert not jobs.beat(engine, first, 0.9) and not jobs.finish(engine, first, {}) and not jobs.fail(engine, first, "")
    assert jobs.finish(engine, second, {"files": []})
    assert visitor.files()[0]["jobs"][0]["state"] == DONE


def test_time_left_is_told_by_how_fast_this_attempt_goes(visitor):
    def told() -> str:
        found = re.search("([0-9:]+ ?s?) left", visitor.http.get("/").text)
        return found[1] if found else ""

    engine = visitor.service.engine
    start(visitor, visitor.have())
    first = jobs.claim(engine, LONG, "elsewhere:1:1")
    jobs.beat(engine, first, 0.5)
    change(visitor, Job, first.id, resumed=time.time() - 60, started=time.time() - 60)
    assert told() in ("1:00", "59 s")
    jobs.recover(engine, patience=-1, attempts=5)
    second = jobs.claim(engine, LONG, "elsewhere:2:1")
    assert told() == ""
    jobs.beat(engine, second, 0.6)
    change(visitor, Job, first.id, resumed=time.time() - 30)
    assert told() in ("2:00", "1:59")


def test_an_attempt_that_begins_anew_tells_the_time_left_once_it_is_where_the_last_one_was(visitor):
    """A picture has nothing to go on from: what it does again says nothing of the rate at which it goes on."""
    engine = visitor.service.engine
    start(visitor, visitor.have())
    jobs.beat(engine, jobs.claim(engine, LONG, "elsewhere:1:1"), 0.5)
    jobs.recover(engine, patience=-1, attempts=5)
    second = jobs.claim(engine, LONG, "elsewhere:2:1")
    change(visitor, Job, second.id, resumed=time.time() - 50)
    jobs.beat(engine, second, 0.499)
    assert not re.search("[0-9] ?s? left", visitor.http.get("/").text)
    change(visitor, Job, second.id, resumed=Job.resumed - 10)
    jobs.beat(engine, second, 0.6)
    assert re.search("(40|39|38) s left", visitor.http.get("/").text)


@pytest.mark.parametrize("quota, state", [(15, DONE), (14, FAILED), (4, FAILED)])
def test_a_job_makes_no_more_than_its_owner_has_room_for(tmp_path, quota, state):
    visitor = Visitor(web_client.open_platform(tmp_path / "data", quota=quota))
    start(visitor, visitor.have())  # 3 bytes, of which 12 are made
    engine, storage = visitor.service.engine, visitor.service.storage
    job = jobs.claim(engine, LONG, jobs.name_of())
    Runner(engine, storage, lambda: False).run(job, web_jobs.write_chunks)
    [found] = visitor.files()[0]["jobs"]
    assert found["state"] == state
    if state == FAILED:
        assert f"more than the {quota - 3} bytes that are left" in found["reason"]
        assert not storage.job(job.id).exists()


def test_a_worker_outlives_a_table_that_is_away(tmp_path):
    visitor = Visitor(web_client.open_platform(tmp_path / "data"))
    flags = ["--data", tmp_path / "data", "--networks", web_client.ROOT]
    log = tmp_path / "log"

    def rename(old: str, new: str) -> None:
        with visitor.service.engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    def until(true: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not true():
            assert time.monotonic() < end and worker.poll() is None, log.read_text()
            time.sleep(0.1)

    command = [sys.executable, "-m", "competition.web", "work", *map(str, flags)]
    with open(log, "w") as lines, subprocess.Popen(command, stderr=lines, stdin=subprocess.DEVNULL) as worker:
        try:
            until(lambda: "worker begins" in log.read_text())
            rename("jobs", "away")
            until(lambda: "table does not answer" in log.read_text())
            rename("away", "jobs")
            identity = visitor.send("a.png", b"no picture")
            until(lambda: visitor.files()[0]["state"] == "refused")
        finally:
            worker.terminate()
    assert visitor.files()[0]["id"] == identity and worker.returncode == 0


def test_the_jobs_of_a_worker_that_is_gone_go_on_at_once_until_they_have_killed_too_many(visitor):
    engine = visitor.service.engine
    start(visitor, visitor.have())
    dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = jobs.name_of(dead.pid)
    assert jobs.claim(engine, LONG, name)
    assert jobs.recover(engine, 100, 3) == 0
    dead.communicate()
    assert jobs.recover(engine, 100, 3) == 1
    for _ in range(2):
        assert jobs.claim(engine, LONG, name)
        jobs.recover(engine, 100, 3)
    [job] = visitor.files()[0]["jobs"]
    assert (job["state"], job["reason"]) == (FAILED, "crashed")


def test_an_upload_over_whose_look_workers_die_is_refused_and_nothing_of_it_stays(visitor, png):
    identity = visitor.send("a.png", png)
    assert jobs.claim(visitor.service.engine, QUICK, "elsewhere:1:1")
    jobs.recover(visitor.service.engine, patience=-1, attempts=1)
    [found] = visitor.files()
    assert (found["state"], found["reason"]) == ("refused", "crashed")
    os.utime(visitor.service.storage.upload(identity), (0, 0))
    assert visitor.service.storage.sweep() == 1 and not visitor.service.storage.upload(identity).exists()


def test_an_upload_is_looked_at_again_where_the_disk_was_full(visitor, png):
    identity, engine = visitor.send("a.png", png), visitor.service.engine
    job = jobs.claim(engine, QUICK, jobs.name_of())
    Runner(engine, visitor.service.storage, lambda: False).run(job, web_jobs.find_no_room)
    assert visitor.files()[0]["state"] == "looking" and visitor.service.storage.content(identity).exists()
    assert jobs.recover(engine, patience=100, attempts=5) == 0  # not at once: the disk may need its time
    change(visitor, Job, job.id, heartbeat=time.time() - 101)
    assert jobs.recover(engine, patience=100, attempts=5) == 1
    visitor.work()
    assert visitor.files()[0]["state"] == "ready"


def test_a_clock_that_is_set_ends_no_worker(monkeypatch):
    name, booted = jobs.name_of(), psutil.boot_time()
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: booted + 3600.0)
    assert not jobs.is_gone(name)


def test_an_attempt_that_was_overtaken_leaves_what_the_other_one_has_made(visitor):
    engine, storage = visitor.service.engine, visitor.service.storage
    start(visitor, visitor.have())
    late = jobs.claim(engine, LONG, "elsewhere:1:1")
    jobs.recover(engine, patience=-1, attempts=5)
    other = jobs.claim(engine, LONG, "elsewhere:2:1")
    storage.job(other.id).mkdir()
    (storage.job(other.id) / "result.png").write_bytes(b"made")
    assert jobs.finish(engine, other, {"files": []})
    Runner(engine, storage, lambda: False).run(late, web_jobs.write_chunks)
    assert (storage.job(late.id) / "result.png").read_bytes() == b"made"


def test_what_killed_attempts_left_half_made_does_not_stay_beside_a_result(visitor):
    engine, storage = visitor.service.engine, visitor.service.storage
    start(visitor, visitor.have())
    job = jobs.claim(engine, LONG, jobs.name_of())
    (storage.job(job.id) / ".del_.work_result.mp4_1").mkdir(parents=True)
    for name in (".tmp_1_2", ".del_.work_result.mp4_1/000000_1_0_0_1.nut"):
        (storage.job(job.id) / name).write_bytes(b"half")
    Runner(engine, storage, lambda: False).run(job, web_jobs.write_chunks)
    assert [path.name for path in storage.job(job.id).iterdir()] == ["result.txt"]


def test_a_cancelled_job_whose_worker_is_gone_gives_the_disk_back(visitor):
    start(visitor, visitor.have())
    job = jobs.claim(visitor.service.engine, LONG, f"{platform.node()}:999999999:1")
    visitor.service.storage.job(job.id).mkdir()
    assert visitor.ask("POST", f"/jobs/{job.id}/cancel").status_code == 202
    assert not visitor.service.storage.job(job.id).exists()


def test_a_queue_that_does_not_answer_loses_nothing(tmp_path, png):
    """A worker finds what waits once the queue is there again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
    visitor = Visitor(web_client.open_platform(tmp_path / "data", queue=url))
    visitor.send("a.png", png)
    start(visitor, visitor.have())
    assert [jobs.waiting(visitor.service.engine, lane) for lane in (QUICK, LONG)] == [1, 1]


def test_what_can_be_merged_is_all_else_of_the_kind_in_the_order_it_came(app, visitor):
    first, second = visitor.have("1.png"), visitor.have("2<b>.png")
    film, third = visitor.have("film.mp4", media="film"), visitor.have("3.png")
    Visitor(app).have("another's.png")
    offered = visitor.http.get(f"/uploads/{first}/others").text
    assert re.findall('value="([0-9a-f]{32})"', offered) == [second, third] and "2&lt;b&gt;.png" in offered
    assert "fieldset" not in visitor.http.get(f"/uploads/{film}/others").text


def test_jobs_of_one_visitor_do_not_keep_others_waiting(app):
    busy, other = Visitor(app), Visitor(app)
    one = busy.have()
    for _ in range(3):
        start(busy, one)
    start(other, other.have())
    owners = [job.owner for _ in range(4) if (job := jobs.claim(app.state.service.engine, LONG, jobs.name_of()))]
    assert owners == [owner_of(busy), owner_of(other), owner_of(busy), owner_of(busy)]


def test_a_job_that_waits_is_cancelled_and_one_that_is_done_deleted(visitor):
    identity = visitor.have()
    start(visitor, identity)
    [job] = visitor.files()[0]["jobs"]
    assert visitor.ask("POST", f"/jobs/{job['id']}/cancel").status_code == 202
    assert visitor.files()[0]["jobs"][0]["state"] == CANCELLED
    assert visitor.ask("DELETE", f"/jobs/{job['id']}").status_code == 200
    assert visitor.files()[0]["jobs"] == []


def test_all_that_is_not_enlarged_yet_is_at_once_in_the_order_it_came(app, visitor):
    engine, options = visitor.service.engine, {"network": "bicubic", "scale": "3", "self_ensemble": "true"}
    old, second, third = visitor.have("old.png"), visitor.have("2.png"), visitor.have("3.mp4", media="film")
    Visitor(app).have("another's.png")
    visitor.create("unfinished.png", 9)
    start(visitor, old)
    done = jobs.claim(engine, LONG, jobs.name_of())
    jobs.finish(engine, done, {"files": []})
    assert visitor.ask("POST", "/enlarge", data={"network": "none"}).status_code == 422
    assert visitor.ask("POST", "/enlarge", data=options).json() == {"started": 2}
    assert visitor.ask("POST", "/enlarge", data=options).json() == {"started": 0}
    claimed = [jobs.claim(engine, LONG, jobs.name_of()) for _ in range(2)]
    assert [job.upload for job in claimed] == [second, third] and jobs.waiting(engine) == 0
    assert all(job.settings["scale"] == 3 and job.settings["self_ensemble"] for job in claimed)
    visitor.ask("POST", f"/jobs/{claimed[0].id}/cancel")
    assert visitor.ask("POST", "/enlarge", data=options).json() == {"started": 1}


def test_a_network_that_is_gone_meanwhile_is_named_without_its_place(tmp_path):
    (tmp_path / "networks/pretrained").mkdir(parents=True)
    shutil.copy(web_client.ROOT / "pretrained/mini_x4.safetensors", tmp_path / "networks/pretrained/secret.safetensors")
    settings = Settings(data=tmp_path / "data", networks=tmp_path / "networks")
    visitor = Visitor(create_app(settings))
    identity = visitor.send("a.png", encode_png(drawn.texture(1, 16, 16)))
    visitor.work()
    assert visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "secret"}).status_code == 202
    (tmp_path / "networks/pretrained/secret.safetensors").unlink()
    visitor.work()
    [job] = visitor.files()[0]["jobs"]
    assert job["state"] == FAILED and job["reason"].startswith("secret: ") and str(tmp_path) not in job["reason"]


def test_results_of_other_options_are_kept_under_other_names(visitor):
    identity, engine, names = visitor.have("my cat.png"), visitor.service.engine, []
    for options in ({"scale": "2"}, {"scale": "4"}, {"scale": "2", "self_ensemble": "true"}):
        visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "bicubic", **options})
        job = jobs.claim(engine, LONG, jobs.name_of())
        visitor.service.storage.job(job.id).mkdir()
        (visitor.service.storage.job(job.id) / "result.png").write_bytes(b"made")
        jobs.finish(engine, job, {"files": [{"name": "result.png"}]})
        headers = visitor.http.get(f"/jobs/{job.id}/result.png").headers
        names.append(headers["content-disposition"].partition("''")[2])
    assert names == [f"my%20cat_bicubic_{end}.png" for end in ("2x", "4x", "2x_8way")]


def test_results_are_fetched_only_once_they_are_in_sight(visitor):
    """A page has two hundred rows, and a picture in its full size may take a gigabyte of a browser's memory."""
    engine, identity = visitor.service.engine, visitor.have()
    start(visitor, identity)
    jobs.finish(
        engine,
        jobs.claim(engine, LONG, jobs.name_of()),
        {"files": [{"name": "result.png", "bytes": 1}], "width": 16, "height": 16},
    )
    shown = re.findall("<img [^>]*>", visitor.http.get("/").text)
    assert len(shown) == 3 and all('loading="lazy"' in one for one in shown)


def test_a_cut_of_an_earlier_version_which_did_not_say_where_it_begins_is_kept(visitor):
    engine, film = visitor.service.engine, visitor.have("a.mp4", media="film")
    assert visitor.ask("POST", f"/uploads/{film}/cut", data={"start": "2", "seconds": "3"}).status_code == 202
    job = jobs.claim(engine, LONG, jobs.name_of())
    visitor.service.storage.job(job.id).mkdir()
    (visitor.service.storage.job(job.id) / "result.mp4").write_bytes(b"film")
    jobs.finish(engine, job, {"files": [{"name": "result.mp4", "type": "video/mp4", "bytes": 4}], "seconds": 3.5})
    answer = visitor.http.get(f"/jobs/{job.id}/result.mp4")
    assert answer.status_code == 200 and "a_2s_3.5s.mp4" in answer.headers["content-disposition"]


def test_too_many_waiting_jobs_are_turned_away(tmp_path):
    visitor = Visitor(web_client.open_platform(tmp_path / "data", waiting=2))
    identity = visitor.have()
    answers = [visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "bicubic"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 503]
    assert answers[2].headers["retry-after"] == "30"


@pytest.mark.parametrize(
    "operation, options, status, error",
    [
        ("enlarge", {"network": "../../etc/passwd"}, 422, "unknown network"),
        ("enlarge", {"network": "bicubic", "scale": "9"}, 422, "wrong option"),
        ("enlarge", {"sharpen": "nan"}, 422, "wrong option"),
        ("enlarge", {"unheard": "of"}, 422, "wrong option"),
        ("cut", {}, 409, "not for this"),
        ("look", {}, 404, "not found"),
        ("merge", {"others": "0" * 32}, 404, "not found"),
    ],
)
def test_options_are_checked_before_a_job_begins(visitor, operation, options, status, error):
    answer = visitor.ask("POST", f"/uploads/{visitor.have()}/{operation}", data=options)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert jobs.waiting(visitor.service.engine) == 0


def test_a_network_enlarges_by_less_as_well_but_not_by_more(visitor, monkeypatch):
    monkeypatch.setattr(visitor.service, "networks", lambda: {"triple": choices.Network("triple", (3,))})
    place = f"/uploads/{visitor.have()}/enlarge"
    answers = [visitor.ask("POST", place, data={"scale": scale}) for scale in ("2", "3", "4")]
    assert [answer.status_code for answer in answers] == [202, 202, 422]
    assert answers[2].json()["error"] == "other scale"


def test_without_room_nothing_is_begun(tmp_path, monkeypatch):
    visitor = Visitor(web_client.open_platform(tmp_path / "data", quota=10))
    identity = visitor.have()
    monkeypatch.setattr(visitor.service.storage, "free", lambda: 0)
    assert visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "bicubic"}).status_code == 507
    change(visitor, Upload, identity, size=11)
    assert visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "bicubic"}).status_code == 413


def test_what_belongs_to_nobody_is_swept(visitor):
    storage = visitor.service.storage
    kept, orphan = visitor.have(), storage.job("f" * 32)
    orphan.mkdir()
    (orphan / "half").write_bytes(b"x")
    assert storage.sweep() == 0  # it may be one that is just being made
    os.utime(orphan, (0, 0))
    os.utime(storage.upload(kept), (0, 0))
    assert storage.sweep() == 1 and not orphan.exists() and storage.content(kept).exists()
