// Starts without a carrier on the log card: the very first power-on with the log cable out, and one board alone after a
// blackout of both. Nothing of it needs a pair in step, for which emulated processors take many minutes.
import { SIDES, type Side } from '../twin/network.ts';
import type { BoardsRig } from './rig.ts';

const BOOT_MS = 300_000;
const DEAL_MS = 120_000;
const ANSWERS = 20;

export async function starts(rig: BoardsRig, say: (words: string) => void): Promise<void> {
  const told = (words: string) => say(`${rig.seconds()} ${words}`);
  await firstWithoutLog(rig);
  told(
    'both started for the first time with the log cable out: they hear each other elsewhere, and wait',
  );
  const words = await rig.technician('a').request('request force-lead', 'emulated-a');
  await rig.until(`a leads (${words})`, () => rig.primary === 'a', BOOT_MS);
  await rig.client.connect();
  await rig.client.answers(ANSWERS, DEAL_MS);
  told('a leads by the word of an operator, and its guest serves');
  await cableIn(rig);
  told('the log cable is put in: both take it, b is brought into step; neither started again');
  await aloneAfterBlackout(rig);
  told(
    'after a blackout a is alone, its log card without a carrier: it leads, and its guest serves',
  );
  await theOtherReturns(rig);
  told('b has power again: a takes the link and brings it into step; a did not start again');
}

async function firstWithoutLog(rig: BoardsRig): Promise<void> {
  await rig.logCable(false);
  await Promise.all(SIDES.map((side) => rig.powerOn(side)));
  await Promise.all(SIDES.map((side) => rig.login(side)));
  for (const side of SIDES) {
    const board = rig.boards[side];
    await rig.until(`${side} seeks`, () => board.role === 'seeking', BOOT_MS);
    for (const code of ['LINK-DOWN', 'PEER-SEEN'])
      await rig.until(`${side} tells ${code}`, () => board.told(code, 0) !== undefined, BOOT_MS);
  }
}

async function cableIn(rig: BoardsRig): Promise<void> {
  const { a, b } = rig.boards;
  const from = { a: a.events.length, b: b.events.length };
  await rig.logCable(true);
  for (const side of SIDES)
    await rig.until(
      `${side} takes the cable`,
      () => rig.boards[side].told('LINK-UP', from[side]) !== undefined,
      DEAL_MS,
    );
  await rig.until('b is to be brought into step', () => b.role === 'target', DEAL_MS);
  for (const side of SIDES) didNotStart(rig, side, from[side]);
}

async function aloneAfterBlackout(rig: BoardsRig): Promise<void> {
  const { a } = rig.boards;
  await Promise.all(SIDES.map((side) => rig.powerCut(side)));
  const from = a.events.length;
  await rig.powerOn('a');
  await rig.until('a says something', () => a.role !== '', BOOT_MS);
  await rig.login('a');
  await rig.until('a leads alone', () => a.role === 'solo', BOOT_MS);
  if (a.told('LINK-DOWN', from) === undefined) throw new Error('it did not miss the carrier');
  const status = await rig.technician('a').command('show status');
  if (!/NOT REDUNDANT/.test(status)) throw new Error(`it does not say so: ${status}`);
  rig.newClient();
  await rig.client.connect();
  await rig.client.answers(ANSWERS, DEAL_MS);
}

async function theOtherReturns(rig: BoardsRig): Promise<void> {
  const { a, b } = rig.boards;
  const from = a.events.length;
  await rig.powerOn('b');
  await rig.until('a takes the link', () => a.told('LINK-UP', from) !== undefined, BOOT_MS);
  await rig.until('b is to be brought into step', () => b.role === 'target', BOOT_MS);
  didNotStart(rig, 'a', from);
}

function didNotStart(rig: BoardsRig, side: Side, from: number): void {
  if (rig.boards[side].told('BOARD-STARTED', from) !== undefined)
    throw new Error(`${side} started again\n${rig.words()}`);
}
