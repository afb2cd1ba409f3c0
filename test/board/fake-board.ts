// A whole board as a process of its own, with fake replication: `fake-board CONFIG`. What `twinstep board`
// starts, but for the guest.
import { Board } from '../../firmware/board/board.ts';
import { loadConfig } from '../../firmware/board/config/load.ts';
import { RESTART_CODE } from '../../firmware/board/supervise.ts';
import { SupervisorLine } from '../../firmware/board/supervisor-line.ts';
import { watchdog as native } from '../../native/index.ts';
import { LOCK_FD, SENTINEL_FD, WORD_FD } from '../../watchdog/supervisor.ts';
import { FakeLink, FakeReplication } from './fake-replication.ts';

const [file = ''] = process.argv.slice(2);
const loaded = await loadConfig(file);
native.forgoCoreDumps();
native.startSentinel(SENTINEL_FD);
const board = await Board.start({
  ...loaded,
  makeReplication: (_config, _key, _about, events) =>
    new FakeReplication(
      new FakeLink(),
      events,
      () => native.bootClockMs(),
      () => {},
    ),
  lock: LOCK_FD,
  supervisor: new SupervisorLine(WORD_FD),
  group: process.pid,
  stdout: 1,
  onMute: () => process.kill(process.pid, 'SIGKILL'),
});
process.on('SIGTERM', () => void board.shutDown());
// It does not outlive the test.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(9);
}, 200);
await board.ended;
process.exit(board.isToBeRestarted ? RESTART_CODE : 0);
