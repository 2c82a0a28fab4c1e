-- SPDX-License-Identifier: GPL-2.0-or-later
-- Where CPU time goes: in the guest by CPU and mode, on the host by role of QEMU's threads.
--
-- Totals are counters, so that a window's sum is exact whatever the sampling; both halves read them in start()
-- and in stop() as well. The gauges are the same figures as shares of the time between two samples.
-- The guest's kernel counts in ticks of 10 ms: over an interval of 200 ms its percentages move in steps of 5.
-- The host's come from the scheduler's own run times, in ns.

local probe = require "bifocal.probe"

local TICK_NS = 10000000 -- USER_HZ is 100 on every x86 Linux
local MODES = { "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal" }
local ROLES = { "vcpu", "iothread", "worker", "main" }

-- Guest: /proc/stat, "cpu0 user nice system idle iowait irq softirq steal …", in ticks since boot.
-- Time that a nested guest ran is in user and nice already.

local function read_cpus(ctx)
  local cpus = {}
  for line in ctx:lines("/proc/stat") do
    local cpu, rest = line:match("^cpu(%d+) (.*)$")
    if cpu then
      local ticks = {}
      for n in rest:gmatch("%d+") do
        ticks[#ticks + 1] = math.tointeger(n)
        if #ticks == #MODES then break end
      end
      cpus[math.tointeger(cpu)] = ticks
    end
  end
  return cpus
end

local function emit_share(ctx, cpu, now, last)
  local passed, idle = 0, 0
  for i, mode in ipairs(MODES) do
    -- The kernel lets idle and iowait step back at times; a step back is no time passed.
    local ticks = math.max(0, (now[i] or 0) - (last[i] or 0))
    passed = passed + ticks
    if mode == "idle" or mode == "iowait" then idle = idle + ticks end
  end
  if passed == 0 then return end -- sampled twice within a tick: nothing to divide by
  local steal = math.max(0, (now[8] or 0) - (last[8] or 0))
  -- Stolen time was wanted and not had: neither idle nor busy.
  ctx:emit("busy", 100.0 * (passed - idle - steal) / passed, { cpu = cpu })
  ctx:emit("steal", 100.0 * steal / passed, { cpu = cpu })
end

local function sample_guest(ctx)
  local cpus = read_cpus(ctx)
  for cpu, now in pairs(cpus) do
    for i, mode in ipairs(MODES) do
      ctx:emit("time", (now[i] or 0) * TICK_NS, { cpu = cpu, mode = mode })
    end
    local last = ctx.last and ctx.last[cpu]
    if last then emit_share(ctx, cpu, now, last) end
  end
  ctx.last = cpus
end

-- Host: run time of each QEMU thread in ns, summed by role. Threads come and go (workers mostly), so what is summed is
-- each thread's change: all of it for a thread that was not there at the start. What a thread ran
-- after its last sample is in no role, but in vmm_cpu_process.

-- utime and stime, in ticks; the command name before them may contain anything.
local function stat_ns(text)
  local fields = text:match("^.*%) %a (.*)$")
  local i, ticks = 0, 0
  for n in (fields or ""):gmatch("%S+") do
    i = i + 1
    if i == 11 or i == 12 then ticks = ticks + n end
    if i == 12 then return ticks * TICK_NS end
  end
end

local function thread_ns(ctx, pid, tid)
  local dir = ("/proc/%d/task/%d/"):format(pid, tid)
  local text = ctx:read(dir .. "schedstat")
  local ns = text and math.tointeger(text:match("^(%d+) "))
  if ns then return ns end
  text = ctx:read(dir .. "stat") -- a kernel without scheduler statistics
  return text and stat_ns(text)
end

local function account_threads(ctx, pid, state)
  local seen = {}
  for _, t in ipairs(ctx.vm.threads) do
    local ns = thread_ns(ctx, pid, t.tid)
    if ns then -- else it ended between the list and the read
      local last = state.threads[t.tid] or (state.started and 0 or ns)
      if ns < last then last = 0 end -- another thread with an old one's number
      state.total[t.role] = (state.total[t.role] or 0) + ns - last
      seen[t.tid] = ns
    end
  end
  state.threads = seen
  state.started = true
end

local function emit_roles(ctx, state, clock)
  local passed = state.clock and clock - state.clock or 0
  for _, role in ipairs(ROLES) do
    local total = state.total[role]
    if total then
      ctx:emit("vmm_cpu", total, { role = role })
      if passed > 0 then
        ctx:emit("vmm_cpu_percent", 100.0 * (total - (state.last[role] or 0)) / passed, { role = role })
      end
      state.last[role] = total
    end
  end
  state.clock = clock
end

local function emit_process(ctx, pid, state)
  local text = ctx:read(("/proc/%d/stat"):format(pid))
  local ns = text and stat_ns(text)
  if ns then
    state.process = state.process or ns
    ctx:emit("vmm_cpu_process", math.max(0, ns - state.process))
  end
end

local function sample_host(ctx)
  local pid = ctx.vm.pid
  if not pid then return end -- attached to a guest whose QEMU is not ours
  local state = ctx.state
  local clock = ctx:clock()
  account_threads(ctx, pid, state)
  emit_roles(ctx, state, clock)
  emit_process(ctx, pid, state)
end

local function start_host(ctx)
  ctx.state = { threads = {}, total = {}, last = {} }
  sample_host(ctx)
end

return probe {
  api = 1,
  name = "cpu",
  version = "1.0",
  license = "GPL-2.0-or-later",
  summary = "CPU time in the guest by CPU and mode, and on the host by role of QEMU's threads",
  options = {
    interval = { type = "duration", default = "200ms", help = "sampling period" },
  },
  metrics = {
    busy = { kind = "gauge", unit = "percent", dims = { "cpu" }, help = "share of the interval that a guest CPU ran something" },
    steal = { kind = "gauge", unit = "percent", dims = { "cpu" }, help = "share of the interval that a guest CPU was ready and not run" },
    time = { kind = "counter", unit = "ns", dims = { "cpu", "mode" }, help = "time of a guest CPU by mode since boot, in ticks of 10 ms" },
    vmm_cpu = { kind = "counter", unit = "ns", dims = { "role" }, help = "CPU time of QEMU's threads by role since the probe's start" },
    vmm_cpu_percent = { kind = "gauge", unit = "percent", dims = { "role" }, help = "the same as a share of the interval; 100 is one host CPU" },
    vmm_cpu_process = { kind = "counter", unit = "ns", help = "CPU time of the whole QEMU process since the probe's start, threads that ended included, in ticks of 10 ms" },
  },
  requires = { guest = { "file:/proc/stat" }, host = { "file:/proc/self/stat" } },
  guest = { start = sample_guest, sample = sample_guest, stop = sample_guest },
  host = { start = start_host, sample = sample_host, stop = sample_host },
}
