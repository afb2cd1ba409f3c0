// A program: boots Linux and runs its benchmark in one thread, without I/O or real time, plain or recorded,
// the two taking turns at the same schedule of slices; prints the CPU seconds of each round. What the
// recorder itself costs, whatever else the host does.
import { readFileSync } from 'node:fs';
import { LogWriter } from '../../firmware/lockstep/log-file.ts';
import { Recorder } from '../../firmware/lockstep/recorder.ts';
import { linuxGuest } from '../guests/linux/assemble.ts';
import { Rig } from '../lockstep/rig.ts';

const SLICE_INSTRUCTIONS = 500_000n;
const STEP_NS = 4_000_000n;
const DIGEST_INTERVAL_NS = 250_000_000n;
const REFRESH_NS = 25_000_000n;
const rounds = Number(process.argv[2] ?? '3');
const guest = linuxGuest();
const files = {
  kernel: readFileSync(guest.kernel),
  initrd: readFileSync(guest.initrd),
  commandLine:
    'console=ttyS0 quiet acpi=off noapic nolapic reboot=k lpj=4000000 twinstep.run=bench',
};

function cpuSeconds(isRecorded: boolean): number {
  const rig = new Rig();
  const log = isRecorded ? new LogWriter({}) : undefined;
  const { machine } = rig;
  const recorder = new Recorder({
    machine,
    tap: rig.tap,
    digest: isRecorded ? rig.digest : undefined,
    append: (entry) => log?.append(entry),
    onOutput: () => {},
    onDiskRequest: (request) => rig.disk.submit(request),
  });
  rig.load(files);
  const before = process.cpuUsage();
  let [digestAt, refreshAt] = [0n, 0n];
  while (machine.stopReason === undefined) {
    const isIdle = recorder.runSlice(machine.position + SLICE_INSTRUCTIONS) === 'idle';
    for (const id of rig.disk.waiting) recorder.inject(rig.disk.take(id));
    const nowNs = machine.nowNs();
    const ns = isIdle ? (machine.nextDeadlineNs() ?? nowNs + STEP_NS) : nowNs;
    recorder.inject({ kind: 'clock-step', ns, multiplier: 8n << 32n });
    if (isRecorded && nowNs >= refreshAt) {
      refreshAt = nowNs + REFRESH_NS;
      rig.digest.refresh();
    }
    if (nowNs >= digestAt) {
      digestAt = nowNs + DIGEST_INTERVAL_NS;
      recorder.writeDigest();
      log?.take();
    }
  }
  const { user, system } = process.cpuUsage(before);
  rig.close();
  return (user + system) / 1e6;
}

const seconds = { plain: [] as number[], recorded: [] as number[] };
cpuSeconds(true); // compiles what both use
for (let round = 0; round < rounds; round++) {
  const order =
    round % 2 === 0 ? (['plain', 'recorded'] as const) : (['recorded', 'plain'] as const);
  for (const which of order) seconds[which].push(cpuSeconds(which === 'recorded'));
}
console.log(JSON.stringify(seconds));
