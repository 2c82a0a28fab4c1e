# SPDX-License-Identifier: GPL-2.0-or-later
"""The stages: what is put in, with what, and the phase in which it has to be found, with the reason. The phases expected
were written down before anything was measured."""
import bisect
import json
import os
import re
import shutil
import subprocess
import time

VCPU_ON, QEMU_ON = 0, 1                       # CPUs of the host
SIZES = [0, 100_000, 1_000_000, 10_000_000]   # ns; 0: the requests without delay
DEALT = [0, 100_000] + SIZES                  # the smallest delay needs the most requests to be told from noise
PART = 16 << 20                               # bytes of the disk that share a delay where the sector says which


class Stage:
    name = expected = None
    needs = ("chrt", "taskset", "cpio", "lz4", "qemu-img", "qemu-io")
    load = {}
    sizes = DEALT

    def __init__(self):
        self.notes = []

    def absent(self, world):
        if os.geteuid() or os.cpu_count() < 2:
            return "not root" if os.geteuid() else "one CPU: a starved thread and the rest of QEMU cannot be kept apart"
        missing = [t for t in self.needs if not shutil.which(t)]
        return f"no {', '.join(missing)}" if missing else None

    def rules(self, world):
        # An I/O thread that spins for its next event is never woken, and no tracepoint tells when its work begins.
        return [("iothread,id=iothread0", "iothread,id=iothread0,poll-max-ns=0")]

    def image(self, world):
        return world.image

    def vm(self, world):
        return {"vm.accel": "tcg", "vm.image": self.image(world), "vm.qemu": world.wrapper(self.rules(world)), "disk.iothread": "on",
                "disk.size": str(len(self.sizes) * PART), "disk.dir": world.work}

    def spans(self, spans):
        """A request's {span: ns} as it is judged."""
        return spans

    def inject(self, world, qemu, roles):
        pass

    def result(self, world, swapped):
        import bench
        reqs = bench.requests(world)
        return bench.judge(self, reqs, self.truth(world, reqs), swapped)


class Hog(Stage):
    """A real-time process takes the CPU of one of QEMU's threads at the moment at which that thread is woken (hog.c)."""
    rest = 0

    def __init__(self, name, expected, event, cond, cpu=QEMU_ON):
        super().__init__()
        self.name, self.expected, self.event, self.cond, self.cpu = name, expected, event, cond, cpu

    def inject(self, world, qemu, roles):
        import bench
        tids = {k: v[0] if v else 0 for k, v in roles.items()}
        disk = self.disk(world)
        tids["dev"] = os.major(disk) << 20 | os.minor(disk)
        self.out = world.path("hits")
        if os.path.exists(self.out):
            os.unlink(self.out)
        env = {**os.environ, "HOG_REST": str(self.rest)}
        p = world.start([world.hog, str(self.cpu), self.event, self.cond.format(**tids), self.out, "11", ",".join(map(str, self.sizes))],
                        stdout=open(world.path("hog.log"), "w"), env=env)
        if p.poll() is not None:
            raise bench.Failed("the hog did not start")

    def disk(self, world):
        return os.stat(world.work).st_dev

    def truth(self, world, reqs):
        """Requests in whose time the hog took the CPU just once."""
        clock = json.loads(world.collector("show", "--json", "last"))["clock"]["by_epoch"][0]
        hz = json.loads(world.collector("show", "--json", "last"))["clock"]["host_tsc_hz"]
        offset = (int(clock["lo"]) + int(clock["hi"])) // 2
        with open(self.out) as f:
            hits = sorted(tuple(int(x) for x in line.split()) for line in f)
        starts = [h[0] + offset for h in hits]
        out, several, none = {}, 0, 0
        for i, r in enumerate(reqs):
            a = bisect.bisect_left(starts, int(r["submit_tsc"]))
            b = bisect.bisect_right(starts, int(r["reap_tsc"]))
            if b - a == 1:
                out[i] = (hits[a][2], (hits[a][1] - hits[a][0]) * 1e9 / hz)
            elif b > a:
                several += 1
            else:
                none += 1
        if several or none:
            self.notes.append(f"{self.name}: of {len(reqs)} requests {none} had no hit, {several} had more than one: not judged")
        return out


def nbdkit(world, sock, *more):
    # Real-time, so that it sleeps as long as it was asked to.
    world.start(["chrt", "-f", "1", "taskset", "-c", str(QEMU_ON), "nbdkit", "-f", "-U", sock, *more])
    deadline = time.time() + 5
    while time.time() < deadline and not os.path.exists(sock):
        time.sleep(0.02)


class Parts(Stage):
    """The disk has as many parts as there are sizes, each on a block node of its own with its own delay: which request is delayed is
    told by its sector. A chain of qcow2 images, each with one part allocated, leads to the nodes."""
    sizes = SIZES

    def __init__(self, name, expected):
        super().__init__()
        self.name, self.expected = name, expected

    def nodes(self, world):
        """[(arguments before it, -blockdev text of node part<i>)]"""
        raise NotImplementedError

    def rules(self, world):
        extra, n = [], len(self.sizes)
        whole = n * PART
        for i, (before, text) in enumerate(self.nodes(world)):
            meta, data = world.path(f"part{i}.qcow2"), world.path(f"part{i}.data")
            for f in (meta, data):
                if os.path.exists(f):
                    os.unlink(f)
            world.tool("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={data}", meta, str(whole))
            world.tool("qemu-io", "-f", "qcow2", "-c", f"write -q {i * PART} {PART}", meta)
            extra += before + ["-blockdev", text]
            extra += ["-blockdev", f"driver=file,node-name=meta{i},filename={meta}"]
        for i in reversed(range(1, n)):
            below = f",backing=chain{i + 1}" if i + 1 < n else ""
            extra += ["-blockdev", f"driver=qcow2,node-name=chain{i},read-only=on,file=meta{i},data-file=part{i}{below}"]
        top = "driver=qcow2,node-name=scratch,file=meta0,data-file=part0,backing=chain1"
        return super().rules(world) + [("driver=raw,node-name=scratch,file=scratch-file", top), ("+", extra)]

    def truth(self, world, reqs):
        sizes = [self.sizes[int(r["sector"]) * 512 // PART] for r in reqs]
        return {i: (s, s) for i, s in enumerate(sizes)}


class NullCo(Parts):
    def nodes(self, world):
        return [([], f"driver=null-co,node-name=part{i},size={len(self.sizes) * PART},read-zeroes=on,latency-ns={200_000 + s}")
                for i, s in enumerate(self.sizes)]


class Nbd(Parts):
    sizes = [0, 1_000_000, 10_000_000]    # its delay filter counts whole milliseconds

    def nodes(self, world):
        out = []
        for i, s in enumerate(self.sizes):
            sock = world.path(f"nbd{i}")
            nbdkit(world, sock, "--filter=delay", "memory", str(len(self.sizes) * PART), f"rdelay={s // 1_000_000}ms")
            out.append(([], f"driver=nbd,node-name=part{i},server.type=unix,server.path={sock}"))
        return out

    def absent(self, world):
        return Stage.absent(self, world) or (None if shutil.which("nbdkit") else "no nbdkit")


class NbdStarved(Hog):
    """The server's thread loses its CPU when a request reaches its socket. To the collector it is the device without a file."""

    def rules(self, world):
        sock = world.path("nbd")
        nbdkit(world, sock, "memory", str(len(self.sizes) * PART))
        return super().rules(world) + [(f"driver=null-co,node-name=scratch,size={len(self.sizes) * PART},read-zeroes=on,latency-ns=0",
                                        f"driver=nbd,node-name=scratch,server.type=unix,server.path={sock}")]

    def vm(self, world):
        return {**super().vm(world), "disk.backend": "null-co"}

    rest = 2_000_000     # a request wakes two of its threads, one after the other
    absent = Nbd.absent


class GuestHog(Hog):
    """The same in the guest: the image's copy has the hog beside the agent. The guest's kernel has to be preemptible for a process to
    lose its CPU within a system call; which request is delayed is told by its sector."""

    def __init__(self, name, expected, event, cond):
        super().__init__(name, expected, event, cond)

    def image(self, world):
        d = world.path("image")
        os.makedirs(d, exist_ok=True)
        for f in ("vmlinux", "vmlinuz", "cmdline", "VERSION", "bifocal.img", "MANIFEST"):
            if not os.path.exists(f"{d}/{f}"):
                os.symlink(os.path.join(world.image, f), f"{d}/{f}")
        root = world.path("root")
        os.makedirs(root, exist_ok=True)
        shutil.copy(world.hog, f"{root}/init")
        shutil.copy(os.path.join(world.image, "init"), f"{root}/agent")
        with open(f"{root}/hog.args", "w") as f:
            f.write(f"0 {self.event} {self.cond or '-'} sector {len(self.sizes) * PART >> 9} {','.join(map(str, self.sizes))}\n")
        cpio = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0"], cwd=root, input=b"init\nagent\nhog.args\n",
                              capture_output=True, check=True).stdout
        # The kernel's unpacker of lz4 takes nothing after it.
        whole = subprocess.run(["lz4", "-dc", os.path.join(world.image, "initrd")], capture_output=True, check=True).stdout
        with open(f"{d}/initrd", "wb") as f:
            f.write(whole + b"\0" * (-len(whole) % 4) + cpio)
        return d

    def rules(self, world):
        return super().rules(world) + [("tsc=reliable", "tsc=reliable preempt=full")]

    def inject(self, world, qemu, roles):
        pass

    def truth(self, world, reqs):
        sizes = [self.sizes[int(r["sector"]) * 512 // PART] for r in reqs]
        return {i: (s, s) for i, s in enumerate(sizes)}


class Loop(Hog):
    """The host's disk is a loop device on a file that is an NBD server's (nbdfuse), and that server loses its CPU when
    a request reaches it."""
    rest = 2_000_000     # it wakes two of its threads

    def absent(self, world):
        for need in ("nbdkit", "nbdfuse", "losetup", "mkfs.ext4"):
            if not shutil.which(need):
                return f"no {need}"
        return Stage.absent(self, world) or (None if os.path.exists("/dev/fuse") and os.path.exists("/dev/loop-control") else "no fuse or loop")

    def vm(self, world):
        sock, slow, disk = world.path("loop.sock"), world.path("slow"), world.path("disk")
        nbdkit(world, sock, "memory", "192M")
        open(slow, "w").close()
        os.makedirs(disk, exist_ok=True)
        # It unmounts at its end.
        world.start(["chrt", "-f", "1", "taskset", "-c", str(VCPU_ON), "nbdfuse", slow, f"nbd+unix:///?socket={sock}"],
                    stderr=subprocess.DEVNULL)
        deadline = time.time() + 5
        while time.time() < deadline and not os.path.getsize(slow):
            time.sleep(0.05)
        loop = world.tool("losetup", "--direct-io=on", "-f", "--show", slow).strip()
        world.later(lambda: world.tool("losetup", "-d", loop))
        world.tool("mkfs.ext4", "-q", "-m", "0", loop)
        world.tool("mount", loop, disk)
        world.later(lambda: world.tool("umount", disk))
        return {**super().vm(world), "disk.dir": disk}

    def disk(self, world):
        return os.stat(world.path("disk")).st_dev


class StopCont(Stage):
    """The vCPU is paused: nothing may be stitched across. Requests are long enough that most pauses fall into one."""
    name, expected = "stop-cont", ()
    load = {"rate_iops": 90}
    pauses = (100_000, 1_000_000, 10_000_000)

    def rules(self, world):
        import bench
        return super().rules(world) + [bench.Qmp.rule(world)]

    def vm(self, world):
        return {**super().vm(world), "disk.backend": "null-co", "disk.latency": "8ms"}

    def inject(self, world, qemu, roles):
        import bench
        q = bench.Qmp(world)
        self.stops = []
        time.sleep(0.5)
        until = time.time() + world.seconds - 1.5
        while time.time() < until:
            size = self.pauses[len(self.stops) % len(self.pauses)]
            q.do("stop")
            time.sleep(size / 1e9)
            q.do("cont")
            self.stops.append(size)
            time.sleep(0.25)

    def result(self, world, swapped):
        import bench
        reqs = bench.requests(world)
        clock = json.loads(world.collector("show", "--json", "last"))["clock"]["by_epoch"]
        spans = [(r["service_ns"], r["cause"]) for r in reqs]
        # The guest's clock stands still in a pause, the device's does not: what took less than the device's latency was across one.
        hit = [c for ns, c in spans if ns < 8e6]
        across, stitched = len(hit), sum(c == "matched" for c in hit)
        gone = sum(c == "epoch" for _, c in spans)
        good = stitched == 0 and across > 0 and len(clock) == len(self.stops) + 1
        return [{"stage": self.name, "expected": [], "size_ns": 10e6, "ok_share": good, "stitched": stitched, "across": across,
                 "text": f"{len(self.stops)} pauses, {len(clock)} epochs; {across} requests certainly across a pause, {stitched} of them attributed; "
                         f"{gone} of {len(reqs)} quarantined"}]


class Throttle(Stage):
    """QEMU's throttle filter under a closed loop: requests leave it one interval after the other, so that each waits for what the interval
    has left. The limit changes every second; against the first, 10 ms, the others' intervals are longer by 0.1, 1 and 10 ms. (Without
    any limit the loop is warm and faster in all its parts: no delay would be known.)"""
    load = {"rate_iops": 0}
    limits = (100, 99, 91, 50)
    name, expected = "qemu-throttle", ("vmm.submit",)

    def rules(self, world):
        import bench
        return super().rules(world) + [bench.Qmp.rule(world), ("file=scratch-file", "file=slowed"),
                                       ("+", ["-object", "throttle-group,id=slow"]),
                                       ("after", "node-name=scratch-file,",
                                        ["-blockdev", "driver=throttle,node-name=slowed,throttle-group=slow,file=scratch-file"])]

    def inject(self, world, qemu, roles):
        import bench
        q = bench.Qmp(world)
        self.slices = []
        until = time.time() + world.seconds - 1
        while time.time() < until:
            limit = self.limits[len(self.slices) % len(self.limits)]
            q.do("qom-set", path="/objects/slow", property="limits", value={"iops-total": limit})
            time.sleep(0.3)          # the bucket lets a tenth of a second's requests pass first
            a = bench.rdtsc()
            time.sleep(0.7)
            self.slices.append((a, bench.rdtsc(), limit))
        q.do("qom-set", path="/objects/slow", property="limits", value={"iops-total": 0})

    def truth(self, world, reqs):
        clock = json.loads(world.collector("show", "--json", "last"))["clock"]
        offset = (int(clock["by_epoch"][0]["lo"]) + int(clock["by_epoch"][0]["hi"])) // 2
        out = {}
        for i, (r, after) in enumerate(zip(reqs, reqs[1:])):
            t, then = int(r["submit_tsc"]) - offset, int(after["submit_tsc"]) - offset
            for a, b, limit in self.slices:
                if a <= t and then <= b:
                    delay = 1e9 / limit - 1e9 / self.limits[0]
                    out[i] = (round(delay, -5), delay)
        return out


class Quota(Stage):
    """A CPU quota on the vCPU's thread, with a guest that never idles: once a period the thread is stopped for what the quota lacks, wherever
    the request then is. So all phases that need the vCPU count as one here. When it was off its CPU, and for how long, is taken from
    the kernel's sched_switch, traced apart. Pauses shorter than a tick are not to be had from a quota."""
    name, expected = "cpu-quota", ("vCPU",)
    load = {"rate_iops": 300}
    limits = ((-1, 30_000), (20_000, 30_000))     # quota, period; µs
    group = "/sys/fs/cgroup/cpu/bifocal-attribution"
    instance = "/sys/kernel/tracing/instances/attribution-bench"

    def absent(self, world):
        return Stage.absent(self, world) or (None if os.path.exists("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") else "no cpu controller of cgroup v1")

    def vm(self, world):
        return {**super().vm(world), "guest.idle": "poll"}

    def write(self, name, text):
        with open(f"{self.group}/{name}", "w") as f:
            f.write(str(text))

    def inject(self, world, qemu, roles):
        vcpu = roles["vcpu"][0]
        os.makedirs(self.group, exist_ok=True)
        world.later(lambda: os.rmdir(self.group))
        os.sched_setscheduler(vcpu, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, vcpu, -20)
        self.write("cpu.shares", 262144)       # it shall want of its quota alone
        self.write("tasks", vcpu)
        os.mkdir(self.instance)
        world.later(lambda: os.rmdir(self.instance))
        for name, text in (("trace_clock", "x86-tsc"), ("buffer_size_kb", "8192"),
                           ("events/sched/sched_switch/filter", f"prev_pid=={vcpu}||next_pid=={vcpu}"),
                           ("events/sched/sched_switch/enable", "1")):
            with open(f"{self.instance}/{name}", "w") as f:
                f.write(text)
        until, on = time.time() + world.seconds - 1, False
        while time.time() < until:
            quota, period = self.limits[on]
            on = not on
            self.write("cpu.cfs_quota_us", -1)
            self.write("cpu.cfs_period_us", period)
            self.write("cpu.cfs_quota_us", quota)
            time.sleep(1)
        self.write("cpu.cfs_quota_us", -1)
        with open(f"{self.instance}/tracing_on", "w") as f:
            f.write("0")
        with open(f"{self.instance}/trace") as f:
            found = re.findall(r" (\d+): sched_switch: .*?prev_pid=(\d+) ", f.read())
        self.switches = sorted((int(t), int(pid) == vcpu) for t, pid in found)
        self.switches = [(out, t) for t, out in self.switches]

    def spans(self, spans):
        out = {k: v for k, v in spans.items() if not k.startswith(("guest.", "cross."))}
        return {**out, "vCPU": sum(v for k, v in spans.items() if k not in out)}

    def truth(self, world, reqs):
        clock = json.loads(world.collector("show", "--json", "last"))["clock"]
        offset = (int(clock["by_epoch"][0]["lo"]) + int(clock["by_epoch"][0]["hi"])) // 2
        pauses, left = [], None
        for out, t in self.switches:
            if out:
                left = t
            elif left:
                pauses.append((left + offset, (t - left) * 1e9 / clock["host_tsc_hz"]))
                left = None
        starts = [p[0] for p in pauses]
        out = {}
        for i, r in enumerate(reqs):
            a, b = bisect.bisect_left(starts, int(r["submit_tsc"])), bisect.bisect_right(starts, int(r["reap_tsc"]))
            off = [ns for _, ns in pauses[a:b]]
            long = sum(ns > 2e6 for ns in off)
            if long < 2:
                out[i] = (10_000_000 * long, sum(off))
        return out


ALL = [
    # The vCPU's write wakes the I/O thread; that it has been woken is seen when it calls virtio_queue_notify.
    Hog("iothread-kick", ("cross.kick",), "sched:sched_waking", "pid=={iothread} && common_pid=={vcpu}"),
    # The I/O thread has handed the request to a worker; host_submit is the worker's system call.
    Hog("worker", ("vmm.submit",), "sched:sched_waking", 'comm=="worker" && common_pid=={iothread}'),
    # The device has answered; host_reap is the end of the worker's system call, which it can only reach on its CPU.
    Hog("host-wakeup", ("host.completion",), "block:block_rq_complete", "dev=={dev}"),
    # The worker's system call is over (host_reap) and it wakes the I/O thread, which completes the request (device_done).
    Hog("iothread-completion", ("vmm.complete",), "sched:sched_waking", "pid=={iothread} && common_pid!={vcpu} && common_pid!={main}"),
    # Without KVM's irqfd the main loop carries the I/O thread's interrupt to the vCPU; irq_inject is the I/O thread's sign to it.
    Hog("interrupt", ("cross.inject",), "sched:sched_waking", "pid=={main} && common_pid=={iothread}"),
    # QEMU's own device of known latency: nothing of it is seen between the device model's start and its end.
    NullCo("null-co", ("vmm.submit..vmm.complete",)),
    # The NBD client's sendmsg and recvmsg are no system calls on a disk: again from device_start to device_done.
    Nbd("nbd", ("vmm.submit..vmm.complete",)),
    NbdStarved("nbd-starved", ("vmm.submit..vmm.complete",), "sched:sched_waking", 'comm~"nbd*" && common_pid=={iothread}'),
    # The submitting thread loses its CPU once the bio is in the guest's block layer, before it is issued.
    GuestHog("guest-preempted", ("guest.schedule",), "block:block_bio_queue", ""),
    # The guest's CPU goes to somebody else when the request is complete, before the application runs again.
    GuestHog("guest-wakeup", ("guest.reap",), "block:block_rq_complete", ""),
    # The vCPU's CPU is taken when the I/O thread signals the interrupt: stolen time. The guest's handler runs when it is given back.
    Hog("vcpu-stolen", ("cross.inject",), "sched:sched_waking", "pid=={main} && common_pid=={iothread}", cpu=VCPU_ON),
    # In the phases that need the vCPU, together: everything but vmm and host.
    Quota(),
    # From device_start to the worker's system call.
    Throttle(),
    # The host's device is the loop device: from its request's issue to its completion.
    Loop("host-disk", ("host.device",), "sched:sched_waking", 'comm~"nbdkit*"'),
    # Quarantined, not attributed.
    StopCont(),
]
