"""How much flare trained networks take away: python flare_removal.py DATA RUNS, after the three trainings.

Scores runs/flare_resunet, flare_nf_resunet and flare_pix2pix on the pictures that DATA/validation.txt holds out, keeps
the table for docs/flare.md and draws docs/flare.jpg: input, results and truth of three pictures.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from measure import ROOT, keep

from competition.ensemble import enlarge_by
from competition.images import Bytes, quantize, read_rgb, to_tensor
from competition.memory import reuse_freed_memory
from competition.metrics import MetricConfig
from competition.networks import choose
from competition.runs import read_log
from competition.tiling import Tiled

NETWORKS = {"ResUNet": "flare_resunet", "NF-ResUNet": "flare_nf_resunet", "Pix2Pix": "flare_pix2pix"}
COMMAND = "python tests/benchmarks/flare_removal.py data/flare runs"
COLUMNS = ["network", "parameters [million]", "steps", "training [min]", "PSNR [dB]", "over the input [dB]"]
COLUMNS += ["least and greatest gain [dB]", "pictures improved", "largest difference in tiles [levels]"]
COLUMNS += ["largest gradient norm"]
SHOWN = ("urban100_063_1.png", "urban100_066_0.png", "urban100_069_2.png")
TILE, STITCHED = 128, 4  # side of a tile, and how many pictures of 256 are stitched from such


class Pair(NamedTuple):
    """One held-out picture under its flare, and its truth."""

    name: str
    low: Bytes
    high: Bytes


def held_out(data: Path) -> list[Pair]:
    """The pairs that training has not seen."""
    names = (data / "validation.txt").read_text().split()
    return [Pair(name, *(read_rgb(data / "train" / side / name) for side in ("lr", "hr"))) for name in names]


def clean(network: torch.nn.Module, pairs: list[Pair], tile: int = 0) -> dict[str, Bytes]:
    """The pictures without their flares, as the network sees it, stitched from tiles where `tile` is their side."""
    tiled = Tiled(network, network, 1, tile)
    return {pair.name: quantize(enlarge_by(tiled, to_tensor(pair.low)), 8) for pair in pairs}


def figures(run: Path) -> list[str]:
    """Of the run's log: steps, minutes, largest gradient norm."""
    log = [line for line in read_log(run / "metrics.jsonl") if "loss" in line]
    minutes = log[-1]["step"] / log[-1]["steps_per_s"] / 60
    return [f"{log[-1]['step']:,}", f"{minutes:.0f}", f"{max(line['grad_norm'] for line in log):.3g}"]


def sheet(pairs: list[Pair], results: dict[str, dict[str, Bytes]]) -> Bytes:
    """Rows of pictures, each under its name and PSNR."""
    rows = []
    for pair in pairs:
        panels = {"input": pair.low, **{name: found[pair.name] for name, found in results.items()}, "truth": pair.high}
        rows.append(np.hstack([_titled(name, panel, pair.high) for name, panel in panels.items()]))
    return np.vstack(rows)


def _titled(name: str, panel: Bytes, truth: Bytes) -> Bytes:
    title = np.full((26, panel.shape[1], 3), 255, np.uint8)
    text = name if panel is truth else f"{name} {MetricConfig().psnr(panel, truth):.1f} dB"
    cv2.putText(title, text, (4, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.52, (20, 20, 20), 1, cv2.LINE_AA)
    return np.vstack([title, panel])


def main(data: Path, runs: Path) -> None:
    """Score the runs, keep the table, draw the sheet."""
    reuse_freed_memory()
    pairs, metric = held_out(data), MetricConfig()
    before = np.array([metric.psnr(pair.low, pair.high) for pair in pairs])
    rows = [["input", "", "", "", f"{before.mean():.3f}", *[""] * 5]]
    results: dict[str, dict[str, Bytes]] = {}
    for name, run in NETWORKS.items():
        network = choose(str(runs / run)).network
        results[name] = clean(network, pairs)
        after = np.array([metric.psnr(results[name][pair.name], pair.high) for pair in pairs])
        stitched = clean(network, pairs[:STITCHED], TILE)
        apart = max(int(cv2.absdiff(stitched[key], results[name][key]).max()) for key in stitched)
        steps, minutes, norm = figures(runs / run)
        million = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        gain = after - before
        row = [name, f"{million:.2f}", steps, minutes, f"{after.mean():.3f}", f"{gain.mean():+.3f}"]
        row += [f"{gain.min():+.1f} to {gain.max():+.1f}", f"{(gain > 0).mean():.0%}", str(apart)]
        rows.append([*row, norm])
        print(rows[-1], flush=True)
    title = f"Flare removal, {len(pairs)} pictures of Urban100 061–070 under drawn flares (training 001–060)"
    keep("flare_removal", title, COMMAND, COLUMNS, rows, page="docs/flare.md")
    drawn = sheet([pair for pair in pairs if pair.name in SHOWN], results)
    cv2.imwrite(str(ROOT / "docs/flare.jpg"), drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
