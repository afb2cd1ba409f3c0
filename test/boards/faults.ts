// The faults, in the order they are tried. Each breaks something, waits until the boards have dealt with
// it, and mends it; what everybody saw is noted around it (story.ts).
import type { Side } from '../twin/network.ts';
import type { BoardsRig } from './rig.ts';

/** What a fault finds: who led when it came. */
export interface Scene {
  readonly rig: BoardsRig;
  readonly primary: Side;
  readonly backup: Side;
  /** Of each board's events: what came before. */
  readonly from: Readonly<Record<Side, number>>;
}

export interface Fault {
  readonly name: string;
  /** For the command line. */
  readonly id: string;
  /** Returns when the boards have dealt with it. */
  readonly happen: (scene: Scene) => Promise<void>;
  /** Returns when the cause is gone; the boards then have to find back by themselves. */
  readonly mend?: (scene: Scene) => Promise<void>;
  /** The guest starts again: its client too. */
  readonly endsGuest?: true;
}

const DEAL_MS = 120_000;
const BOOT_MS = 240_000;

const leads = ({ rig }: Scene, side: Side): Promise<void> =>
  rig.until(`${side} leads`, () => rig.primary === side, DEAL_MS);
const told = ({ rig, from }: Scene, side: Side, code: string, withinMs = DEAL_MS): Promise<void> =>
  rig.until(
    `${side} tells ${code}`,
    () => rig.boards[side].told(code, from[side]) !== undefined,
    withinMs,
  );
/** The board starts from nothing: its console is a new one. */
const startsAgain = async ({ rig }: Pick<Scene, 'rig'>, side: Side): Promise<void> => {
  await rig.until(`${side} starts again`, () => rig.boards[side].role !== '', BOOT_MS);
  await rig.login(side);
};

/** Installs the signed bundle, restarts by the technician's word, and is in step again. */
const update = async ({ rig }: Scene, side: Side): Promise<void> => {
  const { machine } = rig.boards[side];
  const answer = await rig.bundles.install(machine, 'good', 1);
  if (!/installed/.test(answer)) throw new Error(answer);
  const from = machine.text.length;
  await rig.technician(side).request('request reboot', `emulated-${side}`);
  await machine.says(/Twinstep: slot [AB]/, BOOT_MS, from);
  rig.boards[side].forget();
  await startsAgain({ rig }, side);
  await rig.redundant();
};

/** The guest was started anew, and its client with it. */
const servesAnew = async ({ rig }: Scene): Promise<void> => {
  await rig.redundant();
  rig.newClient();
  await rig.client.connect();
};

const cable = ({ rig, primary }: Scene, card: 'front' | 'log', isIn: boolean): Promise<void> =>
  card === 'log' ? rig.logCable(isIn) : rig.boards[primary].carrier('front', isIn);

const cableFault = (card: 'front' | 'log', words: string): Fault => ({
  name: words,
  id: card,
  happen: async (scene) => {
    await cable(scene, card, false);
    if (card === 'front') await leads(scene, scene.backup);
    else await told(scene, scene.primary, 'REDUNDANCY-LOST');
  },
  mend: (scene) => cable(scene, card, true),
});

/** A command that ends the machine it runs on, or its user's processes, has no answer. */
const unanswered = ({ rig, primary }: Scene, command: string): void => {
  rig.boards[primary].machine.shell(command).catch(() => {});
};

/** From one plug to the next. */
const aHandLater = () => new Promise((resolve) => setTimeout(resolve, 500));

export const FAULTS: readonly Fault[] = [
  {
    name: 'the primary loses its power',
    id: 'power',
    happen: async (scene) => {
      await scene.rig.powerCut(scene.primary);
      await leads(scene, scene.backup);
    },
    mend: async (scene) => {
      await scene.rig.powerOn(scene.primary);
      await startsAgain(scene, scene.primary);
    },
  },
  {
    name: 'log cable, front cable and serial cable of the primary are pulled one by one, then its power',
    id: 'plugs',
    happen: async (scene) => {
      const { rig, primary, backup } = scene;
      await rig.logCable(false);
      await aHandLater();
      await rig.boards[primary].carrier('front', false);
      await aHandLater();
      rig.serial.isWhole = false;
      await aHandLater();
      await rig.powerCut(primary);
      await leads(scene, backup);
    },
    mend: async (scene) => {
      const { rig, primary } = scene;
      rig.serial.isWhole = true;
      await rig.logCable(true);
      await rig.powerOn(primary);
      await startsAgain(scene, primary);
    },
  },
  {
    name: "the primary's reset button",
    id: 'reset',
    happen: async (scene) => {
      await scene.rig.boards[scene.primary].reset();
      await leads(scene, scene.backup);
    },
    mend: (scene) => startsAgain(scene, scene.primary),
  },
  cableFault('front', 'the front cable of the primary is pulled'),
  cableFault('log', 'the log cable is pulled'),
  {
    name: 'the serial cable is cut',
    id: 'serial',
    happen: async (scene) => {
      scene.rig.serial.isWhole = false;
      await told(scene, scene.primary, 'PATH-SILENT');
    },
    mend: async (scene) => {
      scene.rig.serial.isWhole = true;
      await told(scene, scene.primary, 'PATH-TALKS');
    },
  },
  {
    name: 'every process of the firmware on the primary hangs (SIGSTOP); the real watchdog resets it',
    id: 'hang',
    happen: async (scene) => {
      unanswered(scene, 'kill -STOP $(pidof node)');
      await leads(scene, scene.backup);
      await told(scene, scene.primary, 'WATCHDOG-BIT', BOOT_MS);
    },
    mend: (scene) => startsAgain(scene, scene.primary),
  },
  {
    name: 'kernel panic on the primary',
    id: 'panic',
    happen: async (scene) => {
      unanswered(scene, 'echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger');
      await leads(scene, scene.backup);
      await told(scene, scene.primary, 'BOARD-STARTED', BOOT_MS);
    },
    mend: (scene) => startsAgain(scene, scene.primary),
  },
  {
    name: "the primary's data partition is full",
    id: 'disk-full',
    happen: async (scene) => {
      const { rig, primary } = scene;
      await rig.boards[primary].machine.shell(
        'dd if=/dev/zero of=/data/full bs=1M >/dev/null 2>&1; sync; df -k /data | tail -n 1',
        180_000,
      );
      await rig.client.answers(20, DEAL_MS);
    },
    mend: async ({ rig, primary }) => {
      await rig.boards[primary].machine.shell('rm /data/full; sync', 180_000);
    },
  },
  {
    name: 'both boards are updated, one after the other',
    id: 'update',
    happen: async (scene) => {
      const { rig, primary, backup } = scene;
      await update(scene, backup);
      await rig.technician(primary).request('request switch-over', 'yes');
      await leads(scene, backup);
      await rig.redundant();
      await update(scene, primary);
    },
  },
  {
    name: 'the power of the whole plant fails',
    id: 'both',
    endsGuest: true,
    happen: async ({ rig }) => {
      await Promise.all([rig.powerCut('a'), rig.powerCut('b')]);
    },
    mend: async (scene) => {
      const { rig } = scene;
      await Promise.all([rig.powerOn('a'), rig.powerOn('b')]);
      await Promise.all([startsAgain(scene, 'a'), startsAgain(scene, 'b')]);
      await servesAnew(scene);
    },
  },
  {
    name: 'the backup loses its power, and comes back with the log cable out',
    id: 'start-without-log',
    happen: async (scene) => {
      const { rig, backup } = scene;
      await rig.powerCut(backup);
      await told(scene, scene.primary, 'REDUNDANCY-LOST');
      await rig.logCable(false);
      await rig.powerOn(backup);
      await startsAgain(scene, backup);
      // It hears the primary on the other paths, and waits for the log.
      await rig.until('it follows', () => rig.boards[backup].role === 'target', DEAL_MS);
      await rig.client.answers(20, DEAL_MS);
    },
    mend: ({ rig }) => rig.logCable(true),
  },
  {
    name: 'the power of the whole plant fails, and the primary comes back alone',
    id: 'alone',
    endsGuest: true,
    happen: async (scene) => {
      const { rig, primary } = scene;
      await Promise.all([rig.powerCut('a'), rig.powerCut('b')]);
      await rig.powerOn(primary);
      await startsAgain(scene, primary);
      // Its record says that the other board may have gone on: it waits, and says for whom.
      await told(scene, primary, 'PATH-SILENT', BOOT_MS);
      const words = await rig.technician(primary).command('show status');
      if (!/STARTING/.test(words)) throw new Error(`it does not say that it waits: ${words}`);
    },
    mend: async (scene) => {
      await scene.rig.powerOn(scene.backup);
      await startsAgain(scene, scene.backup);
      await servesAnew(scene);
    },
  },
];
