"""Times the graphs of workloads.h beside the peers, for tests/bench/compare --workloads."""

import json
import math
import statistics
import subprocess
import sys
import tempfile
import pathlib

# Costs are sums of many numbers, and gradients of sums of squares large: of the largest value.
TOLERANCE = {"forward": 1e-4, "gradient": 2e-3, "step": 1e-3}
SMALL_US = 10  # of work: what is below measures calls, and is left out of the mean


class Process:
    def __init__(self, command, env=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True, env=env)

    def ask(self, line=None):
        if line is not None:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("the process ended")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare_one(name, program, peers, workers, seconds, rounds, in_turns, env):
    """A row: medians of Arete and the peers, ratios to Arete, what was off, and compile times."""
    with tempfile.TemporaryDirectory() as folder:
        arete = Process([str(program), "--serve", name, "--data", folder], env)
        about = arete.ask()
        contenders = {"arete": lambda: arete.ask(str(seconds))}
        notes, compile_ms = [], {"arete": about["compile_ms"]}
        for peer in peers:
            answer = workers[peer].ask(json.dumps({**about, "folder": folder}))
            if "error" in answer:
                notes.append(f"{peer}: {answer['error']}")
                continue
            if not answer["off"] <= TOLERANCE[about["kind"]]:
                notes.append(f"{peer}'s values are off by {answer['off']:.1e}")
            compile_ms[peer] = answer["compile_ms"]
            contenders[peer] = lambda peer=peer: workers[peer].ask(str(seconds))
        for measure in contenders.values():  # warms up
            measure()
        times = in_turns(contenders, rounds)
        arete.close()
    return about, times, compile_ms, notes


def compare_workloads(arguments, program, names, peers, python, environment, in_turns, Table):
    """A table of workloads on one thread, and a line that sums it up."""
    script = str(pathlib.Path(__file__).parent / "peers_workloads.py")
    env = environment(1)
    workers = {peer: Process([python, script, peer, "1"], env) for peer in peers}
    table = Table("workload", "Arete us", *(peers[p] for p in peers), "best peer", "compile ms",
                  *(f"{p}'s" for p in peers))
    ratios, slow = {}, []
    for name in names:
        try:
            about, times, compile_ms, notes = compare_one(
                name, program, peers, workers, arguments.seconds, arguments.rounds, in_turns, env)
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        ours = statistics.median(times["arete"])
        cells = []
        for peer in peers:
            if peer not in times:
                cells.append("-")
                continue
            ratio = statistics.median(p / a for p, a in zip(times[peer], times["arete"]))
            cells.append(f"{statistics.median(times[peer]):,.1f} ({ratio:.2f}x)")
        best = statistics.median(
            min(times[p][k] for p in peers if p in times) / times["arete"][k]
            for k in range(arguments.rounds)) if len(times) > 1 else math.nan
        table.add([name, f"{ours:,.1f}", *cells, f"{best:.2f}x", f"{compile_ms['arete']:.0f}",
                   *(f"{compile_ms[p]:.0f}" if p in compile_ms else "-" for p in peers)])
        for note in notes:
            print(f"    {name}: {note}", file=sys.stderr)
        if not math.isnan(best) and ours >= SMALL_US:
            ratios[name] = best
            if best < 0.95:
                slow.append(f"{name} {best:.2f}")
    for worker in workers.values():
        worker.close()
    if not ratios:
        return table, "nothing was compared"
    mean = math.exp(statistics.fmean(math.log(r) for r in ratios.values()))
    return table, (f"{len(ratios)} workloads of at least {SMALL_US} us: best peer over Arete, "
                   f"geometric mean {mean:.2f}; below 0.95: {', '.join(slow) or 'none'}")
