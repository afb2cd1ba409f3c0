// What changes the pair: each says first what it does, asks, and shows how it ended. The commands are made from the
// table of operator requests. Nothing that would stop the service is even offered; the board itself decides, here
// it is only said early and in words. Pure.
import type { OperatorRequest } from '../../watchdog/arbiter-types.ts';
import {
  formOf,
  OPERATOR_REQUESTS,
  type Outcome,
  outcomeIn,
  type RequestName,
  refusedEarly,
  requestOf,
  wordsOf,
} from '../board/operator-requests.ts';
import type { Status } from '../board/status.ts';
import { type Command, statusOr, tellNoBoard } from './context.ts';
import { ask, call, type Dialogue, type Done, print, readLine } from './needs.ts';

const LOOK_MS = 250;

/** `request ...`, one for each form of each request. */
export function requestCommands(): Command[] {
  const fixed = forms().map((asked) => ({
    words: `request ${wordsOf(asked)}`,
    help: formOf(asked).help,
    role: OPERATOR_REQUESTS[asked.request].by ?? 'admin',
    run: () => request(asked),
  }));
  return [...fixed, ...numbered()];
}

/** Those that take a number. */
function numbered(): Command[] {
  return Object.entries(OPERATOR_REQUESTS).flatMap(([name, { number, by, help }]) => {
    if (number === undefined || by === null) return [];
    const run: Command['run'] = function* ([given = '']) {
      const value = /^\d+$/.test(given) ? Number(given) : given;
      const asked = requestOf(name as RequestName, { [number.name]: value });
      if (typeof asked !== 'string') yield* request(asked);
      else
        yield* print(
          `${given}: ${number.unit} is a whole number, 0 to ${number.max}: ${number.help}.\n`,
        );
    };
    return [{ words: `request ${name} <${number.unit}>`, help, role: by, run }];
  });
}

/** Of requests with more than one form. */
export function requestGroups(): Record<string, string> {
  const groups = forms().map(({ request }) => [
    `request ${request}`,
    OPERATOR_REQUESTS[request].help,
  ]);
  return Object.fromEntries(groups);
}

function forms(): OperatorRequest[] {
  return Object.entries(OPERATOR_REQUESTS).flatMap(([name, { by, field, number }]) => {
    if (by === null || number !== undefined) return [];
    const values = field === undefined ? [{}] : [{ [field.name]: true }, { [field.name]: false }];
    return values.map((value) => requestOf(name as RequestName, value) as OperatorRequest);
  });
}

function* request(asked: OperatorRequest): Dialogue {
  const status = yield* statusOr();
  if (status === null) return;
  const early = refusedEarly(asked, status);
  if (early !== null) return yield* print(`Refused: ${early}.\n`);
  const { byName, afterwards } = OPERATOR_REQUESTS[asked.request];
  const { warning } = formOf(asked);
  const name = byName === true ? status.board.name : null;
  if (warning !== undefined && !(yield* confirm(warning(status), name))) return;
  const outcome = yield* carriedOut(asked, status);
  if (outcome === null) return;
  // The prompt tells what this board has become.
  yield* ask({ do: 'status' });
  if (!outcome.done) yield* print(`Failed: ${outcome.why}.\n`);
  else yield* print(afterwards === undefined ? 'Done.\n' : `Done: ${afterwards}\n`);
}

/** Typing the name of the board shows that one knows which cable one holds. */
function* confirm(words: string, name: string | null): Dialogue<boolean> {
  yield* print(`${words}\n`);
  const prompt =
    name === null ? 'Go on? [yes/no] ' : `Type the name of the board (${name}) to go on: `;
  const given = (yield* readLine(prompt)).trim();
  const isYes = name === null ? given.toLowerCase() === 'yes' : given === name;
  if (!isYes) yield* print('Nothing is done.\n');
  return isYes;
}

/** How it ended; null: refused, or not done yet, and that has been said. */
function* carriedOut(asked: OperatorRequest, before: Status): Dialogue<Outcome | null> {
  const { request: name, ...fields } = asked;
  const answer = yield* ask({ do: name, ...fields });
  if (!answer.ok) {
    if (answer.isAbsent === true) yield* tellNoBoard(answer);
    else yield* print(`Refused: ${answer.why}.\n`);
    return null;
  }
  const { taken = 0, done = false } = answer;
  const { ends, withinMs } = OPERATOR_REQUESTS[name];
  if (done && ends === 'told') return { done: true };
  for (let leftMs = withinMs(before); leftMs > 0; leftMs -= LOOK_MS) {
    const outcome = yield* look(ends, taken, before);
    if (outcome !== null) return outcome;
    yield { need: 'wait', ms: LOOK_MS };
  }
  yield* print('Begun, but not done yet: look at "show status".\n');
  return null;
}

function* look(
  ends: 'told' | 'gone' | 'back',
  taken: number,
  before: Status,
): Dialogue<Outcome | null> {
  if (ends === 'back') {
    const now = yield* ask({ do: 'status' });
    if (now.ok && now.status !== undefined && now.status.board.boot > before.board.boot)
      return { done: true };
    if (!now.ok) return null;
  }
  const now = yield* ask({ do: 'events', after: taken });
  if (!now.ok) {
    if (now.isAbsent !== true || ends === 'back') return null;
    return ends === 'gone'
      ? { done: true }
      : { done: false, why: 'the board does not answer any more' };
  }
  const outcome = outcomeIn(now.events ?? [], taken);
  const isBegun = outcome?.done === true && ends !== 'told';
  return isBegun ? null : outcome;
}

/** Orderly: the board stops first, and it refuses when it serves and nobody can take over. */
export function power(what: 'reboot' | 'power-off'): Command['run'] {
  return function* () {
    const answer = yield* ask({ do: 'status' });
    const words = what === 'reboot' ? 'starts anew' : 'is switched off';
    if (!answer.ok) {
      if (answer.isAbsent !== true) return yield* print(`Refused: ${answer.why}.\n`);
      const unsure = `No board answers on this machine, so nobody serves here. The machine ${words}.`;
      if (!(yield* confirm(unsure, null))) return;
    } else if (answer.status !== undefined) {
      const { status } = answer;
      if (!status.safeToRemove.ok && status.role !== 'protected')
        return yield* print(`Refused: ${status.safeToRemove.why}.\n`);
      const handsOver =
        status.role === 'protected' ? ' It hands over to the other board first.' : '';
      if (!(yield* confirm(`${status.board.name} ${words}.${handsOver}`, status.board.name)))
        return;
      const outcome = yield* carriedOut({ request: 'stop', force: false }, status);
      if (outcome === null) return yield* print('The machine stays on.\n');
      if (!outcome.done)
        return yield* print(`The board has not stopped: ${outcome.why}. The machine stays on.\n`);
    }
    const done = yield* call<Done>({ do: 'power', what });
    yield* print(done.ok ? `This machine ${words} now.\n` : `Not done: ${done.why}\n`);
  };
}
