// The network device: frames from outside wait for the guest's buffers, the guest's frames leave.
//
// No offloads, no mergeable buffers, no control queue: every frame is one buffer of at most 1518
// bytes, so there is no segment to split, no checksum to fill in and nothing of a frame's inside to
// believe. The guest sees every frame it is given (drivers without a control queue expect that);
// what is not for the guest is better not logged at all, and filtered before it becomes an input.
//
// Frames that arrive before a driver is there are dropped, as on a network card that is down. After
// that they wait in order, up to RX_WAITING_MAX; a full queue drops the newest.

import type { GuestRam, IrqLine, NetEndpoint, OutputSink, StateObject } from '../contracts.ts';
import { type Chain, gather, scatter } from '../virtio/chain.ts';
import { QUEUE_SIZE_MAX } from '../virtio/limits.ts';
import type { VirtioModel } from '../virtio/model.ts';
import { VirtioPci } from '../virtio/pci.ts';
import { DeviceType } from '../virtio/registers.ts';
import { type RxCounters, RxRoom } from '../virtio/rx-room.ts';
import {
  CONFIG,
  CONFIG_BYTES,
  FRAME_BYTES_MAX,
  FRAME_BYTES_MIN,
  HEADER,
  HEADER_BYTES,
  LINK_UP,
  MAC_BYTES,
  NetFeature,
  RX_QUEUE,
  TX_QUEUE,
} from './layout.ts';

// A burst one receive ring long; beyond that the guest is not keeping up and TCP has to know.
export const RX_WAITING_MAX = QUEUE_SIZE_MAX;

export type VirtioNetOptions = {
  readonly ram: GuestRam;
  readonly intx: IrqLine;
  readonly output: OutputSink;
  readonly nic: number;
  readonly mac: Uint8Array; // 6 bytes
};

export type NetCounters = RxCounters & {
  rxFrames: number;
  rxBadLength: number; // no Ethernet frame, or longer than a buffer may be
  rxBufferTooSmall: number; // the guest's buffer had no room for the frame
  txFrames: number;
  txBadLength: number; // the guest's buffer holds no Ethernet frame of a legal length
  txOffload: number; // the guest asked for an offload that was never offered
};

export type VirtioNetState = {
  readonly waiting: readonly Uint8Array[];
  readonly counters: StateObject;
};

export class VirtioNet implements VirtioModel, NetEndpoint {
  readonly name = 'virtio-net';
  readonly deviceType = DeviceType.net;
  readonly classCode = 0x020000;
  readonly features = [NetFeature.mac, NetFeature.status];
  readonly queueSizes = [QUEUE_SIZE_MAX, QUEUE_SIZE_MAX];
  readonly configSpace = new Uint8Array(CONFIG_BYTES);
  readonly pci: VirtioPci;
  counters = noCounters();

  private readonly ram: GuestRam;
  private readonly output: OutputSink;
  private readonly nic: number;
  private readonly room: RxRoom<Uint8Array>;

  constructor({ ram, intx, output, nic, mac }: VirtioNetOptions) {
    if (mac.length !== MAC_BYTES || (mac[0]! & 1) !== 0)
      throw new Error('the MAC address of a network device must be 6 bytes and no group address');
    this.ram = ram;
    this.output = output;
    this.nic = nic;
    this.configSpace.set(mac, CONFIG.mac);
    this.configSpace[CONFIG.status] = LINK_UP;
    this.pci = new VirtioPci({ ram, intx, model: this });
    this.room = new RxRoom({
      ...{ pci: this.pci, queue: RX_QUEUE, unitsMax: RX_WAITING_MAX },
      deliver: (chain) => this.deliver(chain),
    });
  }

  // Input net-rx.
  receive(frame: Uint8Array): void {
    if (frame.length < FRAME_BYTES_MIN || frame.length > FRAME_BYTES_MAX) {
      this.counters.rxBadLength++;
      return;
    }
    this.room.receive([frame], this.counters);
    // The frame is the caller's; one that has to wait is kept as a copy.
    this.room.keepNewest((waiting) => (waiting === frame ? frame.slice() : waiting));
  }

  serve(queue: number): void {
    if (queue === TX_QUEUE) this.pci.drain(TX_QUEUE, (chain) => this.transmit(chain));
    else this.room.serve();
  }

  deviceReset(): void {
    this.room.clear();
  }

  powerReset(): void {
    this.counters = noCounters();
  }

  // Frames are never written again once they wait, so states share them.
  state(): VirtioNetState {
    return { waiting: this.room.units(), counters: { ...this.counters } };
  }

  restore(state: StateObject): void {
    const from = state as VirtioNetState;
    this.room.restore(from.waiting);
    this.counters = { ...(from.counters as NetCounters) };
  }

  private deliver(chain: Chain): void {
    const frame = this.room.take();
    if (chain.writableBytes < HEADER_BYTES + frame.length) {
      this.counters.rxBufferTooSmall++;
      this.pci.give(RX_QUEUE, chain.head, 0);
      return;
    }
    const header = new Uint8Array(HEADER_BYTES);
    header[HEADER.bufferCount] = 1;
    scatter(this.ram, chain.writable, 0, header);
    scatter(this.ram, chain.writable, HEADER_BYTES, frame);
    this.counters.rxFrames++;
    this.pci.give(RX_QUEUE, chain.head, HEADER_BYTES + frame.length);
  }

  private transmit(chain: Chain): void {
    const frameBytes = chain.readableBytes - HEADER_BYTES;
    if (frameBytes < FRAME_BYTES_MIN || frameBytes > FRAME_BYTES_MAX) {
      this.counters.txBadLength++;
    } else {
      const header = gather(this.ram, chain.readable, 0, HEADER_BYTES);
      if (header[HEADER.flags] !== 0 || header[HEADER.gsoType] !== 0) {
        this.counters.txOffload++;
      } else {
        this.counters.txFrames++;
        const frame = gather(this.ram, chain.readable, HEADER_BYTES, frameBytes);
        this.output({ kind: 'net-tx', nic: this.nic, frame });
      }
    }
    this.pci.give(TX_QUEUE, chain.head, 0);
  }
}

function noCounters(): NetCounters {
  return {
    rxFrames: 0,
    rxBadLength: 0,
    rxNoDriver: 0,
    rxWaitingFull: 0,
    rxBufferTooSmall: 0,
    txFrames: 0,
    txBadLength: 0,
    txOffload: 0,
  };
}
