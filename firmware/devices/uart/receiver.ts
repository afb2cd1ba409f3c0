// The receiving half of the 16550A: the FIFO (or single buffer), its line errors, the character
// timeout, and the wire behind it.
//
// The wire is patient: bytes from outside wait in front of the FIFO until there is room, so a paste
// into the console never overruns, and as long as the guest says by RTS or DTR (uart.ts). Whoever feeds
// the wire stops when much waits; beyond a bound bytes are dropped and counted.

import type { StateObject } from '../contracts.ts';
import { Fifo } from '../fifo.ts';
import { FIFO_BYTES, Lsr } from './registers.ts';

// More than any terminal paste; less than would matter in a checkpoint.
export const WAITING_BYTES_MAX = 65_536;

export type ReceiverState = {
  readonly bytes: Uint8Array;
  readonly errors: Uint8Array;
  readonly waitingBytes: Uint8Array;
  readonly waitingErrors: Uint8Array;
  readonly capacity: number;
  readonly pendingErrors: number;
  readonly dropped: number;
};

export class Receiver {
  private bytes: number[] = [];
  private errors: number[] = [];
  private waiting = new Fifo<number>();
  private waitingErrors = new Fifo<number>();
  private capacity = 1;
  // LSR error bits of the byte at the top and overruns, until LSR is read.
  private errorsToTell = 0;
  dropped = 0;

  get count(): number {
    return this.bytes.length;
  }

  get pendingErrors(): number {
    return this.errorsToTell;
  }

  // In front of the FIFO.
  get waitingBytes(): number {
    return this.waiting.length;
  }

  get hasErrorInFifo(): boolean {
    return this.capacity > 1 && this.errors.some((error) => error !== 0);
  }

  // From outside. `error` is an LSR error bit (break) or 0.
  enqueue(byte: number, error: number): void {
    if (this.waitingBytes >= WAITING_BYTES_MAX) {
      this.dropped++;
      return;
    }
    this.waiting.push(byte);
    this.waitingErrors.push(error);
  }

  // Moves waiting bytes in as far as there is room; answers whether any came.
  refill(): boolean {
    let hasMoved = false;
    while (this.bytes.length < this.capacity && this.waiting.length > 0) {
      this.append(this.waiting.shift()!, this.waitingErrors.shift()!);
      hasMoved = true;
    }
    return hasMoved;
  }

  // From the transmitter in loopback: does not wait.
  pushNow(byte: number): void {
    if (this.bytes.length < this.capacity) this.append(byte, 0);
    else this.errorsToTell |= Lsr.overrun;
  }

  pop(): number {
    const byte = this.bytes.shift() ?? 0;
    this.errors.shift();
    this.errorsToTell |= this.errors[0] ?? 0;
    return byte;
  }

  takeErrors(): number {
    const errors = this.errorsToTell;
    this.errorsToTell = 0;
    // The error of the byte on top has been seen; it stays in the FIFO only as its neighbours' bit 7.
    if (this.errors.length > 0) this.errors[0] = 0;
    return errors;
  }

  setFifo(isEnabled: boolean): void {
    this.capacity = isEnabled ? FIFO_BYTES : 1;
    this.clear();
  }

  clear(): void {
    this.bytes = [];
    this.errors = [];
  }

  state(): ReceiverState {
    return {
      bytes: Uint8Array.from(this.bytes),
      errors: Uint8Array.from(this.errors),
      waitingBytes: Uint8Array.from(this.waiting),
      waitingErrors: Uint8Array.from(this.waitingErrors),
      capacity: this.capacity,
      pendingErrors: this.errorsToTell,
      dropped: this.dropped,
    };
  }

  restore(state: StateObject): void {
    const from = state as ReceiverState;
    this.bytes = [...from.bytes];
    this.errors = [...from.errors];
    this.waiting = new Fifo(from.waitingBytes);
    this.waitingErrors = new Fifo(from.waitingErrors);
    this.capacity = from.capacity;
    this.errorsToTell = from.pendingErrors;
    this.dropped = from.dropped;
  }

  private append(byte: number, error: number): void {
    this.bytes.push(byte);
    this.errors.push(error);
    if (this.bytes.length === 1) this.errorsToTell |= error;
  }
}
