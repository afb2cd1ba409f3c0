// The common configuration structure (VIRTIO 1.1, 4.1.4.3): negotiation of features, the status
// byte, and the registers of the selected queue.
//
// Registers answer to accesses of their own width, 64-bit ones to their two halves. What is
// settled stays: features are frozen by FEATURES_OK, a queue's registers by its enable.

import type { StateObject } from '../contracts.ts';
import type { BrokenReason } from './chain.ts';
import type { Halves, Virtqueue } from './queue.ts';
import { COMMON, Feature, NO_VECTOR, STATUS_BY_DRIVER, Status } from './registers.ts';

export type CommonState = {
  readonly status: number;
  readonly deviceFeatureSelect: number;
  readonly driverFeatureSelect: number;
  readonly driverFeatures: readonly number[];
  readonly queueSelect: number;
};

// 'bad': no such register, not this width, or not now; a reason: the guest broke the device.
export type Written = 'ok' | 'bad' | BrokenReason;

export class CommonConfig {
  status = 0;
  private readonly queues: readonly Virtqueue[];
  private readonly offered: readonly [number, number];
  private accepted: [number, number] = [0, 0];
  private deviceFeatureSelect = 0;
  private driverFeatureSelect = 0;
  private queueSelect = 0;

  constructor(deviceFeatures: readonly number[], queues: readonly Virtqueue[]) {
    this.queues = queues;
    const offered: [number, number] = [0, 0];
    for (const bit of [...deviceFeatures, Feature.indirectDescriptors, Feature.version1]) {
      offered[bit < 32 ? 0 : 1] += 2 ** (bit % 32);
    }
    this.offered = offered;
  }

  isNegotiated(bit: number): boolean {
    const half = this.accepted[bit < 32 ? 0 : 1]!;
    return (this.status & Status.featuresOk) !== 0 && ((half >>> (bit % 32)) & 1) !== 0;
  }

  read(offset: number, bytes: number): number | undefined {
    if (bytes !== widthOf(offset)) return undefined;
    const queue = this.queues[this.queueSelect];
    switch (offset) {
      case COMMON.deviceFeatureSelect:
        return this.deviceFeatureSelect;
      case COMMON.deviceFeature:
        return this.offered[this.deviceFeatureSelect] ?? 0;
      case COMMON.driverFeatureSelect:
        return this.driverFeatureSelect;
      case COMMON.driverFeature:
        return this.accepted[this.driverFeatureSelect] ?? 0;
      case COMMON.configMsixVector:
      case COMMON.queueMsixVector:
        return NO_VECTOR;
      case COMMON.queueCount:
        return this.queues.length;
      case COMMON.deviceStatus:
        return this.status;
      case COMMON.configGeneration:
        return 0; // device configurations of ours never change
      case COMMON.queueSelect:
        return this.queueSelect;
      case COMMON.queueSize:
        return queue?.size ?? 0; // zero: there is no such queue
      case COMMON.queueEnable:
        return queue?.isEnabled === true ? 1 : 0;
      case COMMON.queueNotifyOffset:
        return queue === undefined ? 0 : this.queueSelect;
      default: {
        if (queue === undefined) return 0;
        const { area, half } = areaAt(queue, offset);
        return area[half];
      }
    }
  }

  // Everything but the reset of the device, which is the transport's.
  write(offset: number, bytes: number, value: number): Written {
    if (bytes !== widthOf(offset)) return 'bad';
    switch (offset) {
      case COMMON.deviceFeatureSelect:
        this.deviceFeatureSelect = value;
        return 'ok';
      case COMMON.driverFeatureSelect:
        this.driverFeatureSelect = value;
        return 'ok';
      case COMMON.driverFeature:
        return this.acceptFeatures(value);
      case COMMON.configMsixVector:
      case COMMON.queueMsixVector:
        return 'ok'; // reads back as "no vector", which is how a device declines
      case COMMON.deviceStatus:
        return this.writeStatus(value);
      case COMMON.queueSelect:
        this.queueSelect = value;
        return 'ok';
      case COMMON.queueCount:
      case COMMON.deviceFeature:
      case COMMON.configGeneration:
      case COMMON.queueNotifyOffset:
        return 'bad';
      default:
        return this.writeQueue(offset, value);
    }
  }

  reset(): void {
    this.status = 0;
    this.accepted = [0, 0];
    this.deviceFeatureSelect = 0;
    this.driverFeatureSelect = 0;
    this.queueSelect = 0;
  }

  state(): CommonState {
    return {
      status: this.status,
      deviceFeatureSelect: this.deviceFeatureSelect,
      driverFeatureSelect: this.driverFeatureSelect,
      driverFeatures: [...this.accepted],
      queueSelect: this.queueSelect,
    };
  }

  restore(state: StateObject): void {
    const from = state as CommonState;
    this.status = from.status;
    this.deviceFeatureSelect = from.deviceFeatureSelect;
    this.driverFeatureSelect = from.driverFeatureSelect;
    this.accepted = [from.driverFeatures[0]!, from.driverFeatures[1]!];
    this.queueSelect = from.queueSelect;
  }

  private acceptFeatures(value: number): Written {
    const select = this.driverFeatureSelect;
    if ((this.status & Status.featuresOk) !== 0) return 'bad';
    // Drivers clear the halves beyond those that exist.
    if (select > 1) return value === 0 ? 'ok' : 'bad';
    this.accepted[select] = value;
    return 'ok';
  }

  // FEATURES_OK sticks only for a subset of what was offered that has VERSION_1, DRIVER_OK only
  // after it. NEEDS_RESET is ours and stays.
  private writeStatus(value: number): Written {
    let status = (value & STATUS_BY_DRIVER) | (this.status & Status.needsReset);
    if ((status & Status.featuresOk) !== 0 && (this.status & Status.featuresOk) === 0) {
      if (!this.areFeaturesGood()) status &= ~Status.featuresOk;
    }
    if ((status & Status.featuresOk) === 0) status &= ~Status.driverOk;
    this.status = status;
    return 'ok';
  }

  private areFeaturesGood(): boolean {
    const [low, high] = this.accepted;
    const isSubset = (low & ~this.offered[0]) === 0 && (high & ~this.offered[1]) === 0;
    return isSubset && ((high >>> (Feature.version1 - 32)) & 1) !== 0;
  }

  private writeQueue(offset: number, value: number): Written {
    const queue = this.queues[this.queueSelect];
    if (queue === undefined || queue.isEnabled) return 'bad';
    if (offset === COMMON.queueSize) {
      queue.size = value;
    } else if (offset === COMMON.queueEnable) {
      return value === 1 ? (queue.enable() ?? 'ok') : 'bad';
    } else {
      const { area, half } = areaAt(queue, offset);
      area[half] = value;
    }
    return 'ok';
  }
}

function widthOf(offset: number): number {
  if (offset < COMMON.configMsixVector || offset >= COMMON.queueDescriptors)
    return offset % 4 === 0 ? 4 : 0;
  if (offset === COMMON.deviceStatus || offset === COMMON.configGeneration) return 1;
  return offset % 2 === 0 ? 2 : 0;
}

function areaAt(queue: Virtqueue, offset: number): { area: Halves; half: 'low' | 'high' } {
  const area =
    offset < COMMON.queueDriverArea
      ? queue.descriptors
      : offset < COMMON.queueDeviceArea
        ? queue.driverArea
        : queue.deviceArea;
  return { area, half: offset % 8 === 0 ? 'low' : 'high' };
}
