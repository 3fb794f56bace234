"""Times the training steps of `peers` by Keras 3 on JAX, in turns with this crate on the CPU.

    python3 -m venv venv && venv/bin/pip install keras jax
    cargo build --release --no-default-features  # without Burn and Meganeura, which it has no use for
    venv/bin/python keras.py                 # all steps
    venv/bin/python keras.py "MNIST CNN"     # rows whose names hold one of the words

This crate and its reference are processes of `peers`, which tell the numbers that all engines are given and take
turns with Keras. Losses of three steps are compared first. Keras is timed twice: by `train_on_batch`, which hands
the batch over and reads the loss back at every step, and by a step that is compiled whole from
`stateless_call` and `stateless_apply`, as Keras's guide to JAX has it, waited for at the end of a turn.
Times are medians, ratios medians of those of the turns.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# This file's name is that of the package.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

import jax  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

TURN = 0.25
LOSSES = 3
TOLERANCE = 1e-3
RATE = 1e-3


class Peer:
    """A process of `peers` that does the work of a row."""

    def __init__(self, program, engine, device, row):
        command = [program, "--serve", engine, "--device", device, "--exact", "--", row]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("peers: "):
                return line.removeprefix("peers: ").rstrip("\n")
        sys.exit("the process of an engine stops")

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def losses(self):
        return np.array(self.ask("results").split(" ")[:LOSSES], np.float32)

    def data(self):
        """What all engines are given, by name, in the order of the layers."""
        tensors, line = {}, self.ask("data")
        while line != "end":
            name, shape, *numbers = line.split(" ")
            tensors[name] = np.array(numbers, np.float32).reshape([int(n) for n in shape.split("x")])
            line = self.answer()
        return tensors

    def turn(self, steps):
        return float(self.ask(f"turn {steps}"))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def model_of(row):
    """The network of a row, with channels last, the order that Keras has by default."""
    layers = keras.layers
    if "MLP" in row:
        return [layers.Input([784]), layers.Dense(512, "relu"), layers.Dense(10)]
    if "XOR" in row:
        return [layers.Input([2]), layers.Dense(8, "relu"), layers.Dense(1)]
    if "LSTM" in row:
        return [layers.Input([50, 32]), layers.LSTM(64), layers.Dense(10)]
    if "MNIST" in row:
        found = [layers.Input([28, 28, 1])]
        for filters in (10, 20):
            found += [layers.Conv2D(filters, 5, activation="relu"), layers.MaxPooling2D(2)]
        return found + [layers.Flatten(), layers.Dense(100, "relu"), layers.Dense(10)]
    return [
        layers.Input([32, 32, 3]),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(64, "relu"),
        layers.Dense(10),
    ]


def channels_last(model, weights):
    """The weights in Keras's layouts: of a dense layer after `Flatten`, the rows are in another order too."""
    weights, found, image = list(weights), [], None
    for layer in model.layers:
        for _ in layer.weights:
            weight = weights[len(found)]
            if weight.ndim == 4:
                weight = weight.transpose(2, 3, 1, 0)
            if weight.ndim == 2 and image is not None:
                h, w, c = image
                weight = weight.reshape(c, h, w, -1).transpose(1, 2, 0, 3).reshape(h * w * c, -1)
                image = None
            found.append(weight)
        if isinstance(layer, keras.layers.Flatten):
            image = layer.input.shape[1:]
    return found


class Keras:
    def __init__(self, row, data):
        self.model = keras.Sequential(model_of(row))
        self.x, self.y, *weights = data.values()
        if self.x.ndim == 4:
            self.x = np.ascontiguousarray(self.x.transpose(0, 2, 3, 1))
        if self.y.ndim == 1:
            self.y = self.y.astype(np.int32)
            self.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        else:
            self.loss = keras.losses.MeanSquaredError()
        self.model.set_weights(channels_last(self.model, weights))
        self.optimizer = keras.optimizers.Adam(RATE, epsilon=1e-7)


class TrainOnBatch(Keras):
    name = "Keras, train_on_batch"

    def __init__(self, row, data):
        super().__init__(row, data)
        self.model.compile(self.optimizer, self.loss)

    def run(self, steps):
        for _ in range(steps):
            found = self.model.train_on_batch(self.x, self.y)
        return float(found)


class Compiled(Keras):
    name = "Keras, one jitted step"

    def __init__(self, row, data):
        super().__init__(row, data)
        self.optimizer.build(self.model.trainable_variables)

        def loss_of(trained, rest, x, y):
            found, rest = self.model.stateless_call(trained, rest, x, training=True)
            return self.loss(y, found), rest

        def step(state, x, y):
            trained, rest, slots = state
            (loss, rest), slopes = jax.value_and_grad(loss_of, has_aux=True)(trained, rest, x, y)
            trained, slots = self.optimizer.stateless_apply(slots, slopes, trained)
            return loss, (trained, rest, slots)

        self.step = jax.jit(step, donate_argnums=0)
        variables = (self.model.trainable_variables, self.model.non_trainable_variables, self.optimizer.variables)
        self.state = tuple([jax.numpy.array(v.value) for v in part] for part in variables)
        self.x, self.y = jax.numpy.asarray(self.x), jax.numpy.asarray(self.y)

    def run(self, steps):
        for _ in range(steps):
            loss, self.state = self.step(self.state, self.x, self.y)
        return float(jax.block_until_ready(loss))


class Timed:
    """An engine of this process, with the face of the others."""

    def __init__(self, engine):
        self.engine = engine

    def losses(self):
        return np.array([self.engine.run(1) for _ in range(LOSSES)], np.float32)

    def turn(self, steps):
        start = time.perf_counter()
        self.engine.run(steps)
        return 1e3 * (time.perf_counter() - start) / steps

    def close(self):
        pass


def measure(program, row, turns):
    """The milliseconds of each turn, by engine."""
    ours = Peer(program, "retape", "cpu", row)
    data = ours.data()
    engines = {"retape, CPU": ours, "retape's reference": Peer(program, "reference", "cpu", row)}
    engines |= {kind.name: Timed(kind(row, data)) for kind in (TrainOnBatch, Compiled)}
    losses = {name: engine.losses() for name, engine in engines.items()}
    for name, found in losses.items():
        wanted = losses["retape's reference"]
        far = np.abs(found - wanted).max() / np.abs(wanted).max()
        if not far <= TOLERANCE:
            sys.exit(f"{row}: {name} has the losses {found}, not {wanted}")
    once = {name: min(engine.turn(1) for _ in range(5)) for name, engine in engines.items()}
    steps = {name: int(min(max(1e3 * TURN / time, 1), 2000)) for name, time in once.items()}
    times = {name: [] for name in engines}
    names = list(engines)
    for turn in range(turns):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            times[name].append(engines[name].turn(steps[name]))
    for engine in engines.values():
        engine.close()
    return times


def main():
    target = Path(os.environ.get("CARGO_TARGET_DIR") or Path(__file__).resolve().parent / "target")
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("words", nargs="*", help="rows whose names hold one of them; all without a word")
    options.add_argument("--peers", default=target / "release/peers", help="the program of this folder")
    options.add_argument("--turns", type=int, default=9)
    options = options.parse_args()

    if not Path(options.peers).exists():
        sys.exit(f"{options.peers} is not there: build it, or name it with --peers")
    listed = subprocess.run([options.peers, "--list", "--", "step"], capture_output=True, text=True, check=True)
    rows = [re.sub(": benchmark$", "", line) for line in listed.stdout.splitlines()]
    rows = [row for row in rows if not row.startswith("first ")]
    rows = [row for row in rows if not options.words or any(word in row for word in options.words)]
    print(f"{time.strftime('%Y-%m-%d')}, Keras {keras.__version__}, JAX {jax.__version__}, {os.cpu_count()} threads")
    print("load before:", *os.getloadavg(), "\n")
    print("| row | engine | ms | times retape's |\n|---|---|---:|---:|")
    for row in rows:
        times = measure(options.peers, row, options.turns)
        ours = times["retape, CPU"]
        for name, found in times.items():
            ratio = statistics.median(time / own for time, own in zip(found, ours))
            print(f"| {row} | {name} | {statistics.median(found):.3g} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
