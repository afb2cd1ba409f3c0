// The configuration of a board without a peer, which a host without the hardware can run or read.

export interface Lone {
  readonly name?: string;
  /** Last number of its loopback address; the peer nobody is would have the next. */
  readonly host: number;
  readonly port?: number;
  readonly stateDir?: string;
  /** Lines of [board], and what follows [front]; the last line is of [guest]. */
  readonly board?: readonly string[];
  readonly more?: readonly string[];
  readonly guest?: readonly string[];
}

export function loneConfig(lone: Lone): string {
  const {
    name = 'alone',
    host,
    port,
    stateDir = 'state',
    board = [],
    more = [],
    guest = [],
  } = lone;
  return [
    ...['', '[board]', `name = "${name}"`, 'side = "a"', `state-dir = "${stateDir}"`],
    ...['pairing-key-file = "key"', ...board],
    ...['[log]', 'interface = "none"', 'over-front = false', '[serial]', 'port = "none"'],
    ...['[front]', 'interface = "lo"', `bind = "127.0.0.${host}"`, `peer = "127.0.0.${host + 1}"`],
    ...(port === undefined ? [] : [`port = ${port}`]),
    'gateway = "none"',
    ...more,
    ...['[guest]', 'kernel = "kernel"', ...guest],
    '',
  ].join('\n');
}

/** Stands in for a watchdog. */
export const STAND_IN = ['[watchdog]', 'kind = "stand-in"'] as const;
