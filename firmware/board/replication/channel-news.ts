// What the log channel tells, as events of the board. Pure.
import type { ChannelEvent } from '../../../logchan/endpoint.ts';
import type { PathChange } from '../../../logchan/paths.ts';
import type { ReplicationEvent } from './types.ts';

/** Undefined: nothing that people need. `names` are of the ways of the log, in order. */
export function channelNews(
  event: ChannelEvent,
  names: () => readonly string[],
): ReplicationEvent | undefined {
  switch (event.type) {
    case 'up':
      return { code: 'LINK-UP', text: 'the log link stands' };
    case 'down':
      return down(`the log link has ended: ${event.why}`, event.why);
    case 'refused':
      return {
        code: 'LINK-REFUSED',
        text: `the peer is refused: ${event.why}`,
        data: { why: event.why },
      };
    case 'link':
      return event.up ? undefined : down('no carrier on the log link', 'carrier');
    case 'active':
    case 'path-lost':
    case 'path-back':
      return pathNews(event, names());
    default:
      return undefined;
  }
}

const down = (text: string, why: string): ReplicationEvent => ({
  code: 'LINK-DOWN',
  text,
  data: { why },
});

function pathNews(change: PathChange, names: readonly string[]): ReplicationEvent {
  const path = names[change.path] ?? '';
  if (change.type === 'path-back')
    return { code: 'LOG-PATH-BACK', text: `the log can go over ${path} again`, data: { path } };
  if (change.type === 'path-lost') {
    const why = change.why === 'carrier' ? 'no carrier' : 'no answer';
    const text = `the log cannot go over ${path}: ${why}`;
    return { code: 'LOG-PATH-LOST', text, data: { path, why } };
  }
  const was = names[change.was] ?? '';
  const why = {
    carrier: `${was} has no carrier`,
    silent: `${was} gives no answer`,
    better: `${path} is good`,
  }[change.why];
  const text = `the log goes over ${path} now: ${why}`;
  return { code: 'LOG-PATH-TAKEN', text, data: { path, was, why } };
}
