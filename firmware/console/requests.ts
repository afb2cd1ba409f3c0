// What changes the pair: each says first what it does, asks, and shows how it went. Nothing that would stop
// the service is even offered; the board itself decides, here it is only said early and in words. Pure.
import { mayRestart } from '../board/service-rules.ts';
import type { Status } from '../board/status.ts';
import { type Context, statusOr, tellNoBoard } from './context.ts';
import {
  ask,
  type ConfigText,
  type ControlRequest,
  call,
  type Dialogue,
  type Done,
  print,
  readLine,
} from './needs.ts';

type Run = (args: readonly string[], context: Context) => Dialogue;

const WAIT_LOOKS = 60;
const LOOK_MS = 250;

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

function* request(asked: ControlRequest, isDone?: (status: Status) => boolean): Dialogue {
  const answer = yield* ask(asked);
  if (!answer.ok) {
    if (answer.isAbsent === true) yield* tellNoBoard(answer);
    else yield* print(`Refused: ${answer.why}.\n`);
    return;
  }
  if (isDone === undefined) return yield* print('Taken.\n');
  for (let look = 0; look < WAIT_LOOKS; look++) {
    const now = yield* ask({ do: 'status' });
    if (now.ok && now.status !== undefined && isDone(now.status)) return yield* print('Done.\n');
    if (!now.ok) return yield* print(`The board does not answer any more: ${now.why}\n`);
    yield { need: 'wait', ms: LOOK_MS };
  }
  yield* print('Begun, but not done yet: look at "show status".\n');
}

export function* switchOver(): Dialogue {
  const status = yield* statusOr();
  if (status === null) return;
  if (status.role !== 'protected' || status.pairState !== 'RUN-Redundant')
    return yield* print(
      `Refused: only the primary of a redundant pair hands over (${status.role}, ${status.pairState}).\n`,
    );
  const words = `${status.board.name} hands over to the other board. The guest goes on without loss.`;
  if (!(yield* confirm(words, null))) return;
  yield* request(
    { do: 'switch-over' },
    ({ role, pairState }) => role === 'backup' && pairState === 'RUN-Redundant',
  );
}

export function* testFailover(): Dialogue {
  const status = yield* statusOr();
  if (status === null) return;
  if (status.role !== 'protected' || status.pairState !== 'RUN-Redundant')
    return yield* print(
      `Refused: only the primary of a redundant pair can be taken over from (${status.role}, ${status.pairState}).\n`,
    );
  const words = `The watchdog RESETS ${status.board.name}; the other board takes over. This console ends.`;
  if (yield* confirm(words, status.board.name)) yield* request({ do: 'test-failover' });
}

export function maintenance(on: boolean): Run {
  return function* () {
    if (!on) return yield* request({ do: 'maintenance', on }, ({ role }) => role !== 'maintenance');
    const status = yield* statusOr();
    if (status === null) return;
    const words = `${status.board.name} takes no part any more: there is no redundancy until "request maintenance off".`;
    if (!(yield* confirm(words, null))) return;
    yield* request({ do: 'maintenance', on }, ({ role }) => role === 'maintenance');
  };
}

export function syncUp(allowed: boolean): Run {
  return function* () {
    const words =
      'A board that returns will wait, and the pair stays without redundancy until it is allowed again.';
    if (!allowed && !(yield* confirm(words, null))) return;
    yield* request({ do: 'sync-up', allowed });
  };
}

export function* forceLead(): Dialogue {
  const status = yield* statusOr();
  if (status === null) return;
  if (status.role !== 'seeking')
    return yield* print(`Refused: only a board that waits can be made to lead (${status.role}).\n`);
  const words =
    'This board leads from ITS disk. What the other board has and this one has not IS LOST.';
  if (yield* confirm(words, status.board.name))
    yield* request({ do: 'force-lead' }, ({ role }) => role === 'solo');
}

/** The board process alone: it takes its configuration, the machine stays up. */
export function* restart(): Dialogue {
  const status = yield* statusOr();
  if (status === null) return;
  if (!mayRestart(status)) return yield* print(`Refused: ${status.safeToRemove.why}.\n`);
  const { problems } = yield* call<ConfigText>({ do: 'config' });
  if (problems.length > 0)
    return yield* print(`Refused: its configuration is wrong.\n${problems.join('\n')}\n`);
  const handsOver = status.role === 'protected' ? ' It hands over to the other board first.' : '';
  const words = `${status.board.name} starts anew; until it is back in step there is no redundancy.${handsOver}`;
  if (!(yield* confirm(words, null))) return;
  const { boot } = status.board;
  const answer = yield* ask({ do: 'restart' });
  if (!answer.ok) return yield* print(`Refused: ${answer.why}.\n`);
  for (let look = 0; look < WAIT_LOOKS; look++) {
    yield { need: 'wait', ms: LOOK_MS };
    const now = yield* ask({ do: 'status' });
    if (now.ok && now.status !== undefined && now.status.board.boot > boot)
      return yield* print('Done: it runs with its configuration. Wait for RUN-Redundant.\n');
  }
  yield* print('It is not back yet: look at "show status".\n');
}

/** Orderly: the board stops first, and it refuses when it serves and nobody can take over. */
export function power(what: 'reboot' | 'power-off'): Run {
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
      const stopped = yield* ask({ do: 'stop' });
      if (!stopped.ok) return yield* print(`Refused: ${stopped.why}.\n`);
      if (!(yield* hasEnded()))
        return yield* print('The board has not stopped yet; nothing else is done. Try again.\n');
    }
    const done = yield* call<Done>({ do: 'power', what });
    yield* print(done.ok ? `This machine ${words} now.\n` : `Not done: ${done.why}\n`);
  };
}

function* hasEnded(): Dialogue<boolean> {
  for (let look = 0; look < WAIT_LOOKS; look++) {
    const now = yield* ask({ do: 'status' });
    if (!now.ok && now.isAbsent === true) return true;
    yield { need: 'wait', ms: LOOK_MS };
  }
  return false;
}
