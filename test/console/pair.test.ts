// The console against a real pair: two `twinstep board` processes with their cables, plant and guest, a
// technician at each. Screens are kept with their figures masked.
import { existsSync, readFileSync } from 'node:fs';
import { makeUser, saveUsers } from '../../firmware/console/users.ts';
import { smallGuest } from '../guests/plant/plant.ts';
import { assert, needs, repoPath, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { PATIENT } from '../twin/chaos.ts';
import type { Side } from '../twin/network.ts';
import { TwinRig } from '../twin/rig.ts';
import { golden } from './screen.ts';
import { Technician } from './technician.ts';

await enterNamespace();
const test = suite('console/pair');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));
test.needs(needs.command('gcc'));

const WHO = { user: 'eva', password: 'correct horse' };
const STEP_MS = 60_000;
const RETURN_MS = 150_000;
let rig: TwinRig;
let at: Record<Side, Technician>;

/** What changes from run to run, and which alarms a busy machine has. */
function masked(screen: string): string {
  return (
    screen
      .replace(/^alarms? .*(\n {11}.*)*/im, 'alarms     MASKED')
      .replace(/, (\d+ % compared|compared \S+: equal)/, '')
      .replace(/, clock [\d.]+ ms (behind|ahead)/, '')
      .replace(/\d+ (d|h|min|s)( \d+ (h|min|s))?\b/g, 'SPAN')
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME')
      // The first number of a start is drawn, and may have eight digits.
      .replace(/\bnumber \d+/g, 'number #')
      .replace(/\b[0-9a-f]{8}\b/g, 'HASH')
      .replace(/\d+(\.\d+)?/g, '#')
      .replace(/(# kbit\/s|# ms|leaves .*log),? .*waiting.*/g, '$1')
      .replace(/ +$/gm, '')
  );
}

/** From the newest prompt with this command on. */
function lastScreen(technician: Technician, command: string): string {
  const { all } = technician.screen;
  return masked(`${all.slice(all.lastIndexOf(`# ${command}`) + 2).trimEnd()}\n`);
}

async function begin(): Promise<void> {
  rig = await TwinRig.make({ guest: smallGuest(), more: PATIENT });
  const users = new Map([[WHO.user, await makeUser(WHO.user, 'admin', WHO.password)]]);
  const technician = async (side: Side) => {
    const outside = rig.boards[side].path('board.toml');
    await saveUsers(rig.boards[side].path('users'), users);
    const { pid } = rig.network.boards[side];
    const inside = ['nsenter', '--net', '--mount', '--target', String(pid)];
    return new Technician(outside.replace(/^\/proc\/\d+\/root/, ''), WHO, inside);
  };
  await rig.begin('a');
  await rig.redundant();
  at = { a: await technician('a'), b: await technician('b') };
}
test.after(async () => {
  // Either is missing when the first test failed early.
  for (const technician of Object.values(at ?? {})) await technician.end();
  await (rig as TwinRig | undefined)?.close();
});

/** A busy machine may just have been deaf for a moment: the kept screen must be seen within five looks. */
async function keeps(
  technician: Technician,
  command: string,
  sentence: string,
  prompt: string,
  name: string,
): Promise<void> {
  const kept = repoPath(`test/vectors/console/${name}.txt`);
  let text = '';
  for (let look = 0; look < 5; look++) {
    technician.types(`${command}\r`);
    await technician.sees(sentence);
    await technician.sees(prompt);
    text = lastScreen(technician, command);
    if (existsSync(kept) && readFileSync(kept, 'utf8') === text) break;
  }
  golden(name, text);
}

/** A console is told how things are once a second. */
async function promptIs(technician: Technician, prompt: string): Promise<void> {
  const endMs = performance.now() + STEP_MS;
  while (!technician.screen.all.trimEnd().endsWith(prompt.trimEnd())) {
    if (performance.now() > endMs) throw new Error(`no ${prompt}\n${technician.screen.all}`);
    technician.types('\r');
    await technician.sees('# ');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const PROMPT = {
  primary: 'PRIMARY RUN-Redundant# ',
  backup: 'BACKUP RUN-Redundant# ',
} as const;

test(
  'login and status on both, the versions of both, the guest by its serial line',
  async () => {
    await begin();
    const { a, b } = at;
    await Promise.all([a.login(), b.login()]);
    await a.sees(PROMPT.primary);
    await keeps(a, 'show status', 'Do NOT switch off plant-a', PROMPT.primary, 'pair-primary');
    await b.sees(PROMPT.backup);
    await keeps(b, 'show status', 'You MAY switch off plant-b', PROMPT.backup, 'pair-backup');
    const equal = 'What both configurations must share is equal.';
    await keeps(a, 'show versions', equal, PROMPT.primary, 'pair-versions');
    // This guest answers each byte with the next one.
    a.types('guest console\r');
    await a.at('Ctrl-] leaves', 'GDKKN');
    await a.at('HELLO', '\x1d');
    await a.sees('left the guest console');
  },
  { timeoutMs: 4 * STEP_MS },
);

test(
  'a primary that serves alone is not switched off; a switch-over is; everything is told',
  async () => {
    const { a, b } = at;
    b.types('request maintenance on\r');
    await b.at('[yes/no] ', 'yes\r');
    await b.sees('Done.', STEP_MS);
    await rig.until('a serves alone', () => rig.boards.a.status?.pairState === 'RUN-Solo', STEP_MS);
    a.types('request power-off\r');
    await a.sees('Refused: it serves alone: the guest would stop.');
    await a.at('RUN-Solo# ', 'request restart\r');
    await a.sees('Refused: it serves alone: the guest would stop.');
    await b.at('# ', 'request maintenance off\r');
    await b.sees('Done.', STEP_MS);
    await rig.redundant();
    await promptIs(a, PROMPT.primary);
    a.types('request switch-over\r');
    await a.at('[yes/no] ', 'yes\r');
    await a.sees('Done.', STEP_MS);
    await promptIs(a, PROMPT.backup);
    a.types('terminal length 0\rshow log 60\r');
    await a.sees('HANDOVER-BEGUN', STEP_MS);
  },
  { timeoutMs: 4 * STEP_MS },
);

test(
  'a configuration on trial that nobody confirms: in force, gone by itself, the guest runs all the time',
  async () => {
    const { a } = at;
    const { b } = rig.boards;
    const lives = b.status?.guest.lives;
    let isServed = true;
    b.onEvent = ({ code }) => {
      if (['GUEST-STARTED', 'GUEST-REBOOTED', 'GUEST-FAILED'].includes(code)) isServed = false;
    };
    a.types('configure\r');
    await a.at('configure# ', 'set board.name renamed\r');
    await a.at('configure*# ', 'commit confirmed 1\r');
    await a.sees('On trial.');
    await a.at('configure# ', 'exit\r');
    await promptIs(a, 'TRIAL 1min# ');
    a.types('request restart\r');
    await a.at('[yes/no] ', 'yes\r');
    await a.sees('Done: it runs with its configuration', STEP_MS);
    const nameIs = (name: string) => rig.boards.a.status?.board.name === name;
    await rig.until('the new name', () => nameIs('renamed'), STEP_MS);
    await rig.until('the old name is back', () => nameIs('plant-a'), RETURN_MS);
    await rig.redundant();
    const codes = rig.boards.a.events.map(({ code }) => code);
    assert.ok(codes.includes('CONFIG-RETURNED') && codes.includes('RESTART-ASKED'));
    assert.is(b.status?.role, 'protected');
    assert.is(b.status?.guest.lives, lives);
    assert.ok(isServed);
    a.types('show config history\r');
    await a.sees('went by itself, not confirmed');
  },
  { timeoutMs: 5 * STEP_MS },
);

test.run();
