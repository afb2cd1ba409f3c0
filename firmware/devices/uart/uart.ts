// A 16550A serial port on the PC's terms: interrupts pass only while OUT2 is set.
//
// Transmission takes no virtual time: a byte written leaves at once and the holding register is
// empty again. Pacing to a real line is the host's business. Reception is in receiver.ts; its
// character timeout (four characters without a read or a new byte) is the only timer. RTS and DTR are
// heeded: while the guest holds one low, nothing moves from the wire into the FIFO.

import type {
  Device,
  Input,
  IrqLine,
  OutputSink,
  SerialEndpoint,
  SerialPortName,
  StateObject,
} from '../contracts.ts';
import { Receiver, type ReceiverState } from './receiver.ts';
import {
  Fcr,
  FIFO_TRIGGERS,
  Ier,
  Iir,
  Lcr,
  Lsr,
  Mcr,
  Msr,
  Register,
  UART_HZ,
} from './registers.ts';

export type UartState = {
  readonly receiver: ReceiverState;
  readonly interruptEnable: number;
  readonly fifoControl: number;
  readonly lineControl: number;
  readonly modemControl: number;
  readonly modemStatus: number; // deltas and levels as the guest reads them outside loopback
  readonly wireLevels: number; // modem inputs on the wire, as MSR bits
  readonly isHalfDuplex: boolean; // RTS turns a transmitter on
  readonly linesUsed: number; // DTR and RTS, as MCR bits, that the guest has raised since power-on
  readonly scratch: number;
  readonly divisor: number;
  readonly isTransmitEmptyPending: boolean;
  readonly isTimeoutPending: boolean;
  readonly timeoutAtNs: bigint; // -1 = not running
  readonly nowNs: bigint;
  readonly lineReported: string;
};

// A cable is plugged in and the other side is ready.
const READY = Msr.cts | Msr.dsr | Msr.dcd;

const POWER_ON = {
  interruptEnable: 0,
  fifoControl: 0,
  lineControl: 0,
  modemControl: 0,
  modemStatus: READY as number,
  wireLevels: READY as number,
  isHalfDuplex: false,
  linesUsed: 0,
  scratch: 0,
  divisor: 1,
  isTransmitEmptyPending: false,
  isTimeoutPending: false,
  timeoutAtNs: -1n,
  nowNs: 0n,
  lineReported: '',
};

export type ModemInputs = Omit<Extract<Input, { kind: 'serial-line' }>, 'kind' | 'port'>;

export type UartOptions = {
  readonly name: SerialPortName;
  readonly port: number;
  readonly irq: IrqLine;
  readonly output: OutputSink;
};

export class Uart implements Device, SerialEndpoint {
  readonly name: SerialPortName;
  readonly ports: readonly { base: number; count: number }[];

  private readonly receiver = new Receiver();
  private readonly irq: IrqLine;
  private readonly output: OutputSink;
  private s = { ...POWER_ON };

  constructor(options: UartOptions) {
    this.name = options.name;
    this.ports = [{ base: options.port, count: 8 }];
    this.irq = options.irq;
    this.output = options.output;
  }

  // ---- the wire -----------------------------------------------------------------------------

  receive(bytes: Uint8Array): void {
    for (const byte of bytes) this.receiver.enqueue(byte, 0);
    this.takeFromWire();
  }

  get waitingBytes(): number {
    return this.receiver.waitingBytes;
  }

  receiveBreak(): void {
    this.receiver.enqueue(0, Lsr.breakReceived);
    this.takeFromWire();
  }

  setModemInputs(lines: ModemInputs): void {
    this.s.wireLevels =
      (lines.cts ? Msr.cts : 0) |
      (lines.dsr ? Msr.dsr : 0) |
      (lines.ri ? Msr.ri : 0) |
      (lines.dcd ? Msr.dcd : 0);
    this.s.isHalfDuplex = lines.isHalfDuplex ?? false;
    this.followModemInputs();
    this.takeFromWire();
  }

  // ---- the guest ----------------------------------------------------------------------------

  readPort(port: number): number {
    const value = this.read(port & 7);
    this.update();
    return value;
  }

  writePort(port: number, _bytes: number, value: number): void {
    this.write(port & 7, value);
    this.update();
  }

  nextDeadlineNs(): bigint | undefined {
    return this.s.timeoutAtNs >= 0n ? this.s.timeoutAtNs : undefined;
  }

  advanceTo(nowNs: bigint): void {
    this.s.nowNs = nowNs;
    if (this.s.timeoutAtNs < 0n || nowNs < this.s.timeoutAtNs) return;
    this.s.timeoutAtNs = -1n;
    this.s.isTimeoutPending = true;
    this.update();
  }

  state(): UartState {
    return { ...this.s, receiver: this.receiver.state() };
  }

  restore(state: StateObject): void {
    const { receiver, ...rest } = state as UartState;
    this.receiver.restore(receiver);
    this.s = { ...POWER_ON, ...rest };
    this.update();
  }

  // Bytes waiting on the wire stay: they are the world's.
  reset(): void {
    const { wireLevels, isHalfDuplex, nowNs } = this.s;
    this.receiver.setFifo(false);
    this.receiver.takeErrors();
    this.s = { ...POWER_ON, wireLevels, isHalfDuplex, nowNs, modemStatus: wireLevels };
    this.update();
  }

  private read(register: number): number {
    const s = this.s;
    const hasDivisor = (s.lineControl & Lcr.divisorAccess) !== 0;
    switch (register) {
      case Register.data:
        return hasDivisor ? s.divisor & 0xff : this.readData();
      case Register.interruptEnable:
        return hasDivisor ? s.divisor >> 8 : s.interruptEnable;
      case Register.identification: {
        const source = this.source();
        if (source === Iir.transmitEmpty) s.isTransmitEmptyPending = false;
        return source | (this.hasFifos ? Iir.fifosEnabled : 0);
      }
      case Register.lineControl:
        return s.lineControl;
      case Register.modemControl:
        return s.modemControl;
      case Register.lineStatus:
        return this.readLineStatus();
      case Register.modemStatus: {
        const status = s.modemStatus;
        s.modemStatus &= ~Msr.deltas;
        return status;
      }
      default:
        return s.scratch;
    }
  }

  private write(register: number, value: number): void {
    const s = this.s;
    const hasDivisor = (s.lineControl & Lcr.divisorAccess) !== 0;
    switch (register) {
      case Register.data:
        if (hasDivisor) s.divisor = (s.divisor & 0xff00) | value;
        else this.transmit(value);
        return;
      case Register.interruptEnable:
        if (hasDivisor) s.divisor = (s.divisor & 0x00ff) | (value << 8);
        else this.writeInterruptEnable(value & Ier.all);
        return;
      case Register.identification:
        this.writeFifoControl(value);
        return;
      case Register.lineControl:
        s.lineControl = value;
        this.reportLine();
        return;
      case Register.modemControl:
        s.modemControl = value & Mcr.all;
        if (!this.isLooped) s.linesUsed |= value & (Mcr.dtr | Mcr.rts);
        this.followModemInputs();
        this.takeFromWire();
        this.reportLine();
        return;
      case Register.scratch:
        s.scratch = value;
        return;
      default: // LSR and MSR are read-only
    }
  }

  private readData(): number {
    const byte = this.receiver.pop();
    this.s.isTimeoutPending = false;
    this.refill();
    this.restartTimeout();
    return byte;
  }

  private readLineStatus(): number {
    const hasErrorInFifo = this.receiver.hasErrorInFifo;
    return (
      (this.receiver.count > 0 ? Lsr.dataReady : 0) |
      this.receiver.takeErrors() |
      Lsr.transmitHoldingEmpty |
      Lsr.transmitterEmpty |
      (hasErrorInFifo ? Lsr.errorInFifo : 0)
    );
  }

  private transmit(byte: number): void {
    if (this.isLooped) {
      this.receiver.pushNow(byte);
      this.restartTimeout();
    } else {
      this.output({ kind: 'serial-tx', port: this.name, byte: byte & this.wordMask });
    }
    this.s.isTransmitEmptyPending = true; // it was full for no time at all
  }

  private writeInterruptEnable(value: number): void {
    const isNew = (value & ~this.s.interruptEnable & Ier.transmitEmpty) !== 0;
    if (isNew) this.s.isTransmitEmptyPending = true;
    this.s.interruptEnable = value;
  }

  private writeFifoControl(value: number): void {
    const s = this.s;
    const isEnabled = (value & Fcr.enable) !== 0;
    if (isEnabled !== this.hasFifos) this.receiver.setFifo(isEnabled);
    else if (isEnabled && (value & Fcr.clearReceiver) !== 0) this.receiver.clear();
    s.fifoControl = isEnabled ? value & 0xc9 : 0;
    if (this.receiver.count === 0) {
      s.isTimeoutPending = false;
      s.timeoutAtNs = -1n;
    }
    this.takeFromWire();
  }

  private get hasFifos(): boolean {
    return (this.s.fifoControl & Fcr.enable) !== 0;
  }

  private get isLooped(): boolean {
    return (this.s.modemControl & Mcr.loopback) !== 0;
  }

  private get wordMask(): number {
    return 0xff >> (3 - (this.s.lineControl & Lcr.wordLength));
  }

  // The wire waits for a guest that has raised RTS or DTR and dropped it again. One that never did
  // knows no flow control, and is given what it reads.
  private get isWanted(): boolean {
    const { modemControl, linesUsed, isHalfDuplex } = this.s;
    const heeded = isHalfDuplex ? linesUsed & ~Mcr.rts : linesUsed;
    return !this.isLooped && (modemControl & heeded) === heeded;
  }

  private refill(): boolean {
    return this.isWanted && this.receiver.refill();
  }

  private takeFromWire(): void {
    if (this.refill()) this.restartTimeout();
    this.update();
  }

  // Runs while the FIFO holds bytes; counts from the last byte that came or was read.
  private restartTimeout(): void {
    const s = this.s;
    const isRunning = this.hasFifos && this.receiver.count > 0 && !s.isTimeoutPending;
    s.timeoutAtNs = isRunning ? s.nowNs + 4n * this.characterNs : -1n;
  }

  private get characterNs(): bigint {
    const { lineControl, divisor } = this.s;
    const dataBits = 5 + (lineControl & Lcr.wordLength);
    const parity = (lineControl & Lcr.parityEnable) !== 0 ? 1 : 0;
    const stopBits = (lineControl & Lcr.twoStopBits) !== 0 ? 2 : 1;
    const bits = 1 + dataBits + parity + stopBits;
    return (BigInt(bits * (divisor === 0 ? 1 : divisor)) * 1_000_000_000n) / BigInt(UART_HZ);
  }

  // What MSR shows: the wire, or in loopback our own outputs. Changes set delta bits.
  private followModemInputs(): void {
    const s = this.s;
    const levels = this.isLooped ? loopedLevels(s.modemControl) : s.wireLevels;
    const changed = (levels ^ s.modemStatus) & ~Msr.deltas;
    let deltas = (changed >> 4) & (Msr.deltaCts | Msr.deltaDsr | Msr.deltaDcd);
    if ((changed & Msr.ri) !== 0 && (levels & Msr.ri) === 0) deltas |= Msr.trailingRi;
    s.modemStatus = levels | (s.modemStatus & Msr.deltas) | deltas;
  }

  // The interrupt that identification names, by priority.
  private source(): number {
    const s = this.s;
    const enabled = s.interruptEnable;
    if ((enabled & Ier.lineStatus) !== 0 && this.receiver.pendingErrors !== 0)
      return Iir.lineStatus;
    if ((enabled & Ier.received) !== 0) {
      const trigger = this.hasFifos ? FIFO_TRIGGERS[s.fifoControl >> 6]! : 1;
      if (this.receiver.count >= trigger) return Iir.received;
      if (s.isTimeoutPending) return Iir.timeout;
    }
    if ((enabled & Ier.transmitEmpty) !== 0 && s.isTransmitEmptyPending) return Iir.transmitEmpty;
    if ((enabled & Ier.modemStatus) !== 0 && (s.modemStatus & Msr.deltas) !== 0)
      return Iir.modemStatus;
    return Iir.none;
  }

  private update(): void {
    const isEnabled = (this.s.modemControl & Mcr.out2) !== 0;
    this.irq.set(isEnabled && this.source() !== Iir.none);
  }

  // Tells the world about settings and outputs of the line, once per change.
  private reportLine(): void {
    const { lineControl, modemControl, divisor } = this.s;
    if ((lineControl & Lcr.divisorAccess) !== 0) return; // the divisor is being written
    const parityBits = (lineControl >> 3) & 7;
    const line = {
      kind: 'serial-line',
      port: this.name,
      baud: Math.floor(UART_HZ / (divisor === 0 ? 1 : divisor)),
      dataBits: 5 + (lineControl & Lcr.wordLength),
      parity: PARITIES[parityBits]!,
      stopBits: (lineControl & Lcr.twoStopBits) !== 0 ? 2 : 1,
      sendBreak: (lineControl & Lcr.sendBreak) !== 0,
      dtr: !this.isLooped && (modemControl & Mcr.dtr) !== 0,
      rts: !this.isLooped && (modemControl & Mcr.rts) !== 0,
    } as const;
    const { baud, dataBits, parity, stopBits, sendBreak, dtr, rts } = line;
    const key = [baud, dataBits, parity, stopBits, sendBreak, dtr, rts].join(' ');
    if (key === this.s.lineReported) return;
    this.s.lineReported = key;
    this.output(line);
  }
}

// By LCR bits 3 (enable), 4 (even), 5 (stick).
const PARITIES = ['none', 'odd', 'none', 'even', 'none', 'mark', 'none', 'space'] as const;

function loopedLevels(modemControl: number): number {
  return (
    ((modemControl & Mcr.rts) !== 0 ? Msr.cts : 0) |
    ((modemControl & Mcr.dtr) !== 0 ? Msr.dsr : 0) |
    ((modemControl & Mcr.out1) !== 0 ? Msr.ri : 0) |
    ((modemControl & Mcr.out2) !== 0 ? Msr.dcd : 0)
  );
}
