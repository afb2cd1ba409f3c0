// The one rule of order among disk requests, for the device that holds them back and for disks that
// are handed several at once: what touches the same bytes happens in order of arrival, except reads
// beside reads. A flush touches no bytes: it speaks of writes already answered.

import type { DiskRequest } from '../contracts.ts';

export function mustFollow(later: DiskRequest, earlier: DiskRequest): boolean {
  if (later.operation === 'read' && earlier.operation === 'read') return false;
  return (
    later.offset < earlier.offset + earlier.bytes && earlier.offset < later.offset + later.bytes
  );
}
