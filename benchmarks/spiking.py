"""Neuro-SVT frame by frame, and neurons against SpikingJelly and snntorch, side by side in one run.

    python benchmarks/spiking.py --size 128 --frames 100

Streams random events through a fresh model one frame at a time, lively and blank frames apart, and
counts what they cost. Then each round times our neurons and theirs, one after the other, in seconds
of the processor; a ratio above 1 means that ours do the same in less. Who is not installed is left
out: pip install spikingjelly snntorch. Fresh weights fire as fresh weights do: the counts show what
the meter sees, not what a trained model needs.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from vigilia.spiking import create_spiking_model
from vigilia.spiking.compared import vit_tiny_joules
from vigilia.spiking.energy import COSTS, EnergyMeter
from vigilia.spiking.neurons import lif_sequence
from vigilia.spiking.surrogate import Surrogate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="neuro_svt_ti")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--events", type=float, default=0.05, help="share of pixels")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    stream(arguments)
    neurons(arguments)


def timed(function: Callable[[], object], device: str) -> float:
    # On a busy machine only the processor's own time says what was computed.
    clock = time.process_time if device == "cpu" else time.perf_counter
    began = clock()
    function()
    if device != "cpu":
        torch.cuda.synchronize(device)
    return clock() - began


@torch.inference_mode()
def stream(arguments: argparse.Namespace) -> None:
    side, rows, device = arguments.size, arguments.streams, arguments.device
    model = create_spiking_model(arguments.model, num_classes=10, height=side, width=side)
    model.eval().to(device)
    state = model.init_state(rows)
    shape = (rows, 2, side, side)

    def lively() -> Tensor:
        return (torch.rand(shape) < arguments.events).float().to(device)

    print(
        f"{arguments.model}, {shape} a frame, {arguments.threads} threads, {device}, float32, "
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, "
        f"{state.nbytes / rows / 1e6:.2f} MB of state a stream"
    )
    for _ in range(5):
        _, state = model.step(lively(), state)
    for name, draw in (("lively", lively), ("blank", lambda: torch.zeros(shape, device=device))):
        times, busy = [], []
        for _ in range(arguments.frames):
            frame = draw()
            began, busy_began = time.perf_counter(), time.process_time()
            _, state = model.step(frame, state)
            if device != "cpu":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - began)
            busy.append(time.process_time() - busy_began)
        with EnergyMeter(model) as meter:
            _, state = model.step(draw(), state)
        count, median = meter.count(), statistics.median(times)
        worst = statistics.quantiles(times, n=20)[-1]
        ratio = count.joules() / rows / vit_tiny_joules(side)
        print(
            f"{name:8} median {median * 1e3:7.2f} ms ({rows / median:6.0f} frames/s), "
            f"95 % within {worst * 1e3:7.2f} ms, least {min(times) * 1e3:7.2f} ms, "
            f"of the processor median {statistics.median(busy) * 1e3:7.2f} ms; "
            f"{count.accumulates / rows / 1e6:6.2f} M additions, "
            f"{count.multiplies / rows / 1e6:.2f} M multiplications, "
            f"{count.updates / rows / 1e6:.2f} M updates, "
            f"{count.joules() / rows * 1e6:7.2f} uJ, {ratio:.2%} of ViT-Tiny in float32"
        )
    tiny = vit_tiny_joules(side), vit_tiny_joules(side, costs=COSTS["int8"])
    print(f"ViT-Tiny/16 {tiny[0] * 1e6:.0f} uJ a frame in float32, {tiny[1] * 1e6:.0f} in int8")


def neurons(arguments: argparse.Namespace) -> None:
    device = arguments.device
    currents = 2 * torch.randn(16, 4, 256, 192, device=device)
    rest = torch.zeros_like(currents[0])

    def ours(x: Tensor, *, detach_reset: bool = False) -> Tensor:
        atan = Surrogate("atan", 2.0)
        return lif_sequence(x, rest, tau=2.0, surrogate=atan, detach_reset=detach_reset)[0]

    # Gradient does not flow through a reset of snntorch's, and does through SpikingJelly's.
    forms = {"vigilia": ours, "vigilia, detached": lambda x: ours(x, detach_reset=True)}
    beside = {"snntorch": "vigilia, detached"}
    for name, make in (("spikingjelly", spikingjelly), ("snntorch", snntorch)):
        try:
            forms[name] = make(rest)
        except ImportError:
            print(f"{name} is not installed and left out: pip install {name}")
    if "spikingjelly" in forms:
        assert torch.equal(ours(currents), forms["spikingjelly"](currents))
    learned = currents.clone().requires_grad_()
    weights = torch.randn_like(currents)
    millions = currents.numel() / 1e6
    print(f"\nneurons, {millions:.2f} M steps of LIF {tuple(currents.shape)}; ours against theirs")
    for kind in ("inference", "training"):

        def once(form: Callable[[Tensor], Tensor], kind: str = kind) -> None:
            if kind == "inference":
                with torch.inference_mode():
                    form(currents)
            else:
                learned.grad = None
                form(learned).backward(weights)

        for form in forms.values():
            once(form)
        rounds = []
        chance = random.Random(0)
        for _ in range(arguments.repeats):
            # Who comes behind whom decides what of memory is warm: another order in each round.
            names = chance.sample(list(forms), len(forms))
            rounds.append({name: timed(partial(once, forms[name]), device) for name in names})
        for name in forms:
            seconds = [times[name] for times in rounds]
            ratios = [times[name] / times[beside.get(name, "vigilia")] for times in rounds]
            print(
                f"{kind:10} {name:17} median {statistics.median(seconds) * 1e3:8.1f} ms, "
                f"{millions / statistics.median(seconds):7.1f} M steps/s, "
                f"ratio {statistics.median(ratios):6.2f}"
            )


def spikingjelly(rest: Tensor) -> Callable[[Tensor], Tensor]:
    """The same neurons of SpikingJelly: currents (T, ...) -> spikes (T, ...)."""
    from spikingjelly.activation_based.neuron import LIFNode
    from spikingjelly.activation_based.surrogate import ATan

    node = LIFNode(tau=2.0, surrogate_function=ATan(2.0), step_mode="m").to(rest.device)

    def form(x: Tensor) -> Tensor:
        node.reset()
        fired: Tensor = node(x)
        return fired

    return form


def snntorch(rest: Tensor) -> Callable[[Tensor], Tensor]:
    """Of snntorch, whose membrane does not divide what comes in by tau: the same work."""
    from snntorch import Leaky

    leaky = Leaky(beta=0.5, reset_mechanism="zero").to(rest.device)

    def form(x: Tensor) -> Tensor:
        membrane, spikes = rest, []
        for step in x:
            fired, membrane = leaky(step, membrane)
            spikes.append(fired)
        return torch.stack(spikes)

    return form


if __name__ == "__main__":
    main()
