// A status of a pair in which all is well, for tests that change one thing of it.
import { NO_CHECK, NO_SYNC } from '../../../firmware/board/replication/types.ts';
import type { Status } from '../../../firmware/board/status.ts';

const path = {
  state: 'talks',
  heardMs: 3,
  peerHears: true,
  sent: 1_200,
  accepted: 1_199,
  rejected: 0,
} as const;

const config = {
  hash: '1f'.repeat(32),
  pairHash: '2e'.repeat(32),
  changedMs: Date.UTC(2026, 1, 3, 4, 5, 6),
};

export function healthyStatus(): Status {
  return {
    format: 1,
    board: { name: 'press-7-a', side: 'a', pid: 100, boot: 12, upMs: 7_800_000 },
    role: 'protected',
    pairState: 'RUN-Redundant',
    redundancy: {
      words: 'any single fault is survived',
      faults: [
        { fault: 'death-here', what: 'death of press-7-a', survived: true, why: null },
        { fault: 'log', what: 'loss of the log link', survived: true, why: null },
      ],
    },
    why: 'the peer is in step',
    sinceMs: 7_500_000,
    generation: 5,
    record: { generation: 5, standing: 'shared' },
    safeToRemove: { ok: false, why: 'it serves: switch over first' },
    paths: { log: path, serial: { ...path, heardMs: 14 }, front: path },
    witness: { kind: 'gateway', address: '192.168.10.1', answers: true, trouble: null },
    watchdog: {
      kind: 'device',
      armed: true,
      why: '',
      identity: 'i6300ESB timer',
      timeoutMs: 10_000,
      causedLastReset: false,
    } as Status['watchdog'],
    health: { ok: true, words: [] },
    lagMs: 2.4,
    logKbps: 38,
    gate: { mode: 'acked', waiting: 0, oldestMs: 0 },
    link: { up: true, rttUs: 92, frameBytes: 1_500, paths: [] },
    sync: { ...NO_SYNC, isAllowed: true, rateMibS: 0 },
    check: NO_CHECK,
    lastTakeover: {
      cause: 'the log link and both other paths fell silent',
      kind: 'takeover',
      generation: 5,
      wallMs: Date.UTC(2026, 2, 1, 4, 5, 6),
      timeline: { silenceMs: 45, gateMs: 3, drainedMs: 1, liveMs: 2, firstOutputMs: 4 },
      blackoutMs: 48,
    },
    guest: {
      state: 'leading',
      position: '123456789012',
      icount: '123456789012',
      virtualNs: '7500000000000',
      lives: 1,
      clock: { offMs: -0.2, worstMs: -147.4, peerErrorMs: 0.3 },
      engine: { kind: 'soft', why: 'asked for' },
    },
    disks: [{ path: '/var/lib/twinstep/disk0.img', trouble: null }],
    nets: [
      {
        ...{ tap: 'tap0', groupDropped: 0, dropped: 0, droppedPerS: 0 },
        ...{ isStorm: false, source: null },
      },
    ],
    versions: { firmware: '0.1.0' },
    config: { running: config, file: config, trial: null },
    peer: {
      role: 'backup',
      boot: 9,
      generation: 5,
      standing: 'shared',
      session: 4,
      ready: true,
      witness: true,
      isHeard: true,
      health: 0,
      position: '123456780000',
      icount: '123456780000',
      about: { ...config, hash: '3d'.repeat(32), name: 'press-7-b', firmware: '0.1.0' },
    },
    lastEvent: null,
    alarms: [],
    ticks: {} as Status['ticks'],
    scada: null,
    clock: null,
  };
}
