// A whole board as a process of its own, with fake hands: `fake-board CONFIG`. What `twinstep board`
// starts, but for the guest.
import { Board } from '../../firmware/board/board.ts';
import { loadConfig } from '../../firmware/board/config/load.ts';
import { RESTART_CODE } from '../../firmware/board/supervise.ts';
import { watchdog as native } from '../../native/index.ts';
import { FakeHands, FakeLink } from './fake-hands.ts';

const [file = ''] = process.argv.slice(2);
const loaded = await loadConfig(file);
native.forgoCoreDumps();
native.startSentinel(3);
const board = await Board.start({
  ...loaded,
  prepareHands: () =>
    Promise.resolve(
      (events) =>
        new FakeHands(
          new FakeLink(),
          events,
          () => native.bootClockMs(),
          () => {},
        ),
    ),
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
