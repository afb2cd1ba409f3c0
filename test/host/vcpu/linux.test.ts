// The twin on an unmodified Linux: it boots on one board and ends its disk script on another.
import { assert, seededRandom, suite } from '../../harness/index.ts';
import { guestFiles } from '../../lockstep/recording.ts';
import { Board, caughtUp, sync, type TwinGuest } from './twin.ts';

const test = suite('host/vcpu/linux');
const files = guestFiles();
test.needs({ met: files !== undefined, why: 'needs Debian’s archive for the Linux guest' });

test(
  'Linux is followed from its boot on, changes boards and loses one',
  async () => {
    const random = seededRandom('linux');
    const guest: TwinGuest = { ...files!, initrd: files!.initrd, memoryBytes: 128 << 20 };
    let lead = await new Board('a', guest, random).start();
    await lead.until(() => lead.requests > 10 + random.int(20));
    let other = new Board('b', guest, random);
    await sync(lead, other);
    await lead.until(() => lead.text.includes('@disk'));
    await caughtUp(lead, other);

    const early: Uint8Array[] = [];
    other.to = (bytes) => early.push(bytes);
    await other.vcpu.goLive({ log: true });
    await lead.vcpu.follow();
    [lead, other] = [other, lead];
    for (const bytes of early) other.vcpu.push(bytes);
    const { vcpu } = other;
    lead.to = (bytes) => vcpu.push(bytes);
    await lead.more(20 + random.int(200));

    await lead.stop();
    await other.vcpu.goLive({ log: false });
    await other.until(() => other.text.includes('@done disk'));
    assert.match(other.text, '@done disk 0');
    assert.equal(other.divergences, []);
    await other.stop();
  },
  { timeoutMs: 300_000 },
);

test.run();
