"""How many instructions does each network take on the processors of a Raspberry Pi 4 and 5, in int8 and in float?

The number that would change a decision: int8 taking more instructions than float on either, as the choices of int8 and
float were made by times on x86-64 alone.

    python benchmarks/arm_counts.py [--work DIR]

A count under emulation is no time: caches and the width of a pipeline are not in it, so it compares two forms of one
network, and two processors, and nothing else. Cortex-A72 (Pi 4) has no dot product of bytes, Cortex-A76 (Pi 5) has.
Needs Debian with qemu-user, gcc and the extra `build` (onnx); fetches arm64 packages of Debian and wheels into DIR and
installs nothing. `arm_insn.c` is the counting plugin. Writes benchmarks/results/arm.json.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.about import about_device, about_run, command_line
from benchmarks.about import store as store_result
from kiosk.gallery.products import product_model
from kiosk.networks.inference import read_pack, standard_pack

PLUGIN = Path(__file__).resolve().with_name("arm_insn.c")
ROWS = 65_536  # references in a chunk
TASKS = ("finder", "mesh", "recogniser", "attributes")
IN_INT8 = ("recogniser", "attributes")
PROCESSORS = {
    "cortex-a72": ("0xd08", "fp asimd crc32 cpuid"),
    "cortex-a76": ("0xd0b", "fp asimd crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"),
}
PACKAGES = [
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libc6",
    "libstdc++6",
    "libgcc-s1",
    "zlib1g",
    "libexpat1",
    "libffi8",
    "libssl3",
    "libbz2-1.0",
    "liblzma5",
    "libsqlite3-0",
    "libuuid1",
    "libncursesw6",
    "libtinfo6",
    "libreadline8",
]
WHEELS = ("onnxruntime", "numpy")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
GUEST = """
import os, sys
import numpy as np, onnxruntime
sides = {"M": 1, "D": 128, "N": 65536}  # of the search
kinds = {"tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(float)": np.float32}
for path in sys.argv[1:]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    for edge, length in (("height", 192), ("width", 256)):  # of a camera's frame, as the finder takes it
        options.add_free_dimension_override_by_name(edge, length)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    shapes = {one.name: ([side if isinstance(side, int) else sides.get(side, 1) for side in one.shape], kinds[one.type])
              for one in session.get_inputs()}
    fed = {name: np.zeros(*shape) for name, shape in shapes.items()}
    for _ in range(2):
        session.run(None, fed)
    os.getppid()  # the plugin prints the count so far
    session.run(None, fed)
    os.getppid()
"""


def call(*words: object, **options: Any) -> None:
    """Run a program; end where it fails."""
    subprocess.run([str(word) for word in words], check=True, **options)


def fetch(work: Path) -> None:
    """Fetch and unpack Debian's Python for arm64 and the wheels, and build the plugin."""
    own = [
        "APT::Architecture=arm64",
        "APT::Architectures=arm64",
        f"Dir::State={work}/state",
        f"Dir::Cache={work}/cache",
    ]
    own.append(f"Dir::State::status={work}/state/status")
    apt = ["apt-get", *(word for one in own for word in ("-o", one))]
    for folder in ("state/lists/partial", "cache/archives/partial", "packages", "root", "wheels", "site"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    (work / "state" / "status").touch()
    call(*apt, "update", "-qq")
    call(*apt, "download", "-qq", *PACKAGES, cwd=work / "packages")
    for package in (work / "packages").glob("*.deb"):
        call("dpkg", "-x", package, work / "root")
    platforms = [word for one in PLATFORMS for word in ("--platform", one)]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        "3.11",
    ]
    call(*pip, *platforms, "-d", work / "wheels", *WHEELS)
    for wheel in (work / "wheels").glob("*.whl"):
        shutil.unpack_archive(wheel, work / "site", "zip")
    call("gcc", "-shared", "-fPIC", "-O2", "-o", work / "insn.so", PLUGIN)


def in_float(path: Path, target: Path) -> None:
    """Write a quantised network as it would be in float: weights widened, nothing rounded in between."""
    import onnx  # noqa: PLC0415  a build tool
    from onnx import numpy_helper  # noqa: PLC0415

    model = onnx.load(str(path))
    graph = model.graph
    weights = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    maker = {output: node for node in graph.node for output in node.output}
    instead: dict[str, str] = {}
    kept = []
    for node in graph.node:
        source = node.input[0] if node.input else ""
        if node.op_type == "DequantizeLinear" and source in weights:
            axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
            scale, zero = weights[node.input[1]], weights[node.input[2]] if len(node.input) > 2 else np.zeros(1)
            form = [1] * weights[source].ndim
            if scale.ndim:
                form[axis] = -1
                scale, zero = scale.reshape(form), np.asarray(zero).reshape(form)
            weights[node.output[0]] = ((weights[source].astype(np.float32) - zero) * scale).astype(np.float32)
        elif node.op_type == "DequantizeLinear":
            instead[node.output[0]] = maker[source].input[0]
        elif node.op_type != "QuantizeLinear":
            kept.append(node)
    for node in kept:
        for at, name in enumerate(node.input):
            while name in instead:
                name = instead[name]  # noqa: PLW2901  back to where it was last in float
            node.input[at] = name
    used = {name for node in kept for name in node.input}
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items() if name in used)
    onnx.save(model, str(target))


def count(work: Path, processor: str, models: dict[str, Path]) -> dict[str, int]:
    """Return how many instructions one run of each model takes."""
    root, (part, features) = work / processor, PROCESSORS[processor]
    if not root.exists():
        shutil.copytree(work / "root", root, symlinks=True)
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text(
        f"processor\t: 0\nFeatures\t: {features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 1\n\n"
    )
    cpus = root / "sys" / "devices" / "system" / "cpu"
    cpus.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present", "online"):
        (cpus / name).write_text("0\n")
    emulator = ["qemu-aarch64", "-cpu", processor, "-plugin", work / "insn.so", "-L", root]
    said = subprocess.run(
        [str(word) for word in (*emulator, root / "usr/bin/python3.11", "-c", GUEST, *models.values())],
        env={**os.environ, "PYTHONPATH": str(work / "site")},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    counts = [int(one) for one in re.findall(r"^instructions (\d+)$", said, re.MULTILINE)]
    return {name: after - before for name, before, after in zip(models, counts[::2], counts[1::2], strict=True)}


def main() -> None:
    """Fetch, count, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="where the arm64 system is put and found again (default: temporary)")
    chosen = parser.parse_args()
    pack = read_pack(standard_pack())
    with tempfile.TemporaryDirectory() as temporary:
        work = (chosen.work or Path(temporary)).resolve()
        if not (work / "insn.so").exists():
            fetch(work)
        models = {task: pack.spec(task).path for task in TASKS}
        for task in IN_INT8:
            models[f"{task}, in float"] = work / f"{task}_float.onnx"
            in_float(models[task], work / f"{task}_float.onnx")
        (work / "search.onnx").write_bytes(product_model(zero_point=None))
        models[f"search of {ROWS:,} references"] = work / "search.onnx"
        with ThreadPoolExecutor(len(PROCESSORS)) as side_by_side:
            found = side_by_side.map(lambda processor: count(work, processor, models), PROCESSORS)
            counted = dict(zip(PROCESSORS, found, strict=True))
    about = {**about_run(__doc__.splitlines()[0], pack, command=command_line()), **about_device(WHEELS)}
    store_result("arm", {**about, "instructions": counted})


if __name__ == "__main__":
    main()
