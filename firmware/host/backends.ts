// The backends of one guest on this host: disks, network cables and serial lines. Opens them all or
// none, delivers what the guest put out, hands in what comes; it knows no machine and no log.
import type { DiskRequest, Input, SerialPortName } from '../devices/contracts.ts';
import type { GuestDevices } from '../machine/plug.ts';
import { DiskFile } from './disk-file.ts';
import type { DiskSpec, SerialLineSpec } from './guest-notation.ts';
import type { NetLink, NetLinkEvents } from './net/link.ts';
import { socketLink } from './net/socket.ts';
import { tapLink } from './net/tap.ts';
import type { SerialLine, SerialLineEvents } from './serial/line.ts';
import { LineStates } from './serial/line-states.ts';
import { portLine } from './serial/port.ts';
import { ptyLine } from './serial/pty.ts';
import { socketLine } from './serial/socket.ts';
import { stdioLine } from './serial/stdio.ts';
import type { OutputItem } from './vcpu/messages.ts';

export type NetSpec =
  | { readonly kind: 'tap'; readonly name: string }
  | { readonly kind: 'socket'; readonly path: string };

export interface BackendSpec {
  readonly disks: readonly DiskSpec[];
  readonly nets: readonly (NetSpec & { readonly mac: Uint8Array })[];
  readonly serial: Readonly<Record<SerialPortName, SerialLineSpec>>;
}

export interface BackendEvents {
  onInputs: (inputs: readonly Input[]) => void;
  /** Somebody at the console wants to leave. */
  onLeave: () => void;
  /** For the person who runs this; nothing ends because of it. */
  onNotice: (line: string) => void;
}

/** What the guest reads as the serial number of its disk. */
export const diskSerial = (index: number): string => `twinstep-${index}`;

/** Serial input under way to the guest; beyond it the line is told to wait. */
const SERIAL_UNDER_WAY_MAX = 16 << 10;

export class Backends {
  private readonly events: BackendEvents;
  private readonly disks: DiskFile[] = [];
  private readonly nets: NetLink[] = [];
  private readonly lines = new Map<SerialPortName, SerialLine>();
  private readonly underWay = new Map<SerialPortName, number>();
  private readonly states = new LineStates();
  private isStarted = false;

  /** Nothing comes in before `start`. Throws a HostError, DiskError or TapError: one clear line. */
  static async open(spec: BackendSpec, events: BackendEvents): Promise<Backends> {
    const backends = new Backends(events);
    try {
      await backends.openAll(spec);
      return backends;
    } catch (error) {
      await backends.close();
      throw error;
    }
  }

  private constructor(events: BackendEvents) {
    this.events = events;
  }

  /** From now on inputs are handed in. */
  start(): void {
    this.isStarted = true;
    this.events.onInputs(this.states.all());
    for (const net of this.nets) net.start();
    for (const line of this.lines.values()) line.resume();
  }

  /** What the guest must be built with. */
  devices(spec: BackendSpec): GuestDevices {
    return {
      nics: spec.nets.map(({ mac }) => ({ mac })),
      disks: this.disks.map(({ sectors, isReadOnly }, index) => ({
        sectors,
        isReadOnly,
        serial: diskSerial(index),
      })),
      hasConsole: spec.serial.console.kind !== 'none',
    };
  }

  /** What does not carry anything now, in words; null: all is there. It is opened again by itself. */
  get missing(): string | null {
    const troubles = [
      ...this.nets.flatMap(({ trouble }) => trouble ?? []),
      ...[...this.lines].flatMap(([port, { trouble }]) =>
        trouble === null ? [] : `${port}: ${trouble}`,
      ),
    ];
    return troubles.length === 0 ? null : troubles.join('; ');
  }

  deliver(outputs: readonly OutputItem[]): void {
    for (const output of outputs) this.deliverOne(output);
  }

  /** Answered by an input. */
  request(request: DiskRequest): void {
    this.disks[request.disk]!.submit(request);
  }

  /** The guest took so many bytes of what a line gave. */
  serialTaken(port: SerialPortName, bytes: number): void {
    const left = (this.underWay.get(port) ?? 0) - bytes;
    this.underWay.set(port, left);
    if (left < SERIAL_UNDER_WAY_MAX) this.lines.get(port)?.resume();
  }

  /** Disks finish what they were given. May be called twice. */
  async close(): Promise<void> {
    for (const line of this.lines.values()) await line.close();
    for (const net of this.nets) await net.close();
    for (const disk of this.disks) await disk.close();
  }

  private deliverOne(output: OutputItem): void {
    switch (output.kind) {
      case 'net-tx':
        this.nets[output.nic]?.send(output.frame);
        return;
      case 'serial-tx':
        this.lines.get(output.port)?.write(output.bytes);
        return;
      case 'serial-line':
        this.lines.get(output.port)?.set?.(output);
        return;
      // How the guest ends is for whoever runs it.
      case 'debug-exit':
      case 'power':
        return;
      default:
        output satisfies never;
    }
  }

  private async openAll({ disks, nets, serial }: BackendSpec): Promise<void> {
    for (const disk of disks) await this.openDisk(disk);
    for (const net of nets) await this.openNet(net);
    for (const port of ['com1', 'com2', 'console'] as const) {
      const spec = serial[port];
      if (spec.isHalfDuplex) this.taken(port, true, spec);
      const line = await openLine(spec, this.lineEvents(port, spec));
      if (line === undefined) continue;
      this.lines.set(port, line);
      line.pause();
      if (line.where !== undefined) this.events.onNotice(`${port} is ${line.where}`);
    }
  }

  private async openDisk(disk: DiskSpec): Promise<void> {
    const onCompletion = (completion: Input) => this.events.onInputs([completion]);
    const onTrouble = (error: Error) => this.events.onNotice(error.message);
    this.disks.push(await DiskFile.open({ ...disk, onCompletion, onTrouble }));
  }

  private async openNet(spec: NetSpec): Promise<void> {
    const nic = this.nets.length;
    const events: NetLinkEvents = {
      onFrames: (frames) =>
        this.events.onInputs(frames.map((frame) => ({ kind: 'net-rx', nic, frame }))),
      onTrouble: this.events.onNotice,
    };
    if (spec.kind === 'tap') this.nets.push(tapLink(spec.name, events));
    else this.nets.push(await socketLink(spec.path, events));
  }

  private taken(port: SerialPortName, isTaken: boolean, spec: SerialLineSpec): void {
    // A virtio console has no modem lines.
    if (port === 'console') return;
    const inputs = [lineInput(port, isTaken, spec)];
    this.states.note(inputs);
    if (this.isStarted) this.events.onInputs(inputs);
  }

  private lineEvents(port: SerialPortName, spec: SerialLineSpec): SerialLineEvents {
    return {
      onLeave: this.events.onLeave,
      onTaken: (isTaken) => this.taken(port, isTaken, spec),
      onNotice: (words) => this.events.onNotice(`${port} ${words}`),
      onBytes: (bytes) => {
        const underWay = (this.underWay.get(port) ?? 0) + bytes.length;
        this.underWay.set(port, underWay);
        if (underWay >= SERIAL_UNDER_WAY_MAX) this.lines.get(port)?.pause();
        this.events.onInputs([{ kind: 'serial-rx', port, bytes }]);
      },
    };
  }
}

/**
 * A reader that is behind or absent is not ready: the guest sees it by CTS and DSR, whichever it heeds. DCD
 * stays: it would end the session of every program in the guest whenever a client reconnects, as after a takeover.
 */
function lineInput(
  port: 'com1' | 'com2',
  isReady: boolean,
  { isHalfDuplex }: SerialLineSpec,
): Input {
  const duplex = isHalfDuplex ? { isHalfDuplex } : {};
  return { kind: 'serial-line', port, cts: isReady, dsr: isReady, dcd: true, ri: false, ...duplex };
}

async function openLine(
  spec: SerialLineSpec,
  events: SerialLineEvents,
): Promise<SerialLine | undefined> {
  switch (spec.kind) {
    case 'none':
      return undefined;
    case 'stdio':
      return stdioLine(events);
    case 'pty':
      return ptyLine(events);
    case 'socket':
      return await socketLine(spec.path, events);
    case 'tty':
      return await portLine(spec.path, spec.isHalfDuplex ?? false, events);
  }
}
