// A processor of a dozen instructions that keeps the engine contract to the letter: exact positions,
// posted writes, reads answered before they retire, sticky kicks, interrupts at boundaries only.
//
// Its one register is a hash of everything it has seen (values read, vectors, time), so two machines
// that differ anywhere soon differ here.

import { type Engine, ExitReason, type KickToken } from '../../firmware/machine/engine.ts';

export type Op =
  // A fault goes to the handler without retiring, and returns behind itself.
  | { readonly op: 'nop' | 'hlt' | 'sti' | 'cli' | 'iret' | 'tsc' | 'fault' }
  | { readonly op: 'in'; readonly port: number; readonly bytes: number }
  | { readonly op: 'out'; readonly port: number; readonly bytes: number; readonly value?: number }
  | { readonly op: 'load' | 'store'; readonly address: number; readonly bytes: number };

export type ToyProgram = {
  readonly main: readonly Op[]; // repeats for ever
  readonly handler: readonly Op[]; // for every vector; ends with iret
};

type ToyState = {
  position: bigint;
  pc: number;
  isInHandler: boolean;
  returnPc: number;
  hash: number;
  interruptsOn: boolean;
  halted: boolean;
  tscBase: bigint;
  tscPosition: bigint;
  tscMultiplier: bigint;
};

export class ToyEngine implements Engine {
  readonly kind = 'toy';
  readonly statesFrom = ['toy', 'toy-elsewhere'];
  readonly kickToken: KickToken = 0n;
  exitAddress = 0;
  exitBytes = 0;
  exitValueLow = 0;
  exitValueHigh = 0;
  // Kicks itself after so many boundaries, as another thread might: also where no position is, such as
  // between a read and its retirement.
  kickAfter: number | undefined;

  private readonly program: ToyProgram;
  private line = false;
  private kicked = false;
  private posted:
    | { op: 'out' | 'store'; address: number; bytes: number; value: number }
    | undefined;
  private isWaiting = false;
  private answer: number | undefined;
  private s: ToyState = {
    position: 0n,
    pc: 0,
    isInHandler: false,
    returnPc: 0,
    hash: 1,
    interruptsOn: false,
    halted: false,
    tscBase: 0n,
    tscPosition: 0n,
    tscMultiplier: 1n,
  };

  constructor(program: ToyProgram) {
    this.program = program;
  }

  run(limit: bigint): ExitReason {
    const s = this.s;
    if (this.isWaiting) throw new Error('run() before completeRead()');
    for (;;) {
      if (this.posted !== undefined) return this.reportPosted();
      if (s.position >= limit) return ExitReason.limit;
      if (this.kickAfter !== undefined && this.kickAfter-- <= 0) {
        this.kickAfter = undefined;
        this.kicked = true;
      }
      if (this.kicked) {
        this.kicked = false;
        return ExitReason.kick;
      }
      if (this.line && this.canInterrupt()) return ExitReason.interruptWindow;
      if (s.halted) return ExitReason.halt;
      const exit = this.step();
      if (exit !== undefined) return exit;
    }
  }

  private step(): ExitReason | undefined {
    const s = this.s;
    const ops = s.isInHandler ? this.program.handler : this.program.main;
    const op = ops[s.pc]!;
    if ((op.op === 'in' || op.op === 'load') && this.answer === undefined) {
      this.exitAddress = op.op === 'in' ? op.port : op.address;
      this.exitBytes = op.bytes;
      this.isWaiting = true;
      return op.op === 'in' ? ExitReason.portIn : ExitReason.mmioRead;
    }
    s.pc = (s.pc + 1) % ops.length;
    if (op.op === 'fault') {
      this.enter(14);
      return undefined;
    }
    s.position++;
    this.execute(op);
    return undefined;
  }

  private execute(op: Op): void {
    const s = this.s;
    switch (op.op) {
      case 'in':
      case 'load':
        this.mix(this.answer!);
        this.answer = undefined;
        return;
      case 'out':
        this.posted = { op: 'out', address: op.port, bytes: op.bytes, value: this.valueOf(op) };
        return;
      case 'store':
        this.posted = { op: 'store', address: op.address, bytes: op.bytes, value: s.hash };
        return;
      case 'hlt':
        s.halted = true;
        return;
      case 'sti':
        s.interruptsOn = true;
        return;
      case 'cli':
        s.interruptsOn = false;
        return;
      case 'tsc':
        this.mix(Number(BigInt.asUintN(32, this.tsc())));
        return;
      case 'iret':
        s.isInHandler = false;
        s.pc = s.returnPc;
        s.interruptsOn = true;
        return;
      default: // nop
    }
  }

  private valueOf(op: { readonly bytes: number; readonly value?: number }): number {
    const value = op.value ?? this.s.hash;
    return op.bytes === 4 ? value : value % 2 ** (8 * op.bytes);
  }

  private reportPosted(): ExitReason {
    const { op, address, bytes, value } = this.posted!;
    this.posted = undefined;
    this.exitAddress = address;
    this.exitBytes = bytes;
    this.exitValueLow = value;
    this.exitValueHigh = value;
    return op === 'out' ? ExitReason.portOut : ExitReason.mmioWrite;
  }

  private mix(value: number): void {
    this.s.hash = (Math.imul(this.s.hash ^ value, 0x01000193) + 0x9e37) >>> 0;
  }

  completeRead(low: number, high: number): void {
    if (!this.isWaiting) throw new Error('completeRead() without a read');
    this.isWaiting = false;
    this.answer = (low ^ high) >>> 0;
  }

  kick(): void {
    this.kicked = true;
  }
  setInterruptLine(raised: boolean): void {
    this.line = raised;
  }
  canInterrupt(): boolean {
    return this.s.interruptsOn && this.answer === undefined;
  }
  interrupt(vector: number): void {
    if (!this.canInterrupt()) throw new Error('interrupt() when the guest cannot take it');
    this.enter(vector);
  }
  private enter(vector: number): void {
    const s = this.s;
    this.mix(vector);
    if (!s.isInHandler) s.returnPc = s.pc;
    s.isInHandler = true;
    s.pc = 0;
    s.interruptsOn = false;
    s.halted = false;
  }
  nmi(): void {
    this.mix(2);
    this.s.halted = false;
  }
  position(): bigint {
    return this.s.position;
  }
  tsc(): bigint {
    const s = this.s;
    return s.tscBase + (((s.position - s.tscPosition) * s.tscMultiplier) >> 32n);
  }
  isHalted(): boolean {
    return this.s.halted;
  }
  setTsc(base: bigint, multiplier: bigint): void {
    this.s.tscBase = base;
    this.s.tscPosition = this.s.position;
    this.s.tscMultiplier = multiplier;
  }
  seedEntropy(seed: Uint8Array): void {
    this.mix(seed[0]!);
  }
  reset(): void {}
  setup(): void {}
  getState(): Uint8Array {
    if (this.posted !== undefined || this.answer !== undefined)
      throw new Error('state asked for in the middle of an access');
    const text = JSON.stringify(this.s, (_, value) =>
      typeof value === 'bigint' ? `${value}n` : value,
    );
    return new TextEncoder().encode(text);
  }
  setState(state: Uint8Array): void {
    this.s = JSON.parse(new TextDecoder().decode(state), (_, value) =>
      typeof value === 'string' ? BigInt(value.slice(0, -1)) : value,
    );
  }
  memoryWritten(): void {}
  takeDirtyPages(): void {}
  close(): void {}
}
