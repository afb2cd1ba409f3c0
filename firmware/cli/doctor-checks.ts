// What `twinstep doctor` looks at: each check answers with findings, in words, and what to do. A check
// changes nothing that matters: it does not arm the watchdog, does not raise the boot count.
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { FRAME_BYTES_BASE } from '../../logchan/limits.ts';
import type { probeKvm } from '../../native/index.ts';
import { GatewayProbe } from '../../watchdog/gateway-probe.ts';
import { DEFAULT_LIMITS, PATHS } from '../../watchdog/limits.ts';
import { RoleRecordStore } from '../../watchdog/role-record-store.ts';
import { SerialPortLine } from '../../watchdog/serial-port.ts';
import { pairingKeyOf } from '../board/config/pairing-key.ts';
import { secretTrouble } from '../host/secret-file.ts';
import { checkEngine, checkLandings, checkSmis, checkTranslator } from './doctor-engine.ts';
import { type Finding, find, readText } from './doctor-finding.ts';

export interface DoctorOptions {
  readonly state?: string | undefined;
  readonly key?: string | undefined;
  readonly serial?: string | undefined;
  readonly baud: number;
  readonly log?: string | undefined;
  readonly front?: string | undefined;
  readonly gateway?: string | undefined;
  readonly watchdog: string;
  /** Where /sys and /proc are; tests bring their own. */
  readonly sys: string;
  readonly proc: string;
  /** Land on many targets: some seconds. */
  readonly commission?: boolean;
  /** Tries this host's KVM; tests bring their own. */
  readonly probe?: typeof probeKvm;
  /** How long to listen on the line and to watch the scheduler. */
  readonly watchMs: number;
}

export async function runChecks(options: DoctorOptions): Promise<Finding[]> {
  return [
    ...checkState(options),
    ...checkKey(options),
    ...(await checkSerial(options)),
    ...logCards(options).flatMap((card) => checkNic(options, 'log link', card, '--log')),
    ...checkNic(options, 'front LAN', options.front, '--front'),
    ...checkSharedNic(options),
    ...(await checkGateway(options)),
    ...checkWatchdog(options),
    ...(await checkStalls(options)),
    ...checkLimitsInForce(),
    ...checkEngine(options.sys, options.probe),
    checkTranslator(),
    ...(options.commission === true ? [checkLandings()] : []),
    ...checkSmis(options.sys),
  ];
}

// --- disk ----------------------------------------------------------------------------------------

function checkState({ state }: DoctorOptions): Finding[] {
  const area = 'role record';
  if (state === undefined) return [find(area, 'fail', 'no folder named', 'name it with --state')];
  if (!existsSync(state)) {
    return [
      find(area, 'fail', `${state} does not exist`, 'create it on a disk that survives power loss'),
    ];
  }
  const { record, boot, copies, trouble } = new RoleRecordStore(state).peek();
  const what = `generation ${record.generation}, ${record.standing}, start ${boot}`;
  const next =
    'pair the boards, or let the peer lead; `force-lead` if this disk is the one to trust';
  const known = record.standing !== 'unknown';
  return [
    trouble === null
      ? find(area, known ? 'ok' : 'warn', what, known ? '' : next)
      : find(area, boot === 0 && !copies.includes('damaged') ? 'warn' : 'fail', trouble, next),
    checkDisk(state),
  ];
}

/** The time to make a write safe is part of every takeover. */
function checkDisk(folder: string): Finding {
  const area = 'disk';
  const file = join(folder, '.doctor');
  const times: number[] = [];
  try {
    for (let n = 0; n < 8; n++) {
      const begunMs = performance.now();
      const fd = openSync(file, 'w');
      writeSync(fd, 'x'.repeat(256));
      fsyncSync(fd);
      closeSync(fd);
      times.push(performance.now() - begunMs);
    }
    rmSync(file);
  } catch (error) {
    return find(
      area,
      'fail',
      `cannot write: ${(error as Error).message}`,
      'mend or replace the disk',
    );
  }
  const worstMs = Math.max(...times);
  const found = `a safe write takes up to ${worstMs.toFixed(1)} ms`;
  return worstMs <= 20
    ? find(area, 'ok', found)
    : find(
        area,
        'warn',
        found,
        'every takeover waits this long: use a disk with a write cache that survives power loss',
      );
}

function checkKey({ key }: DoctorOptions): Finding[] {
  const area = 'pairing key';
  if (key === undefined) return [find(area, 'warn', 'no file named', 'name it with --key')];
  try {
    const wrong = wrongKey(readFileSync(key));
    if (wrong !== null) return [find(area, 'fail', `${key}: ${wrong}`, 'pair the boards again')];
    if (secretTrouble(key) !== null) {
      return [
        find(
          area,
          'fail',
          `${key} can be read by others`,
          `chmod 600 ${key}, and pair again if they did`,
        ),
      ];
    }
    return [find(area, 'ok', 'there, and for this board alone')];
  } catch {
    return [find(area, 'fail', `${key} cannot be read`, 'pair the boards')];
  }
}

function wrongKey(bytes: Uint8Array): string | null {
  try {
    pairingKeyOf(bytes);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

// --- paths ---------------------------------------------------------------------------------------

async function checkSerial({ serial, baud, watchMs }: DoctorOptions): Promise<Finding[]> {
  const area = 'serial line';
  if (serial === undefined) return [find(area, 'fail', 'no port named', 'name it with --serial')];
  if (!existsSync(serial)) {
    return [
      find(
        area,
        'fail',
        `${serial} does not exist`,
        'check the BIOS setting of the port and the driver',
      ),
    ];
  }
  const line = new SerialPortLine({ path: serial, baudRate: baud, reopenMs: 60_000 });
  try {
    const why = await new Promise<string | null>((resolve) => {
      line.onUp = () => resolve(null);
      line.onDown = resolve;
      line.start();
    });
    if (why !== null) {
      const held = /lock/i.test(why);
      const todo = held
        ? 'stop what holds it (the board itself, or a getty)'
        : 'is it a serial port, and may you open it?';
      return [find(area, held ? 'warn' : 'fail', `${serial} does not open: ${why}`, todo)];
    }
    let bytes = 0;
    line.onData = (chunk) => {
      bytes += chunk.length;
    };
    await new Promise((resolve) => setTimeout(resolve, watchMs));
    const modem = await line.modemLines();
    const heard =
      bytes > 0 ? `${bytes} bytes heard in ${watchMs} ms` : `nothing heard in ${watchMs} ms`;
    const lines =
      modem === null
        ? 'no modem lines'
        : `DSR ${modem.dsr ? 'up' : 'down'}, DCD ${modem.dcd ? 'up' : 'down'}, CTS ${modem.cts ? 'up' : 'down'}`;
    const cable = modem !== null && !modem.dsr && !modem.dcd && !modem.cts;
    const todo = cable
      ? 'no line is up: is the cable in, a null-modem, and the peer switched on?'
      : 'start the peer, or check that the cable is a null-modem';
    const found = `${serial} at ${baud} baud opens; ${heard}; ${lines}`;
    return [find(area, bytes > 0 ? 'ok' : 'warn', found, bytes > 0 ? '' : todo)];
  } finally {
    await line.stop();
  }
}

function checkNic(
  options: DoctorOptions,
  area: string,
  name: string | undefined,
  flag: string,
): Finding[] {
  if (name === undefined) return [find(area, 'fail', 'no interface named', `name it with ${flag}`)];
  const folder = join(options.sys, 'class/net', name);
  if (!existsSync(folder)) {
    return [
      find(
        area,
        'fail',
        `${name} does not exist`,
        'check the name with `ip link` and the driver with `dmesg`',
      ),
    ];
  }
  const state = readText(folder, 'operstate') ?? 'unknown';
  const carrier = readText(folder, 'carrier');
  const speed = Number(readText(folder, 'speed') ?? '-1');
  const mtu = readText(folder, 'mtu');
  const found = `${name}: ${carrier === '1' ? 'carrier' : 'no carrier'}, ${state}, ${speed > 0 ? `${speed} Mbit/s, ` : ''}MTU ${mtu}`;
  const findings: Finding[] = [];
  if (carrier !== '1') {
    findings.push(
      find(area, 'fail', found, 'plug the cable in, switch the peer on, or `ip link set up`'),
    );
  } else if (area === 'log link' && Number(mtu) < FRAME_BYTES_BASE) {
    const todo = `set it to ${FRAME_BYTES_BASE} or more, best 9000 on both boards: the log link refuses less`;
    findings.push(find(area, 'fail', found, todo));
  } else if (area === 'log link' && speed > 0 && speed < 1000) {
    findings.push(
      find(area, 'warn', found, 'the log wants 1 Gbit/s or more: check cable and peer'),
    );
  } else findings.push(find(area, 'ok', found));
  if (!hasNetRaw(options.proc)) {
    findings.push(
      find(area, 'fail', 'no right to raw frames', 'run with CAP_NET_RAW (the firmware does)'),
    );
  }
  return findings;
}

const CAP_NET_RAW = 13n;
function hasNetRaw(proc: string): boolean {
  const effective = /CapEff:\s*([0-9a-f]+)/.exec(readText(proc, 'self/status') ?? '')?.[1];
  return effective === undefined || ((BigInt(`0x${effective}`) >> CAP_NET_RAW) & 1n) === 1n;
}

/** Those named, or the one that should have been. */
function logCards({ log }: DoctorOptions): (string | undefined)[] {
  return log === undefined ? [undefined] : log.split(',');
}

function checkSharedNic(options: DoctorOptions): Finding[] {
  return logCards(options).flatMap((card) => checkShared(card, options));
}

/** One chip that fails must not take two paths with it. */
function checkShared(log: string | undefined, { front, sys }: DoctorOptions): Finding[] {
  if (log === undefined || front === undefined) return [];
  const area = 'independence';
  if (log === front) {
    return [
      find(area, 'fail', 'log link and front LAN are one interface', 'give the log link its own'),
    ];
  }
  try {
    const chip = (name: string) =>
      realpathSync(join(sys, 'class/net', name, 'device')).replace(/\.\d+$/, '');
    return chip(log) === chip(front)
      ? [
          find(
            area,
            'warn',
            'log link and front LAN are ports of one chip',
            'use two chips if the board has them',
          ),
        ]
      : [find(area, 'ok', 'log link and front LAN are on two chips')];
  } catch {
    return [];
  }
}

async function checkGateway({ gateway, front }: DoctorOptions): Promise<Finding[]> {
  const area = 'witness';
  if (gateway === undefined || front === undefined) {
    const todo = 'name it with --gateway: without a witness a dead backup stops the primary';
    return [find(area, 'warn', 'no gateway named', todo)];
  }
  const probe = new GatewayProbe({ interfaceName: front, gateway });
  let answers = 0;
  const ASKED = 20;
  for (let n = 0; n <= ASKED; n++) {
    if (probe.probe()) answers += 1;
    await new Promise((resolve) => setTimeout(resolve, DEFAULT_LIMITS.witnessProbeMs));
  }
  const { trouble } = probe;
  probe.stop();
  if (trouble !== null) return [find(area, 'fail', trouble, 'see front LAN')];
  const found = `${gateway} answered ${answers} of ${ASKED} questions by ARP`;
  if (answers === 0)
    return [find(area, 'fail', found, 'wrong address, or the front LAN does not reach it')];
  if (answers < ASKED - 4)
    return [find(area, 'warn', found, 'slow or lossy: choose a host that answers at once')];
  return [find(area, 'ok', found)];
}

// --- this machine --------------------------------------------------------------------------------

function checkWatchdog({ watchdog, sys }: DoctorOptions): Finding[] {
  const area = 'watchdog';
  if (!existsSync(watchdog)) {
    const todo =
      'load the driver (iTCO_wdt, sp5100_tco, wdat_wdt, i6300esb, ...) or enable it in the BIOS; a board without one may not lead';
    return [find(area, 'fail', `${watchdog} does not exist`, todo)];
  }
  try {
    accessSync(watchdog, constants.W_OK);
  } catch {
    return [
      find(area, 'fail', `${watchdog} cannot be opened for writing`, 'run with the right to it'),
    ];
  }
  const number = /(\d+)$/.exec(watchdog)?.[1] ?? '0';
  const folder = join(sys, `class/watchdog/watchdog${number}`);
  const identity = readText(folder, 'identity');
  if (identity === null) {
    const todo = 'not opened, because opening arms it; the board reads it back when it starts';
    return [find(area, 'warn', `${watchdog} is there, the kernel tells nothing about it`, todo)];
  }
  const timeout = Number(readText(folder, 'timeout') ?? '0');
  const reset = (Number(readText(folder, 'bootstatus') ?? '0') & 0x20) !== 0;
  const hard = readText(folder, 'nowayout') === '1';
  const found = `${identity}, ${timeout} s now${hard ? ', cannot be stopped' : ''}`;
  const soft = /software watchdog/i.test(identity);
  const findings = [
    soft
      ? find(area, 'warn', found, 'a software watchdog dies with the kernel: use a hardware one')
      : find(area, 'ok', found),
  ];
  if (reset)
    findings.push(
      find(area, 'warn', 'the last start was a reset by the watchdog', 'look into the log for why'),
    );
  return findings;
}

/** A board that stalls by itself doubts, and cannot act on silence while it does. */
async function checkStalls({ watchMs }: DoctorOptions): Promise<Finding[]> {
  const area = 'scheduling';
  const { stallMs, tickMs } = DEFAULT_LIMITS;
  let worstMs = 0;
  let lastMs = performance.now();
  for (const endMs = lastMs + watchMs; lastMs < endMs; ) {
    await new Promise((resolve) => setTimeout(resolve, tickMs));
    const nowMs = performance.now();
    worstMs = Math.max(worstMs, nowMs - lastMs - tickMs);
    lastMs = nowMs;
  }
  const found = `ticks came at most ${worstMs.toFixed(1)} ms late in ${watchMs} ms; ${stallMs} ms counts as a sleep`;
  return [
    worstMs < stallMs / 2
      ? find(area, 'ok', found)
      : find(area, 'warn', found, 'something takes the processor: give the board its own cores'),
  ];
}

function checkLimitsInForce(): Finding[] {
  const { silentMs, heartbeatMs, watchdogTimeoutMs, petMs, seekMs } = DEFAULT_LIMITS;
  const paths = PATHS.map((path) => `${path} ${heartbeatMs[path]}/${silentMs[path]}`).join(', ');
  const found = `heartbeat/silence in ms: ${paths}; watchdog ${watchdogTimeoutMs / 1000} s, petted every ${petMs / 1000} s; cold start waits ${seekMs / 1000} s`;
  return [find('limits', 'ok', found)];
}
