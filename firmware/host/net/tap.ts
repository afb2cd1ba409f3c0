// A TAP interface as a network cable.
import { HostTap } from '../tap.ts';
import type { NetLink, NetLinkEvents } from './link.ts';

export function tapLink(name: string, { onFrames, onTrouble }: NetLinkEvents): NetLink {
  const tap = new HostTap({
    name,
    onFrames,
    onGone: () => onTrouble(`TAP ${name} was deleted; the guest goes on without`),
  });
  return {
    where: name,
    start: () => tap.start(),
    send: (frame) => void tap.send(frame),
    close: async () => tap.close(),
  };
}
