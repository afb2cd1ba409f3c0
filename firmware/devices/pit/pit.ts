// The PC's interval timer: three 8254 channels and system control port B.
//
// Channel 0 drives interrupt line 0, channel 1 was memory refresh, channel 2 the speaker (its gate
// and output are at port 0x61, where guests calibrate their clocks).
//
// Line 0 shows the output of channel 0 without the falling edges of modes 2 to 5: there the line is
// high and every rising edge is a short low pulse. An edge-triggered controller cannot tell the
// difference, and an idle guest wakes half as often.

import type { Device, IrqLine, StateObject } from '../contracts.ts';
import { Channel, type ChannelState } from './channel.ts';
import {
  Access,
  CONTROL_PORT,
  PIT_HZ,
  PIT_PORT,
  READ_BACK,
  REFRESH_NS,
  ReadBack,
  SPEAKER_PORT,
  SpeakerPort,
} from './registers.ts';

const NS_PER_SECOND = 1_000_000_000n;

export type PitState = {
  readonly channels: readonly ChannelState[];
  readonly speaker: number;
  readonly nowNs: bigint;
  readonly line: boolean;
};

export class Pit implements Device {
  readonly name = 'pit';
  readonly ports = [
    { base: PIT_PORT, count: 4 },
    { base: SPEAKER_PORT, count: 1 },
  ];

  private readonly channels = [new Channel(true), new Channel(true), new Channel(false)] as const;
  private readonly irq: IrqLine;
  private speaker = 0;
  private nowNs = 0n;
  private line = true;

  constructor(options: { readonly irq: IrqLine }) {
    this.irq = options.irq;
    this.irq.set(this.line);
  }

  readPort(port: number): number {
    if (port === SPEAKER_PORT) return this.readSpeaker();
    if (port === CONTROL_PORT) return 0xff; // not readable
    return this.channel(port - PIT_PORT).read(this.tick);
  }

  writePort(port: number, _bytes: number, value: number): void {
    if (port === SPEAKER_PORT) {
      this.speaker = value & SpeakerPort.writable;
      this.channels[2].setGate((value & SpeakerPort.gate2) !== 0, this.tick);
    } else if (port === CONTROL_PORT) {
      this.writeControl(value);
    } else {
      this.channel(port - PIT_PORT).writeCount(value, this.tick);
    }
    if (port !== SPEAKER_PORT) this.followOutput();
  }

  nextDeadlineNs(): bigint | undefined {
    const tick = this.channels[0].nextRiseTick(this.tick);
    return tick === undefined ? undefined : nsOfTick(tick);
  }

  advanceTo(nowNs: bigint): void {
    const rise = this.channels[0].nextRiseTick(this.tick);
    this.nowNs = nowNs;
    if (rise !== undefined && rise <= this.tick) {
      this.setLine(false);
      this.setLine(true);
    } else {
      this.followOutput();
    }
  }

  state(): PitState {
    return {
      channels: this.channels.map((channel) => channel.state(this.tick)),
      speaker: this.speaker,
      nowNs: this.nowNs,
      line: this.line,
    };
  }

  restore(state: StateObject): void {
    const from = state as PitState;
    this.channels.forEach((channel, i) => {
      channel.restore(from.channels[i]!);
    });
    this.speaker = from.speaker;
    this.nowNs = from.nowNs;
    this.line = from.line;
    this.irq.set(this.line);
  }

  reset(): void {
    for (const channel of this.channels) channel.reset();
    this.speaker = 0;
    this.setLine(true);
  }

  private get tick(): bigint {
    return (this.nowNs * PIT_HZ) / NS_PER_SECOND;
  }

  private channel(index: number): Channel {
    return this.channels[index]!;
  }

  private readSpeaker(): number {
    const refresh = (this.nowNs / REFRESH_NS) & 1n ? SpeakerPort.refresh : 0;
    const out = this.channels[2].out(this.tick) ? SpeakerPort.out2 : 0;
    return this.speaker | refresh | out;
  }

  private writeControl(value: number): void {
    const channel = value >> 6;
    if (channel === READ_BACK) {
      for (let i = 0; i < 3; i++) {
        if ((value & (2 << i)) === 0) continue;
        if ((value & ReadBack.noCount) === 0) this.channel(i).latchCount(this.tick);
        if ((value & ReadBack.noStatus) === 0) this.channel(i).latchStatus(this.tick);
      }
      return;
    }
    const access = (value >> 4) & 3;
    if (access === Access.latch) this.channel(channel).latchCount(this.tick);
    else this.channel(channel).writeControl(access, (value >> 1) & 7, (value & 1) !== 0);
  }

  // Modes 0 and 1 are levels; the others hold the line high between their pulses.
  private followOutput(): void {
    const channel = this.channels[0];
    this.setLine(channel.mode > 1 || channel.out(this.tick));
  }

  private setLine(level: boolean): void {
    if (level === this.line) return;
    this.line = level;
    this.irq.set(level);
  }
}

// The first nanosecond at which the given tick has been reached.
function nsOfTick(tick: bigint): bigint {
  return (tick * NS_PER_SECOND + PIT_HZ - 1n) / PIT_HZ;
}
