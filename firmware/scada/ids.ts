// Names this board goes by at a broker and at Home Assistant, made from group and node: one to one, so
// that two boards never share one, and the same at every start. What the place does not take as a letter
// cannot just be replaced ("press.7" and "press-7" would meet), so a digest tells apart and the rest is
// for people. Pure.
import { createHash } from 'node:crypto';

export interface NodeIds {
  readonly group: string;
  readonly node: string;
}

/** What every MQTT 3.1.1 server takes (1.3.1.3 there): at most 23 letters and digits. */
export const CLIENT_ID_MAX = 23;
/** 36^15 is 2^77: no two of any number of boards that will ever be built. */
const DIGEST_LETTERS = 15;

/** Of one connection; `purpose` tells apart those of one board. */
export function clientId(ids: NodeIds, purpose: 'sparkplug' | 'status'): string {
  const forPeople = ids.node.replace(/[^A-Za-z0-9]/g, '').slice(0, CLIENT_ID_MAX - DIGEST_LETTERS);
  return forPeople + digest([purpose, ids.group, ids.node]);
}

/** Of a device in Home Assistant, and of the topic that announces it: letters, digits, "_", "-". */
export function deviceId(ids: NodeIds): string {
  const forPeople = `${ids.group}_${ids.node}`.replace(/[^A-Za-z0-9]/g, '_');
  return `twinstep_${forPeople}_${digest(['device', ids.group, ids.node])}`;
}

/** Of a list, not of its parts put together: "a-b", "c" is not "a", "b-c". */
function digest(parts: readonly string[]): string {
  const bytes = createHash('sha256').update(JSON.stringify(parts)).digest('hex');
  const letters = BigInt(`0x${bytes}`) % 36n ** BigInt(DIGEST_LETTERS);
  return letters.toString(36).padStart(DIGEST_LETTERS, '0');
}
