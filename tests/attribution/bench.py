#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Known delays put into known stages of a request's way, and where attribution finds them.

Every run mixes requests with and without delay, so that whatever else the machine does meets both alike: a delay's effect is the
difference of two medians of the same run. Which request was delayed, by how much, is told by the injector, never by attribution.

Environment: O (build directory, with bin/ image/ tests/attribution/hog), SRC. stages.py says what is injected, and what is expected.
"""
import argparse
import ctypes
import json
import mmap
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True           # nothing built goes into the tree
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.modules.setdefault("bench", sys.modules[__name__])   # stages.py imports it by its name
import stages  # noqa: E402

BOUNDARIES = ["app_submit", "guest_queue", "guest_issue", "guest_kick", "host_notify", "device_start", "host_submit", "host_issue",
              "host_complete", "host_reap", "device_done", "irq_inject", "guest_irq", "guest_complete", "app_reap"]
PHASES = ["guest.submit", "guest.schedule", "guest.driver", "cross.kick", "vmm.dispatch", "vmm.submit", "host.block", "host.device",
          "host.completion", "vmm.complete", "vmm.notify", "cross.inject", "guest.irq", "guest.reap"]
TRACING = "/sys/kernel/tracing"


class Failed(Exception):
    pass


# ---- a run ----

class World:
    """Where things are, and what was started: all of it ends with close()."""

    def __init__(self, o, seconds, rate, keep):
        self.o, self.seconds, self.rate = o, seconds, rate
        self.bifocal = os.path.join(o, "bin", "bifocal")
        self.hog = os.path.join(o, "tests", "attribution", "hog")
        self.image = os.path.join(o, "image")
        self.work = tempfile.mkdtemp(prefix="bifocal-attribution.", dir=os.environ.get("TMPDIR", "/tmp"))
        self.db = os.path.join(self.work, "db")
        self.keep = keep
        self.undo = []

    def path(self, name):
        return os.path.join(self.work, name)

    def later(self, undo):
        """Calls undo() at the end of the stage."""
        self.undo.append(undo)

    def end_stage(self):
        while self.undo:
            try:
                self.undo.pop()()
            except (OSError, subprocess.SubprocessError) as e:
                print(f"# while clearing up: {e}", file=sys.stderr)

    def close(self):
        self.end_stage()
        if not self.keep:
            shutil.rmtree(self.work, ignore_errors=True)

    def start(self, argv, **more):
        """A process that ends with the stage."""
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, **more)

        def stop():
            if p.poll() is None:
                p.terminate()
                try:
                    p.wait(5)
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.wait()
        self.later(stop)
        return p

    def tool(self, *argv):
        r = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if r.returncode:
            raise Failed(f"{' '.join(argv)}: {r.stderr.strip()[-400:]}")
        return r.stdout

    def collector(self, *argv):
        return self.tool(self.bifocal, *argv[:1], "--db", self.db, *argv[1:])

    def wrapper(self, rules):
        """A vm.qemu that edits its command line: rules are (text, replacement) on every argument,
        ("+", [arguments]) puts those in front, ("after", text, [arguments]) behind the argument that has the text."""
        path = self.path("qemu")
        with open(path, "w") as f:
            f.write("#!/usr/bin/env python3\nimport os, sys\na = sys.argv[1:]\n")
            f.write("if a[:1] != ['-version']:\n")
            f.write(f"\tfor old, new in {[r for r in rules if r[0] not in ('+', 'after')]!r}:\n")
            f.write("\t\ta = [x.replace(old, new) for x in a]\n")
            f.write(f"\tfor more in {[r[1] for r in rules if r[0] == '+']!r}:\n\t\ta = more + a\n")
            for where, more in [r[1:] for r in rules if r[0] == "after"]:
                f.write(f"\ti = [n for n, x in enumerate(a) if {where!r} in x][0] + 1\n\ta[i:i] = {more!r}\n")
            f.write("os.execvp('qemu-system-x86_64', ['qemu-system-x86_64'] + a)\n")
        os.chmod(path, 0o755)
        return path


class Qmp:
    """A second way to QEMU's monitor: the collector has its own."""
    args = ["-chardev", "socket,id=injector,path=PATH,server=on,wait=off", "-mon", "chardev=injector,mode=control"]

    @staticmethod
    def rule(world):
        return "+", [a.replace("PATH", world.path("injector")) for a in Qmp.args]

    def __init__(self, world):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(20)
        self.s.connect(world.path("injector"))
        self.f = self.s.makefile("rw")
        self.f.readline()
        self.do("qmp_capabilities")

    def do(self, command, **arguments):
        self.f.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.f.flush()
        while True:
            answer = json.loads(self.f.readline() or '{"error": "QEMU is gone"}')
            if "error" in answer:
                raise Failed(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]


def make_rdtsc():
    """The TSC, as a function."""
    m = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    m.write(b"\x0f\x31\x48\xc1\xe2\x20\x48\x09\xd0\xc3")   # rdtsc; shl rdx, 32; or rax, rdx; ret
    f = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(m)))
    f.memory = m
    return f


rdtsc = make_rdtsc()


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(x) for x in f.read().split()]
    except OSError:
        return []


def threads(pid):
    """{role: [tid]} of a QEMU: main, vcpu, iothread, worker."""
    out = {"main": [pid], "vcpu": [], "iothread": [], "worker": []}
    for t in sorted(int(x) for x in os.listdir(f"/proc/{pid}/task")):
        try:
            with open(f"/proc/{pid}/task/{t}/comm") as f:
                comm = f.read().strip()
        except OSError:
            continue
        if comm.startswith("CPU "):
            out["vcpu"].append(t)
        elif comm.startswith("IO "):
            out["iothread"].append(t)
        elif comm == "worker":
            out["worker"].append(t)
    return out


def window_open(collector):
    base = f"{TRACING}/instances"
    try:
        for name in os.listdir(base):
            if name.startswith(f"bifocal-{collector}-"):
                with open(f"{base}/{name}/tracing_on") as f:
                    if f.read().strip() == "1":
                        return True
    except OSError:
        pass
    return False


def qemu_of(p):
    for c in children(p.pid):
        try:
            if os.readlink(f"/proc/{c}/exe").find("qemu-system") >= 0:
                return c
        except OSError:
            pass
    return None


def settle(qemu):
    """vCPUs on one CPU, all else of QEMU on another; ahead of what else this machine does."""
    roles = threads(qemu)
    for role, tids in roles.items():
        for t in tids:
            os.sched_setaffinity(t, {stages.VCPU_ON if role == "vcpu" else stages.QEMU_ON})
            os.sched_setscheduler(t, os.SCHED_FIFO, os.sched_param(1))
    for t in (int(x) for x in os.listdir(f"/proc/{qemu}/task")):
        if os.sched_getscheduler(t) != os.SCHED_FIFO:
            os.sched_setaffinity(t, {stages.QEMU_ON})
    return roles


def run(world, stage):
    """One run with its injector. Returns the run's number."""
    argv = [world.bifocal, "run", "--db", world.db, "--seed", "7"]
    for k, v in stage.vm(world).items():
        argv += ["--vm", f"{k}={v}"]
    load = {"runtime": f"{world.seconds}s", "rate_iops": world.rate, "ramp_time": "300ms", **stage.load}
    for k, v in load.items():
        argv += ["--workload", f"{k}={v}"]
    with open(world.path("log"), "w") as log:
        p = world.start(argv, stdout=log, stderr=log)
        injected = False
        while p.poll() is None:
            if not injected and window_open(p.pid):
                qemu = qemu_of(p)
                if qemu:
                    stage.inject(world, qemu, settle(qemu))
                    injected = True
            time.sleep(0.01)
    if p.returncode not in (0, 3) or not injected:
        with open(world.path("log")) as f:
            raise Failed(f"bifocal run: status {p.returncode}; {f.read()[-600:]}")


# ---- what came of it ----

def requests(world):
    """Every counted request: its io record, and [(span, ns)] that sum to its latency."""
    out = []
    for line in world.collector("export", "--format", "jsonl", "last").splitlines():
        r = json.loads(line)
        if "cause" not in r:
            raise Failed(f"a run without attribution: {line}\n{world.collector('show', 'last')}")
        if r["in_ramp"] or r["cause"] == "outside":
            continue
        at = [(0, 0.0)]
        for i in range(1, 14):
            v = r.get(BOUNDARIES[i] + "_ns")
            if v is not None:
                at.append((i, v))
        at.append((14, r["service_ns"]))
        r["spans"] = {name(a[0], b[0]): b[1] - a[1] for a, b in zip(at, at[1:])}
        out.append(r)
    return out


def name(a, b):
    return PHASES[a] if b == a + 1 else f"{PHASES[a]}..{PHASES[b - 1]}"


def median(v):
    return statistics.median(v) if v else float("nan")


def by_size(stage, reqs, truth, swapped):
    """{size: [(spans, actual ns)]} of the matched requests that the truth knows."""
    by = {}
    for i, r in enumerate(reqs):
        if i in truth and r["cause"] == "matched":
            spans = stage.spans(r["spans"])
            if swapped:
                spans = {swapped.get(k, k): v for k, v in spans.items()}
            by.setdefault(truth[i][0], []).append((spans, truth[i][1]))
    if 0 not in by:
        raise Failed("no request without delay")
    return by


def medians(group):
    """{span: its median}; spans that most requests have."""
    all_of = {}
    for spans, _ in group:
        for k, v in spans.items():
            all_of.setdefault(k, []).append(v)
    return {k: median(v) for k, v in all_of.items() if len(v) >= len(group) / 2}


def most_grown(group, base):
    """{span: in how many requests it is the one that exceeds its median without delay by most}."""
    out = {}
    for spans, _ in group:
        k = max(spans, key=lambda k: spans[k] - base.get(k, 0))
        out[k] = out.get(k, 0) + 1
    return out


def judge(stage, reqs, truth, swapped=None):
    """truth: {index of request: (size, actual ns)}; swapped: {phase: the name it is given instead}. One row a size."""
    by = by_size(stage, reqs, truth, swapped)
    base = medians(by[0])
    rows = []
    for size in sorted(k for k in by if k):
        group = by[size]
        actual = median([a for _, a in group]) - median([a for _, a in by[0]])
        now = medians(group)
        shift = {k: now.get(k, 0) - base.get(k, 0) for k in {**base, **now}}
        where = most_grown(group, base)
        others = {k: v for k, v in shift.items() if k not in stage.expected}
        right = sum(v for k, v in shift.items() if k in stage.expected)
        share = sum(v for k, v in where.items() if k in stage.expected) / len(group)
        far = max(others, key=lambda k: abs(others[k])) if others else None
        rows.append({
            "stage": stage.name, "size_ns": size, "n": len(group), "n_base": len(by[0]), "injected_ns": actual, "recovered_ns": right,
            "error_ns": right - actual, "expected": list(stage.expected), "shift_ns": shift, "base_ns": base, "where": where,
            "share_right": share, "other": far, "other_ns": others[far] if far else 0.0,
            "ok_most": right > max(others.values(), default=0),
            "ok_error": abs(right - actual) <= max(100e3, 0.05 * actual),
            "ok_other": all(abs(v) <= 0.1 * actual for v in others.values()),
            "ok_share": size < 9.5e6 or share >= 0.95,
        })
    return rows


# ---- printing ----

SHORT = [p.replace("guest.", "g.").replace("host.", "h.").replace("vmm.", "v.").replace("cross.", "x.")[:9] for p in PHASES]


def us(ns):
    v = ns / 1000
    return "." if abs(v) < 0.5 else f"{v:+.0f}"


def cells(by_span, expected, text):
    """A cell a phase; a merged span stands at its first one, with ~ through the others."""
    out = ["" for _ in PHASES]
    for k, v in by_span.items():
        t = f"[{text(v)}]" if k in expected else text(v)
        if k.split("..")[0] not in PHASES:     # a stage's own sum of several
            out[0] = f"{k} {t}"
            continue
        first, last = (PHASES.index(k.split("..")[i]) for i in (0, -1))
        out[first] = t
        out[first + 1:last + 1] = ["~"] * (last - first)
    return " ".join(f"{c:>9}" for c in out)


def missed(r):
    return [w for w, k in (("phase", "ok_most"), ("delay", "ok_error"), ("others", "ok_other"), ("share", "ok_share")) if not r.get(k, True)]


def table(rows):
    width = max(len(r["stage"]) for r in rows)
    print("Shift of each phase's median, µs; [ ] the phase expected; a span of several phases stands at its first one, with ~ through the others.")
    print(f"{'injected':{width}}  delay    n " + " ".join(f"{s:>9}" for s in SHORT) + "   error   right  verdict")
    for r in rows:
        verdict = f"BEYOND LIMIT: {', '.join(missed(r))}" if missed(r) else "ok"
        print(f"{r['stage']:{width}} {r['size_ns'] / 1e6:>4g}ms {r['n']:>4} {cells(r['shift_ns'], r['expected'], us)} "
              f"{r['error_ns'] / 1000:>+7.0f} {r['share_right'] * 100:>5.1f} %  {verdict}")


def confusion(rows):
    rows = [r for r in rows if r["size_ns"] >= 9.5e6]
    if not rows:
        return
    width = max(len(r["stage"]) for r in rows)
    print("\nConfusion matrix at 10 ms: of the requests delayed in a stage, % in which that phase grew most.")
    print(f"{'injected':{width}}    n " + " ".join(f"{s:>9}" for s in SHORT))
    for r in rows:
        print(f"{r['stage']:{width}} {r['n']:>4} " + cells({k: 100 * v / r["n"] for k, v in r["where"].items()}, r["expected"], lambda v: f"{v:.1f}"))


def verdict_of(r):
    return not missed(r)


def tap(rows, notes, swapped):
    """A line a stage and size: found in the right phase; and, where that phase's name was swapped, not found there."""
    bad = n = 0
    for r in rows:
        if r["size_ns"] < 1e6 or (r["swapped"] and not set(r["expected"]) & set(swapped)):
            continue
        found = r["share_right"] >= 0.8 if "share_right" in r else r["ok_share"]
        good = found != r["swapped"]
        n += 1
        bad += not good
        what = r.get("text") or f"{r['share_right'] * 100:.0f} % in {r['expected'][0]}"
        print(f"{'' if good else 'not '}ok {n} - {r['stage']}, {r['size_ns'] / 1e6:g} ms{', two names swapped' if r['swapped'] else ''}: {what}")
    for x in notes:
        print(f"# {x}")
        if "FAILED" in x:
            n += 1
            bad += 1
            print(f"not ok {n} - {x.splitlines()[0]}")
    print(f"1..{n}")
    return 1 if bad or not n else 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--stages", help="comma-separated; default all: " + " ".join(s.name for s in stages.ALL))
    p.add_argument("--seconds", type=int, default=16, help="window of each run")
    p.add_argument("--rate", type=int, default=64, help="requests a second")
    p.add_argument("--json", help="write the result there")
    p.add_argument("--swap", help="A=B: swap two phases' names before judging; then the bench has to fail")
    p.add_argument("--place", action="store_true", help="judge the right phase alone, at 1 and 10 ms, and print TAP: a test, on whatever machine")
    p.add_argument("--keep", action="store_true", help="keep the work directory")
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    chosen = [s for s in stages.ALL if not a.stages or s.name in a.stages.split(",")]
    swapped = dict(a.swap.split("=")[::d] for d in (1, -1)) if a.swap else None
    world = World(os.environ["O"], a.seconds, a.rate, a.keep)
    rows, notes, failed = [], [], 0
    try:
        for s in chosen:
            began = time.time()
            try:
                why = s.absent(world)
                if why:
                    notes.append(f"{s.name}: skipped: {why}")
                    continue
                run(world, s)
                world.end_stage()
                if a.place:
                    rows += [dict(r, swapped=False) for r in s.result(world, None)] + [dict(r, swapped=True) for r in s.result(world, swapped)]
                else:
                    rows += s.result(world, swapped)
                notes += s.notes
            except (Failed, OSError, LookupError, subprocess.SubprocessError) as e:
                failed += 1
                notes.append(f"{s.name}: FAILED: {e}")
            finally:
                world.end_stage()
            print(f"# {s.name}: {time.time() - began:.0f} s", file=sys.stderr)
    finally:
        world.close()
    if a.place:
        return tap(rows, notes, swapped)
    judged = [r for r in rows if "shift_ns" in r]
    if judged:
        table(judged)
        confusion(judged)
    for n in notes:
        print(("bench attribution " if "FAILED" in n else "  ") + n)
    if not rows and not failed:
        print("bench attribution " + notes[0])
        return 0
    for r in rows:
        print(f"bench attribution {r['stage']} {r['size_ns'] / 1e6:g}ms: " + (r.get("text") or
              f"recovered {r['recovered_ns'] / 1000:.0f} of {r['injected_ns'] / 1000:.0f} µs, right {r['share_right'] * 100:.1f} %, "
              f"other {r['other']} {r['other_ns'] / 1000:+.1f} µs") + (" ok" if verdict_of(r) else " BEYOND LIMIT"))
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"rows": rows, "notes": notes}, f, indent=1)
    return 1 if failed or not rows or not all(verdict_of(r) for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
