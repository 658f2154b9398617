"""The trials of a study in Optuna's storage, which any number of workers take one after the other."""

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from competition.analysis.outcomes import Outcome
from competition.config import differences
from competition.errors import BadCheckpoint, StorageError, UsageError
from competition.experiment import Experiment, complete
from competition.files import write_atomic
from competition.locks import locked
from competition.plan import GridConfig, Plan, Settings, run_name

# Seconds that a worker waits while another one writes to the SQLite file.
PATIENCE = 60
STATES = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class Trials:
    """A study's trials; made under the lock of its folder, so that workers that start at once make one study.

    `experiment` is that of the first trial. Workers of several machines share the database and the folder. Raises
    BadCheckpoint where the study in the database is another one, UsageError for a database that cannot be opened.
    """

    def __init__(self, plan: Plan, experiment: Experiment) -> None:
        self.plan = plan
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self.alone():
            self.study = self._open()
            self._refuse_another(experiment)
            if isinstance(plan.sampler, GridConfig):
                for settings in plan.grid():
                    self.study.enqueue_trial(settings, skip_if_exists=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep the other workers waiting."""
        with locked(self.plan.folder, waiting=lambda holder: None):
            yield

    @contextlib.contextmanager
    def take(self) -> Iterator[Trial | None]:
        """Hold a trial against other workers: one whose worker was killed, else the next; None when none is left."""
        with contextlib.ExitStack() as held:
            with self.alone():
                trial = self._abandoned(held) or self._next(held)
            yield trial

    def settings(self, trial: Trial) -> Settings:
        """What a trial varies: as it waited in the queue, or drawn now; the same again whenever it is asked."""
        plan = self.plan
        chosen: Settings = {key: trial.suggest_categorical(key, tuple(plan.choices[key])) for key in plan.choices}
        chosen |= {key: trial.suggest_categorical(key, values) for key, values in plan.values.items()}
        for key, one in plan.ranges.items():
            if isinstance(one.low, int) and isinstance(one.high, int):
                chosen[key] = trial.suggest_int(key, one.low, one.high, log=one.log)
            else:
                chosen[key] = trial.suggest_float(key, one.low, one.high, log=one.log)
        return chosen

    def reporter(self, trial: Trial) -> Callable[[int, float], bool]:
        """What notes a trial's validations, `(step, psnr)`, and says whether it shall end early."""
        known = set(self._frozen(trial.number).intermediate_values)

        def report(step: int, psnr: float) -> bool:
            if step in known:
                return False
            trial.report(psnr, step)
            return trial.should_prune()

        return report

    def finish(self, trial: Trial, pruned: bool, fault: str, word: str, seconds: float) -> Outcome:
        """Record how a trial ended; its value is the best of the validations it has reported.

        A trial with a `fault` has failed, and tables show `word` instead of a score. `seconds` are added to those of
        earlier workers.
        """
        with self.alone():
            scores = self._frozen(trial.number).intermediate_values
            if not scores and not fault:
                fault = "no validation is finite"
            if fault:
                trial.set_user_attr("fault", fault)
                trial.set_user_attr("word", word)
            trial.set_user_attr("seconds", round(trial.user_attrs.get("seconds", 0) + seconds, 1))
            state = TrialState.FAIL if fault else TrialState.PRUNED if pruned else TrialState.COMPLETE
            self.study.tell(trial.number, max(scores.values()) if state == TrialState.COMPLETE else None, state)
            return _outcome(self._frozen(trial.number))

    def outcomes(self) -> list[Outcome]:
        """All trials so far, by number."""
        return [_outcome(frozen) for frozen in self.study.get_trials(deepcopy=False)]

    def _open(self) -> optuna.Study:
        plan = self.plan
        try:
            url = make_url(plan.storage or f"sqlite:///{(plan.folder / 'study.db').absolute()}")
            patience = {"connect_args": {"timeout": PATIENCE}} if url.get_backend_name() == "sqlite" else {}
            storage = optuna.storages.RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=patience)
        except (SQLAlchemyError, ImportError) as error:
            cause = str(error).splitlines()[0]
            raise UsageError(f"storage: {_place(plan)} cannot be opened ({cause}). Mend the URL") from error
        return optuna.create_study(
            storage=storage,
            study_name=plan.name,
            direction="maximize",
            pruner=plan.pruner.build() if plan.pruner else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )

    def _refuse_another(self, experiment: Experiment) -> None:
        """Note what the study is in its database and in its folder, or compare with what is noted there."""
        path, notes = self.plan.folder / "study.json", self.study.user_attrs
        own = {"study": self.plan.identity(), "experiment": experiment.identity()}
        if "id" not in notes:
            note = {"id": uuid.uuid4().hex, **own}
            write_atomic(path, json.dumps(note, indent=1).encode())
            for key in ("study", "experiment", "id"):
                self.study.set_user_attr(key, note[key])
            return
        here = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if here.get("id") != notes["id"]:
            cause = f"the database holds a study {self.plan.name} with another folder"
            raise BadCheckpoint(f"{path}: {cause}. Let the machines share the folder, or choose another name=…")
        before = {"study": notes["study"], "experiment": complete(notes["experiment"])}
        if changes := differences(before, own):
            raise BadCheckpoint(f"{path}: the study is another one: {'; '.join(changes)}. Choose another name=…")

    def _abandoned(self, held: contextlib.ExitStack) -> Trial | None:
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            with contextlib.suppress(StorageError):  # another worker holds it
                held.enter_context(locked(self._held(frozen.number)))
                return Trial(self.study, frozen._trial_id)
        return None

    def _next(self, held: contextlib.ExitStack) -> Trial | None:
        trials, sampler = self.study.get_trials(deepcopy=False), self.plan.sampler
        if not isinstance(sampler, GridConfig):
            if len(trials) >= sampler.trials:
                return None
            self.study.sampler = sampler.build(len(trials))
        elif all(trial.state != TrialState.WAITING for trial in trials):
            return None
        trial = self.study.ask()
        held.enter_context(locked(self._held(trial.number)))
        self.settings(trial)  # drawn while the others wait, from the same trials whoever asks
        return trial

    def _held(self, number: int) -> Path:
        return self.plan.folder / ".held" / run_name(number)

    def _frozen(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]


@contextlib.contextmanager
def database_faults(plan: Plan) -> Iterator[None]:
    """Tell what the database of a study refuses, while it is used, as StorageError."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = str(error.__cause__ or error).splitlines()[0]
        raise StorageError(f"{_place(plan)}: {cause}. Look after the database, then run the same command") from error


def _place(plan: Plan) -> str:
    """The database as it may be shown."""
    if plan.storage is None:
        return str(plan.folder / "study.db")
    try:
        return make_url(plan.storage).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "the URL"


def _outcome(frozen: FrozenTrial) -> Outcome:
    scores = frozen.intermediate_values
    best = max(scores, key=scores.__getitem__) if scores else None
    return Outcome(
        number=frozen.number,
        settings={**frozen.system_attrs.get("fixed_params", {}), **frozen.params},
        state=frozen.user_attrs.get("word", STATES[frozen.state]),
        psnr=None if best is None else scores[best],
        step=best,
        fault=frozen.user_attrs.get("fault", ""),
        seconds=frozen.user_attrs.get("seconds"),
    )
