// Where a driver finds our structures: the vendor capabilities in configuration space (VIRTIO 1.1,
// 4.1.4). Of the structures offered twice the I/O one comes first, which is the recommendation.

import {
  CAP,
  CAP_BYTES,
  CAPABILITY_ID_VENDOR,
  COMMON_BYTES,
  IO_AT,
  IO_BAR,
  MEMORY_AT,
  MEMORY_BAR,
  NOTIFY_MULTIPLIER,
  Structure,
} from './registers.ts';

// The access window (4.1.4.8) is the last one.
export function capabilities(queueCount: number, configBytes: number): Uint8Array[] {
  const list = [
    capability(Structure.common, MEMORY_BAR, MEMORY_AT.common, COMMON_BYTES, CAP_BYTES),
    notify(IO_BAR, IO_AT.notify, 2, 0),
    notify(MEMORY_BAR, MEMORY_AT.notify, NOTIFY_MULTIPLIER * queueCount, NOTIFY_MULTIPLIER),
    capability(Structure.isr, IO_BAR, IO_AT.isr, 1, CAP_BYTES),
    capability(Structure.isr, MEMORY_BAR, MEMORY_AT.isr, 1, CAP_BYTES),
  ];
  if (configBytes > 0)
    list.push(capability(Structure.device, MEMORY_BAR, MEMORY_AT.device, configBytes, CAP_BYTES));
  list.push(capability(Structure.pciConfig, 0, 0, 0, CAP_BYTES + 4));
  return list;
}

function notify(bar: number, offset: number, length: number, multiplier: number): Uint8Array {
  const body = capability(Structure.notify, bar, offset, length, CAP_BYTES + 4);
  new DataView(body.buffer).setUint32(CAP.notifyMultiplier, multiplier, true);
  return body;
}

function capability(
  structure: number,
  bar: number,
  offset: number,
  length: number,
  bytes: number,
): Uint8Array {
  const body = new Uint8Array(bytes);
  const view = new DataView(body.buffer);
  view.setUint8(CAP.id, CAPABILITY_ID_VENDOR);
  view.setUint8(CAP.bytes, bytes);
  view.setUint8(CAP.structure, structure);
  view.setUint8(CAP.bar, bar);
  view.setUint32(CAP.offset, offset, true);
  view.setUint32(CAP.length, length, true);
  return body;
}
