// The plant around two emulated boards, in this process's network namespace: a bridge as plant LAN with
// a gateway that is also the broker's host, and a TAP for each board's front card.
//
//     this namespace:   plant (bridge: gateway, client, broker)
//                         ├ front-a (QEMU a)     ├ front-b (QEMU b)
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ip } from '../harness/netns.ts';
import { PLANT_INTERFACE, SIDES, type Side } from '../twin/network.ts';

export const GATEWAY = '10.77.0.1';
export const ADDRESS: Readonly<Record<Side, string>> = { a: '10.77.0.11', b: '10.77.0.12' };
const BROKER_PORT = 1883;
export const BROKER = `mqtt://${GATEWAY}:${BROKER_PORT}`;
const PROGRAMS = { broker: '/usr/sbin/mosquitto', watcher: '/usr/bin/mosquitto_sub' };
/** Does not outlive this process. */
const TIED = ['--pdeathsig', 'KILL'];
export const hasBroker = (): boolean => Object.values(PROGRAMS).every((path) => existsSync(path));

export const frontTap = (side: Side): string => `front-${side}`;
export const statusTopic = (side: Side): string => `plant/${side}/status`;

export function makePlant(): void {
  writeFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', '1');
  ip('link', 'add', 'name', PLANT_INTERFACE, 'type', 'bridge', 'stp_state', '0');
  ip('link', 'set', PLANT_INTERFACE, 'up');
  ip('address', 'add', `${GATEWAY}/24`, 'dev', PLANT_INTERFACE);
  for (const side of SIDES) {
    ip('tuntap', 'add', 'dev', frontTap(side), 'mode', 'tap');
    ip('link', 'set', frontTap(side), 'master', PLANT_INTERFACE, 'up');
  }
}

/** What the control room sees: the last retained status of each board. */
export class Scada {
  /** Since the last `forget`: each change of what a board told. */
  private readonly told: Record<Side, string[]> = { a: [], b: [] };
  private readonly last: Record<Side, string> = { a: 'nothing', b: 'nothing' };
  private readonly children: ChildProcess[] = [];

  async start(folder: string): Promise<void> {
    const file = join(folder, 'mosquitto.conf');
    const lines = ['user root', `listener ${BROKER_PORT} ${GATEWAY}`, 'allow_anonymous true'];
    writeFileSync(file, `${lines.join('\n')}\n`);
    this.children.push(
      spawn('setpriv', [...TIED, PROGRAMS.broker, '-c', file], { stdio: 'ignore' }),
    );
    while (!(await answers())) await sleep(50);
    const topics = SIDES.flatMap((side) => ['-t', statusTopic(side)]);
    const watcher = spawn('setpriv', [...TIED, PROGRAMS.watcher, '-h', GATEWAY, '-v', ...topics], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.children.push(watcher);
    let rest = '';
    watcher.stdout.on('data', (bytes: Buffer) => {
      const all = (rest + bytes.toString('utf8')).split('\n');
      rest = all.pop() ?? '';
      for (const line of all) this.hear(line);
    });
  }

  forget(): void {
    for (const side of SIDES) this.told[side] = [];
  }

  now(side: Side): string {
    return this.last[side];
  }

  /** "a: offline, backup RUN-Redundant; b: solo RUN-Solo" */
  words(): string {
    const parts = SIDES.filter((side) => this.told[side].length > 0);
    return (
      parts.map((side) => `${side}: ${this.told[side].join(', ')}`).join('; ') || 'nothing new'
    );
  }

  close(): void {
    for (const child of this.children) child.kill('SIGKILL');
  }

  private hear(line: string): void {
    const at = line.indexOf(' ');
    const side = SIDES.find((one) => statusTopic(one) === line.slice(0, at));
    if (side === undefined) return;
    const words = statusWords(line.slice(at + 1));
    if (words === this.last[side]) return;
    this.last[side] = words;
    this.told[side].push(words);
  }
}

function statusWords(text: string): string {
  const said = JSON.parse(text) as {
    online: boolean;
    reachable?: boolean;
    arbiterRole?: string;
    pairState?: string;
  };
  if (!said.online) return 'offline';
  return said.reachable === true ? `${said.arbiterRole} ${said.pairState}` : 'does not answer';
}

function answers(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(BROKER_PORT, GATEWAY, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
