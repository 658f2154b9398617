"""The soup: never worse than its best ingredient, made of what helps, refused where it would mean nothing."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import torch

from competition import weights
from competition.errors import BadCheckpoint, NumericalError
from competition.images import quantize, read_rgb, to_tensor, write_png
from competition.infer import main as infer
from competition.metrics import MetricConfig
from competition.share import main as share
from competition.soup import main as soup
from competition.train import main as train

VALIDATION = ("003.png", "004.png")


@pytest.fixture(scope="module")
def trained(texture, tmp_path_factory) -> Iterator[Path]:
    """A folder with a contest of five pairs and a run of twelve steps of a tiny network."""
    root = tmp_path_factory.mktemp("soup")
    for number in range(5):
        high = texture(number)
        low = cv2.resize(high, None, fx=1 / 4, fy=1 / 4, interpolation=cv2.INTER_AREA)
        write_png(root / f"contest/train/hr/{number:03d}.png", high)
        write_png(root / f"contest/train/lr/{number:03d}.png", low)
    (root / "contest/validation.txt").write_text("\n".join(VALIDATION))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    train([str(write_config(root))])
    for number, handler in handlers.items():
        signal.signal(number, handler)
    yield root


def write_config(root: Path) -> Path:
    config = root / "tiny.yaml"
    config.write_text(
        f"""
name: tiny
runs: {root / "runs"}
data: {{root: {root / "contest"}, validation: validation.txt, high_patch: 32, workers: 0}}
model: {{name: rrdbnet, num_feat: 8, num_block: 1, num_grow_ch: 4}}
pretrained: null
optimizer: {{lr: 3e-3}}
steps: 12
batch: 4
validate_every: 6
save_every: 3
log_every: 1
"""
    )
    return config


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy of that run, to be changed at will."""
    return Path(shutil.copytree(trained / "runs/tiny", tmp_path / "tiny"))


@pytest.fixture
def data(trained) -> str:
    return str(trained / "contest")


def psnr(path: Path, data: str) -> float:
    """Mean PSNR of the validation pictures, by hand."""
    network, _ = weights.build_network(path)
    network = network.to(memory_format=torch.channels_last)
    values = []
    for name in VALIDATION:
        low = to_tensor(read_rgb(Path(data) / "train/lr" / name)).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            picture = quantize(network(low), 8)
        values.append(MetricConfig().psnr(picture, read_rgb(Path(data) / "train/hr" / name)))
    return sum(values) / len(values)


def change(source: Path, target: Path, amount: float, seed: int = 0) -> Path:
    """A weights file that lies `amount` away from another one, in a direction of its own."""
    content = weights.read(source)
    generator = torch.Generator().manual_seed(seed)
    state = {
        name: tensor + amount * torch.randn(tensor.shape, generator=generator)
        for name, tensor in content.weights.items()
    }
    target.write_bytes(weights.encode(weights.Weights(state, {}, content.description)))
    return target


def table(output: str) -> list[list[str]]:
    """The rows of the table: weights, alone, in the soup, taken."""
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in output.splitlines() if "│" in line]
    rows: list[list[str]] = []
    for line in lines:  # a long name goes on in the next line
        if line[1]:
            rows.append(line)
        else:
            rows[-1][0] += line[0]
    return rows


# ---- what comes out -------------------------------------------------------------------------------------------------


def test_everything_a_run_kept_is_tried_and_the_soup_is_no_worse_than_the_best(run, data, capsys):
    soup([str(run), data])
    output = capsys.readouterr().out
    rows = table(output)
    files = [run / "best.safetensors", *run.glob("checkpoints/*/model.safetensors")]
    alone = [float(row[1]) for row in rows]
    assert len(files) == 3 and len(rows) == 4, "the averaged weights of the last state are the best weights"
    assert "step 12, averaged: the same weights as" in output
    assert alone == sorted(alone, reverse=True) and rows[0][3] == "yes"
    made = weights.read(run / "soup.safetensors").description
    assert made.score.value == pytest.approx(psnr(run / "soup.safetensors", data), abs=1e-9)
    assert made.score.value >= alone[0] - 5e-5
    assert len(made.made_of) == sum(row[3] == "yes" for row in rows)
    assert f"{made.score.value:.4f} dB" in output.splitlines()[-1]
    for path in files[:1]:  # the recorded score is the one that is measured here
        recorded = weights.read(path).description.score.value
        assert any(row[1] == f"{recorded:.4f}" for row in rows)


def test_two_that_err_on_opposite_sides_give_their_mean(run, data, tmp_path, capsys):
    centre = Path(shutil.copy(run / "best.safetensors", tmp_path / "centre.safetensors"))
    shutil.rmtree(run / "checkpoints")
    change(centre, run / "best.safetensors", 0.02)
    other = change(centre, tmp_path / "other.safetensors", -0.02)
    soup([str(run), data, "--add", str(other)])
    made = weights.read(run / "soup.safetensors")
    for name, tensor in weights.read(centre).weights.items():
        torch.testing.assert_close(made.weights[name], tensor, rtol=0, atol=1e-7)
    ends = [psnr(path, data) for path in (run / "best.safetensors", other)]
    assert made.description.score.value > max(ends) and len(made.description.made_of) == 2
    gain = made.description.score.value - max(ends)
    assert f"{gain:+.4f} over the best" in capsys.readouterr().out


def test_what_would_spoil_the_soup_stays_out(run, data, tmp_path, capsys):
    shutil.rmtree(run / "checkpoints")
    bad = [change(run / "best.safetensors", tmp_path / f"{seed}.safetensors", 0.5, seed) for seed in range(3)]
    soup([str(run), data, "--add", *map(str, bad)])
    made, best = weights.read(run / "soup.safetensors"), weights.read(run / "best.safetensors")
    assert all(torch.equal(made.weights[name], tensor) for name, tensor in best.weights.items())
    assert made.description.score == best.description.score and len(made.description.made_of) == 1
    assert [row[3] for row in table(capsys.readouterr().out)] == ["yes", "no", "no", "no"]


def test_the_order_of_what_is_added_does_not_matter(run, data, tmp_path):
    added = [str(change(run / "best.safetensors", tmp_path / f"{seed}.safetensors", 0.01, seed)) for seed in range(3)]
    soup([str(run), data, "--add", *added])
    first = (run / "soup.safetensors").read_bytes()
    soup([str(run), data, "--add", *added[::-1]])
    assert (run / "soup.safetensors").read_bytes() == first


def test_half_precision_files_of_teammates_and_whole_runs_can_be_added(run, data, tmp_path, capsys):
    share([str(run), str(tmp_path / "shared.safetensors")])
    second = Path(shutil.copytree(run, tmp_path / "second"))
    change(run / "best.safetensors", second / "best.safetensors", 0.01)
    soup([str(run), data, "--add", str(tmp_path / "shared.safetensors"), str(second)])
    names = [row[0] for row in table(capsys.readouterr().out)]
    assert len(names) == 6  # four of the run, the halved ones, and of the second run what is not the same
    assert weights.read(run / "soup.safetensors").weights["conv_first.weight"].dtype == torch.float32


def test_infer_takes_the_soup(run, data, tmp_path):
    soup([str(run), data])
    infer([str(run / "soup.safetensors"), "--input", f"{data}/train/lr", "--output", str(tmp_path / "out")])
    assert len(list((tmp_path / "out").glob("*.png"))) == 5


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_a_damaged_state_is_named_and_left_out(run, data, capsys):
    path = run / "checkpoints/step_000000012/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    soup([str(run), data])
    output = capsys.readouterr().out
    assert f"warning: {path}: damaged" in output and len(table(output)) == 3


def test_another_network_is_refused_with_the_difference_and_nothing_is_written(run, data, tmp_path):
    content = weights.read(run / "best.safetensors")
    model = content.description.model.model_copy(update={"num_block": 2})
    path = tmp_path / "wide.safetensors"
    description = weights.Description(model=model)
    path.write_bytes(weights.encode(weights.Weights(model.build().state_dict(), {}, description)))
    with pytest.raises(BadCheckpoint, match=r"wide\.safetensors: is of another network .*num_block: 1 -> 2") as error:
        soup([str(run), data, "--add", str(path)])
    assert len(error.value.lines) == 1 and not (run / "soup.safetensors").exists()


def test_a_run_that_trained_on_the_validation_pictures_is_refused(run, data, tmp_path):
    other = Path(shutil.copytree(run, tmp_path / "other"))
    record = json.loads((other / "experiment.json").read_text())
    record["data"]["validation"] = "0" * 64
    (other / "experiment.json").write_text(json.dumps(record))
    with pytest.raises(BadCheckpoint, match="may have trained on them"):
        soup([str(run), data, "--add", str(other)])


def test_other_data_than_the_runs_is_refused(run, data, tmp_path):
    moved = Path(shutil.copytree(data, tmp_path / "moved"))
    soup([str(run), str(moved)])  # another place is no other data
    (moved / "train/hr/004.png").unlink()
    (moved / "train/lr/004.png").unlink()
    with pytest.raises(BadCheckpoint, match="moved: its pictures are not those"):
        soup([str(run), str(moved)])


def test_weights_that_are_not_finite_are_named(run, data, tmp_path):
    path = change(run / "best.safetensors", tmp_path / "huge.safetensors", 1e30)
    with pytest.raises(NumericalError, match=r"huge\.safetensors: makes pictures that are not finite"):
        soup([str(run), data, "--add", str(path)])
    assert not (run / "soup.safetensors").exists()


def test_a_run_without_weights_is_refused(run, data):
    (run / "best.safetensors").unlink()
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(BadCheckpoint, match="holds no weights yet"):
        soup([str(run), data])


def test_a_soup_that_cannot_be_written_leaves_the_old_one(run, data):
    soup([str(run), data])
    before = (run / "soup.safetensors").read_bytes()
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        "from competition.soup import main; from competition.errors import run_command; run_command(main)"
    )
    line = [sys.executable, "-c", script, str(run), data]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.returncode == 5 and done.stderr.startswith(f"error: {run / 'soup.safetensors'}: ")
    assert (run / "soup.safetensors").read_bytes() == before and not list(run.glob(".tmp*"))
