"""Spoil our own code in one place after the other: the tests must notice each time.

python tests/sabotage.py [WORDS]

Each sabotage is a text of one file, which must be there exactly once, and what takes its place in a temporary copy of
the project. The tests it names must pass before and fail after. One that is not caught is a missing test. With WORDS,
only sabotages whose description holds them are tried; else the table is kept for docs/training.md.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import ROOT, keep

COLUMNS = ["sabotage", "file", "caught by"]
NOT_CAUGHT = "nothing"
PATIENCE = 600  # seconds for the tests of one sabotage


class Sabotage(NamedTuple):
    """What is spoiled, where, and the tests that must notice (files, or a file and a test)."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def spoiled(self, root: Path) -> str:
        """The file's text after the sabotage; raises ValueError unless its target is there exactly once."""
        text = (root / self.file).read_text(encoding="utf-8")
        if text.count(self.old) != 1 or self.old == self.new:
            raise ValueError(f"{self.file}: holds {self.old!r} {text.count(self.old)} times")
        return text.replace(self.old, self.new)


FILES, STATES = "competition/files.py", "competition/checkpoints.py"
TRAIN, LOOPS = "competition/train.py", "competition/loops.py"

SABOTAGES = [
    # ---- the disk ---------------------------------------------------------------------------------------------------
    Sabotage(
        "the disk is not waited for when a file was written",
        FILES,
        """            rest = rest[on_disk("write", path, file.write, rest) :]
        on_disk("fsync", path, os.fsync, file.fileno())
""",
        """            rest = rest[on_disk("write", path, file.write, rest) :]
""",
        ("test_power.py",),
    ),
    Sabotage(
        "the disk is not waited for when a state has its name",
        STATES,
        """        rename(temporary, final)
    sync_folder(final.parent)
""",
        """        rename(temporary, final)
""",
        ("test_power.py",),
    ),
    Sabotage(
        "an empty folder is taken to be on the disk",
        FILES,
        """                with named(path):
                    sync_folder(path.parent)
""",
        """                pass
""",
        ("test_power.py::test_folders_of_a_killed_process_are_kept_with_what_the_next_one_puts_there",),
    ),
    Sabotage(
        "a state has its name before its files have theirs",
        STATES,
        """        sync_folder(temporary)
        if final.exists():
            _set_aside(final)
        rename(temporary, final)
""",
        """        if final.exists():
            _set_aside(final)
        rename(temporary, final)
    sync_folder(final)
""",
        ("test_power.py",),
    ),
    Sabotage(
        "older states are deleted before the new one is written",
        STATES,
        """        require_space(folder, 2 * size)
""",
        """        require_space(folder, 2 * size)
        for _, older in list(_newest_first(folder)):
            remove_folder(older)
""",
        ("test_crash.py::test_death_at_every_change",),
    ),
    Sabotage(
        "a state is deleted before another of its step takes its place",
        STATES,
        """    rename(final, aside)
""",
        """    remove_folder(final)
""",
        ("test_checkpoints.py",),
    ),
    Sabotage(
        "what killed processes left is never deleted",
        FILES,
        """        for leftover in [*folder.glob(".tmp_*"), *folder.glob(".del_*")]:
            delete(leftover)
""",
        """        pass
""",
        ("test_checkpoints.py",),
    ),
    Sabotage(
        "the best weights are written in place",
        LOOPS,
        """            write_atomic(self.path, weights.encode(content))
""",
        """            self.path.write_bytes(weights.encode(content))
""",
        ("test_crash.py::test_training_changes_files_through_one_door",),
    ),
    Sabotage(
        "two trainers may have one run folder",
        LOOPS,
        """    with locked(run) if processes.rank() == 0 else contextlib.nullcontext():
""",
        """    with contextlib.nullcontext():
""",
        ("test_train.py::test_a_second_trainer_in_one_run_folder_is_told_who_holds_it",),
    ),
    # ---- which states -----------------------------------------------------------------------------------------------
    Sabotage(
        "of a state's files only the sizes are compared",
        STATES,
        """        if found[name] != manifest[name]:
""",
        """        if (found[name] or {}).get("size") != manifest[name].get("size"):
""",
        ("test_damage.py::test_random_damage_is_found_and_the_state_before_it_used",),
    ),
    Sabotage(
        "a damaged state counts as one of those to keep",
        STATES,
        """        elif _is_good(path):
            good.add(step)
""",
        """        else:
            good.add(step)
""",
        ("test_checkpoints.py",),
    ),
    Sabotage(
        "the best weights go with the oldest state",
        STATES,
        """            remove_folder(path)
        elif _is_good(path):
""",
        """            remove_folder(path)
            (folder.parent / "best.safetensors").unlink(missing_ok=True)
        elif _is_good(path):
""",
        ("test_saving.py",),
    ),
    Sabotage(
        "the newest state is the one with the latest time",
        STATES,
        """    for step, _, path in sorted(states, reverse=True):
""",
        """    for step, _, path in sorted(states, key=lambda state: state[2].stat().st_mtime, reverse=True):
""",
        ("test_checkpoints.py",),
    ),
    Sabotage(
        "a state with values that are not finite is saved",
        STATES,
        """    weights.require_finite({f"optimizer.{name}": tensor for name, tensor in own.items()})
""",
        "",
        ("test_checkpoints.py",),
    ),
    # ---- what a resume needs ----------------------------------------------------------------------------------------
    Sabotage(
        "the averaged weights are not saved",
        STATES,
        """weights.Weights(training.model.state_dict(), training.ema.state_dict(), description)""",
        """weights.Weights(training.model.state_dict(), training.model.state_dict(), description)""",
        ("test_checkpoints.py",),
    ),
    Sabotage(
        "the optimiser's moments are not restored",
        "competition/learners.py",
        """load_state_dict({"state": state, "param_groups": groups})""",
        """load_state_dict({"state": {}, "param_groups": groups})""",
        ("test_checkpoints.py",),
    ),
    Sabotage(
        "the moments of an adversary's optimiser are not restored",
        STATES,
        """        load_moments(training.adversary, parts["moments"])
""",
        "",
        ("test_train_gan.py::test_kill_9_loses_nothing_and_ends_with_the_same_bits",),
    ),
    Sabotage(
        "the network's step changes its adversary too",
        "competition/train_gan.py",
        """        self.judge.model.requires_grad_(False)
""",
        "",
        ("test_train_gan.py::test_two_steps_are_those_of_the_paper_written_out",),
    ),
    Sabotage(
        "samples come from the global random generator",
        "competition/data/patches.py",
        """        return np.random.Generator(np.random.Philox(key=self.seed, counter=counter)).random((count, 4))
""",
        """        return np.random.random((count, 4))
""",
        ("test_patches.py::test_a_step_depends_on_seed_and_step_alone",),
    ),
    Sabotage(
        "the seed does not decide the first weights",
        LOOPS,
        """    torch.manual_seed(experiment.seed)
""",
        "",
        ("test_resume.py::test_stops_one_after_the_other_change_nothing",),
    ),
    Sabotage(
        "a resumed run forgets how good its best weights were",
        LOOPS,
        """        self.best = score.value if score else None
""",
        """        self.best = None
""",
        ("test_resume.py::test_after_a_stop_the_best_weights_of_before_are_still_the_best",),
    ),
    Sabotage(
        "a validation that was cut off is not made up for",
        TRAIN,
        """    keeper.make_up(step)
""",
        "",
        ("test_resume.py::test_a_validation_that_was_cut_off_is_made_up_for",),
    ),
    Sabotage(
        "a resumed run keeps the lines of steps it takes again",
        "competition/runs.py",
        """        lines = [line for line in read_log(path) if line["step"] <= step]
""",
        """        lines = read_log(path)
""",
        ("test_train.py::test_a_damaged_state_is_named_and_the_one_before_it_used",),
    ),
    # ---- steps ------------------------------------------------------------------------------------------------------
    Sabotage(
        "the gradients of the parts of a batch are not averaged",
        TRAIN,
        """            accelerator.backward(loss)
""",
        """            accelerator.backward(loss * parts)
""",
        ("test_train.py::test_parts_of_a_batch_give_the_losses_and_gradients_of_the_whole",),
    ),
    Sabotage(
        "a step that is not finite is taken all the same",
        TRAIN,
        """            if finite or experiment.precision == "fp16":
""",
        """            if True:
""",
        ("test_train.py::test_one_step_that_is_not_finite_is_left_out_and_changes_nothing",),
    ),
    # ---- several processes ------------------------------------------------------------------------------------------
    Sabotage(
        "a prepared scheduler, which Accelerate steps once for each process",
        TRAIN,
        """            lr = stage.rate(step)
            for group in optimizer.param_groups:
                group["lr"] = lr * group["factor"]
""",
        """            if step == first:
                optimizer.param_groups[0]["lr"] = 1.0
                rates = torch.optim.lr_scheduler.LambdaLR(training.optimizer, lambda count: stage.rate(first + count))
                scheduler = accelerator.prepare(rates)
            else:
                scheduler.step()
            lr = scheduler.get_last_lr()[0]
""",
        ("test_processes.py",),
    ),
    Sabotage(
        "every process cuts the same part of a batch",
        LOOPS,
        """    share = Share(accelerator.process_index, accelerator.num_processes)
""",
        """    share = Share(0, accelerator.num_processes)
""",
        ("test_processes.py",),
    ),
    Sabotage(
        "gradients do not travel between the processes",
        TRAIN,
        """        with contextlib.nullcontext() if number == len(parts) else accelerator.no_sync(model):
""",
        """        with accelerator.no_sync(model):
""",
        ("test_processes.py",),
    ),
    Sabotage(
        "validation counts pictures twice to give each process as many",
        LOOPS,
        """        own = range(accelerator.process_index, len(self.pictures), accelerator.num_processes)
""",
        """        count = -(-len(self.pictures) // accelerator.num_processes)
        own = [
            (accelerator.process_index + accelerator.num_processes * number) % len(self.pictures)
            for number in range(count)
        ]
""",
        ("test_processes.py",),
    ),
    Sabotage(
        "a process judges alone whether a step is finite",
        "competition/processes.py",
        """    return Agreement(not broken, bool(stopping))
""",
        """    return Agreement(not votes[0], bool(stopping))
""",
        ("test_processes.py",),
    ),
    Sabotage(
        "a process stops when it alone is asked to",
        "competition/processes.py",
        """    return Agreement(not broken, bool(stopping))
""",
        """    return Agreement(not broken, stop)
""",
        ("test_processes.py",),
    ),
    # ---- networks and studies ---------------------------------------------------------------------------------------
    Sabotage(
        "adjustable clipping does not follow the rate",
        "competition/clipping.py",
        """self.most / lr""",
        """self.most""",
        ("test_clipping.py",),
    ),
    Sabotage(
        "the rotation model does not turn its outputs back",
        "competition/models/rotation.py",
        """invert_symmetry(self.turned(apply_symmetry(low, name)), name)""",
        """self.turned(apply_symmetry(low, name))""",
        ("test_variants.py",),
    ),
    Sabotage(
        "every scale sees the same places",
        "competition/feed.py",
        """parts.append(_cut(experiment, reduced, share, scale, number))""",
        """parts.append(_cut(experiment, reduced, share, scale, 0))""",
        ("test_scales.py",),
    ),
    Sabotage(
        "the trial of a killed worker is given up",
        "competition/trials.py",
        """self._abandoned(held) or self._next(held)""",
        """self._next(held)""",
        ("test_study.py::test_the_trial_of_a_killed_worker_goes_on_and_those_that_had_ended_do_not",),
    ),
    # ---- pictures and weights of others -----------------------------------------------------------------------------
    Sabotage(
        "the self-ensemble does not turn its quarter turns back",
        "competition/geometry.py",
        """{"r90": "r270", "r270": "r90"}.get(name, name)""",
        """name""",
        ("test_patches.py::test_invert_undoes",),
    ),
    Sabotage(
        "a pickle may run code",
        "competition/foreign.py",
        """weights_only=True""",
        """weights_only=False""",
        ("test_pretrained.py::test_every_reader_of_the_package_is_safe",),
    ),
    # ---- films ------------------------------------------------------------------------------------------------------
    Sabotage(
        "a film may have other files opened",
        "competition/media/films.py",
        "                io_open=refuse,\n",
        "",
        ("test_strangers.py::test_a_film_whose_tracks_lie_in_another_file_is_refused",),
    ),
    Sabotage(
        "frames are not counted while decoding",
        "competition/media/films.py",
        """            self.limits.require(self.subject, "frames", number)
""",
        "",
        ("test_strangers.py::test_limits_hold_while_decoding_where_the_header_tells_nothing",),
    ),
    Sabotage(
        "the process for files of strangers may take all memory",
        "competition/media/child.py",
        "        (resource.RLIMIT_DATA if graphics else resource.RLIMIT_AS, memory),\n",
        "",
        ("test_strangers.py::test_what_a_decoder_does_wrong_costs_its_process_only",),
    ),
    Sabotage(
        "an interrupted film goes on at the first frame of its last chunk",
        "competition/video/chunks.py",
        "chunks[-1].last) if chunks else None",
        "chunks[-1].first) if chunks else None",
        ("test_enlarge_film.py::test_an_interrupted_film_goes_on_at_the_last_whole_chunk",),
    ),
    # ---- the platform -----------------------------------------------------------------------------------------------
    Sabotage(
        "pairs of a film outlive the consent",
        "competition/web/harvest.py",
        """.glob(f"{identity}*.png")""",
        """.glob(f"{identity}.png")""",
        ("test_web_learning.py::test_a_film_given_becomes_pairs_that_know_their_upload_and_their_second",),
    ),
    Sabotage(
        "bytes count before their checksum is known to be right",
        "competition/web/tus.py",
        """count = await _receive(request, aside, room, digest)""",
        """count = await _receive(request, file, room, digest)""",
        ("test_web_kill.py::test_bytes_that_a_killed_server_could_not_check_have_not_arrived",),
    ),
    Sabotage(
        "a decoder goes on though its worker was killed before it was tied to it",
        "competition/media/child.py",
        """os.getppid() != order["parent"]""",
        """False""",
        ("test_strangers.py::test_the_process_ends_with_its_parent_even_where_that_is_killed_before_it_was_heeded",),
    ),
    Sabotage(
        "a decoder goes on though its worker is killed",
        "competition/media/child.py",
        """        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
""",
        "",
        ("test_strangers.py::test_the_process_ends_with_its_parent_even_where_that_is_killed_before_it_was_heeded",),
    ),
    Sabotage(
        "an attempt that was overtaken deletes what the other one has made",
        "competition/web/jobs.py",
        """WANTED = (*UNFINISHED, DONE)""",
        """WANTED = UNFINISHED""",
        ("test_web_jobs.py::test_an_attempt_that_was_overtaken_leaves_what_the_other_one_has_made",),
    ),
    Sabotage(
        "an earlier attempt may finish a job that went to another worker",
        "competition/web/jobs.py",
        """Job.attempt == job.attempt, Job.state == RUNNING""",
        """Job.state == RUNNING""",
        ("test_web_jobs.py::test_a_job_is_claimed_once_and_an_old_attempt_says_nothing_more",),
    ),
]


def copy_project(target: Path) -> None:
    """What the tests need, without anything made here."""
    left_out = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "data", "runs")
    for name in ("competition", "tests", "configs", "pretrained", "docs"):
        shutil.copytree(ROOT / name, target / name, ignore=None if name == "competition" else left_out)
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, target)


def failing_test(root: Path, tests: tuple[str, ...]) -> str | None:
    """The first test that fails in a copy of the project, none when all pass; raises RuntimeError when none ran."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-rfE", "--tb=line"]
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.setdefault("COMPETITION_SHARED_DATA", str(ROOT.parent / "shared" / "data"))
    command += [f"tests/{test}" for test in tests]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+::\w+)", done.stdout, re.MULTILINE)
    if done.returncode == 1 and failed:
        return failed[1]
    if done.returncode == 0:
        return None
    raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def attempt(sabotage: Sabotage, root: Path) -> str:
    """The test of a copy of the project that notices a sabotage, or NOT_CAUGHT; the copy is then as before."""
    path = root / sabotage.file
    whole, spoiled = path.read_text(encoding="utf-8"), sabotage.spoiled(root)
    path.write_text(spoiled, encoding="utf-8")
    try:
        return failing_test(root, sabotage.tests) or NOT_CAUGHT
    except subprocess.TimeoutExpired:  # a test that hangs says nothing
        return NOT_CAUGHT
    finally:
        path.write_text(whole, encoding="utf-8")


def main() -> int:
    """The command line."""
    words = " ".join(sys.argv[1:])
    chosen = [sabotage for sabotage in SABOTAGES if words in sabotage.what]
    rows, began = [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sabotage_") as place:
        root = Path(place) / "project"
        root.mkdir()
        copy_project(root)
        tests = tuple(dict.fromkeys(test for sabotage in chosen for test in sabotage.tests))
        if failed := failing_test(root, tests):
            print(f"{failed} fails without any sabotage")
            return 1
        for sabotage in chosen:
            rows.append([sabotage.what, sabotage.file, attempt(sabotage, root)])
            print(f"{len(rows)} of {len(chosen)}: {' | '.join(rows[-1])}", flush=True)
    missed = sum(row[-1] == NOT_CAUGHT for row in rows)
    print(f"{len(rows) - missed} of {len(rows)} caught, {(time.monotonic() - began) / 60:.0f} minutes")
    if not words:
        keep("sabotage", "What the tests notice", "make sabotage", COLUMNS, rows, "docs/training.md")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
