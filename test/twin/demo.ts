// `npm run demo`: two boards, an unmodified Linux on them, and what happens when things break. Everything in
// network namespaces of its own; as root, or in user namespaces without it. `--plain`: lines instead of
// a picture, for logs and CI. `--small`: with the small bundled guest, which is otherwise taken only where
// Debian's archive is out of reach. Ends with 0 only if all that it says was verified, 1 if something was
// not as it must be, 3 where this machine cannot run it.
import { availableParallelism, loadavg } from 'node:os';
import { DebianError } from '../guests/linux/debian.ts';
import { type PlantGuest, plantGuest, smallGuest } from '../guests/plant/plant.ts';
import { needs } from '../harness/index.ts';
import { enterNamespace, ip } from '../harness/netns.ts';
import { optionsOf } from '../harness/options.ts';
import { Chaos, PATIENT } from './chaos.ts';
import { closingTable } from './closing.ts';
import { LiveScreen, PlainScreen, type Screen } from './screen.ts';
import { Story } from './story.ts';

const EXIT = { verified: 0, wrong: 1, usage: 2, cannot: 3 } as const;

const FLAG = { type: 'boolean', default: false } as const;
const { values } = optionsOf('npm run demo', { options: { plain: FLAG, small: FLAG } });
const plain = values.plain || !process.stdout.isTTY;
const guest = guestOrEnd();
await enterNamespace();
endUnlessPossible();
process.exit(await demo(guest));

async function demo(guest: PlantGuest): Promise<number> {
  const busy = loadavg()[0]! > 1.5 * availableParallelism();
  const story = new Story();
  const who = guest.kind === 'linux' ? `Debian ${guest.release}, unmodified` : 'the small guest';
  const title = `Twinstep: ${who}, ${guest.memoryMib} MiB, on two boards`;
  const screen: Screen = plain ? new PlainScreen() : new LiveScreen(story, title);
  if (plain) console.log(title);
  if (busy)
    console.log('This machine is busy: the boards get patient limits, pauses will be longer.');
  story.onStep = (words) => screen.step(words);
  let chaos: Chaos | undefined;
  try {
    story.step('the guest boots on board a, board b comes into step');
    chaos = await Chaos.start(guest, {
      ...{ more: busy ? PATIENT : '', ways: { overFront: true } },
      hasScada: true,
      onRig: (rig) => {
        screen.watch(rig);
        if (rig.scada !== undefined) rig.scada.onTold = (words) => screen.scada(words);
      },
      onEvent: (side, event) => {
        story.event(side, event);
        screen.event(side, event);
      },
    });
    await story.tell(chaos);
  } catch (error) {
    story.failures.push((error as Error).message.split('\n')[0] ?? 'failed');
  }
  screen.close();
  console.log(`\n${closingTable(story)}`);
  if (story.failures.length > 0 && chaos !== undefined)
    console.log(`What the boards told: ${chaos.rig.keep()}`);
  await chaos?.close();
  return story.failures.length === 0 ? EXIT.verified : EXIT.wrong;
}

function guestOrEnd(): PlantGuest {
  const missing = [needs.command('ip', 'iproute2'), needs.command('gcc')].find(({ met }) => !met);
  if (missing !== undefined) return cannot(missing.why);
  if (values.small) return smallGuest();
  try {
    return plantGuest((line) => process.stderr.write(`guest: ${line}\n`));
  } catch (error) {
    if (!(error instanceof DebianError)) throw error;
    console.log(`Debian's archive cannot be reached: ${error.message}
So this is not Linux but the small guest that comes with the sources: it answers Ethernet frames with a
running number. No TCP, no file system.`);
    return smallGuest();
  }
}

function endUnlessPossible(): void {
  try {
    ip('tuntap', 'add', 'dev', 'try0', 'mode', 'tap');
    ip('link', 'delete', 'try0');
    ip('link', 'add', 'try1', 'type', 'bridge');
    ip('link', 'add', 'try2', 'link', 'try1', 'type', 'macvlan');
    ip('link', 'delete', 'try1');
  } catch (error) {
    cannot(
      `no network of its own: ${(error as Error).message}. Try as root, or allow user namespaces.`,
    );
  }
}

function cannot(why: string): never {
  console.log(`The twin cannot be shown on this machine: ${why}`);
  process.exit(EXIT.cannot);
}
