// The Output Rule in a running twin, seen from outside (output-rule.ts), through a switch-over, a crash and a
// sync-up; and that the proof can fail.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { quantile } from '../bench/frame.ts';
import { assert, needs, suite } from '../harness/index.ts';
import { enterNamespace } from '../harness/netns.ts';
import { Capture } from './capture.ts';
import { PATIENT, toldEvents } from './chaos.ts';
import { earshot, GUEST_MAC, SIDES } from './network.ts';
import { type Evidence, outputRule } from './output-rule.ts';
import { plantOrWhy } from './plant-guest.ts';
import { TwinRig } from './rig.ts';
import { Wiretap } from './wiretap.ts';

const { guest, why = '' } = plantOrWhy();
await enterNamespace();
const test = suite('twin/output-rule');
test.needs(needs.networkNamespaces());
test.needs(needs.device('/dev/net/tun'));
test.needs({ met: guest !== undefined, why });

const ANSWERS = 150;
const ANSWER_MS = 20_000;
const FOLLOWERS: ReadonlySet<string> = new Set(['ROLE-PROMOTING', 'ROLE-SOLOING']);
let evidence: Evidence | undefined;

test(
  'no frame of the guest before the acknowledgement of its marker',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'twinstep-rule-'));
    const options = { client: { lineMs: 10 }, more: PATIENT, append: 'twinstep.quiet' };
    const rig = await TwinRig.make({ guest: guest!, ...options });
    const answers = async () => {
      await rig.client.window();
      await rig.client.answers(ANSWERS, ANSWER_MS);
    };
    const ports = SIDES.flatMap((side) => [earshot('front', side), earshot('log', side)]);
    const capture = await Capture.start({ file: join(folder, 'all'), ports });
    try {
      await rig.begin();
      await rig.client.connect();
      const first = await rig.redundant();
      await answers();
      await rig.boards[first].ask({ do: 'switch-over' });
      await rig.until('the other leads', () => rig.isRedundant && rig.primary !== first, ANSWER_MS);
      await answers();
      rig.boards[rig.primary!].crash();
      await rig.until('the first leads', () => rig.primary === first, ANSWER_MS);
      await rig.redundant();
      await answers();
      const frames = await capture.read();
      const tap = new Wiretap(rig.pairingKey, 'twinstep');
      for (const frame of frames) tap.hear(frame);
      assert.is(tap.forged, 0);
      assert.is(tap.unknown, 0);
      const aloneFrom = SIDES.flatMap((side) =>
        toldEvents(rig.boards[side].outputFile)
          .filter(({ code }) => FOLLOWERS.has(code))
          .map(({ wallMs }) => ({ side, fromUs: wallMs * 1000 })),
      );
      evidence = { guestMac: GUEST_MAC, frames, overheard: tap.overheard, aloneFrom };
      const verdict = outputRule(evidence);
      const { proven, alone, streams, waitUs } = verdict;
      console.log({
        proven,
        alone,
        streams,
        waitUs: quantile(waitUs, 0.5),
      });
      assert.equal(verdict.faults.slice(0, 5), []);
      assert.ok(proven > 3 * ANSWERS, `${proven} frames proven`);
      assert.is(rig.client.faults.length, 0);
    } catch (error) {
      console.log(`what the boards told: ${rig.keep()}`);
      throw error;
    } finally {
      capture.close();
      await rig.close();
      rmSync(folder, { recursive: true, force: true });
    }
  },
  { timeoutMs: 180_000 },
);

test('the proof can fail: acknowledgements that come late, or never, and a log without a marker', () => {
  assert.ok(evidence !== undefined);
  const { overheard } = evidence;
  const isAck = (type: string) => type === 'ack';
  const late = overheard.map((heard) =>
    isAck(heard.message.type) ? { ...heard, timeUs: heard.timeUs + 50_000 } : heard,
  );
  const fault = (changed: Partial<Evidence>) =>
    outputRule({ ...evidence!, ...changed }).faults[0] ?? 'none';
  assert.match(fault({ overheard: late }), 'us after it was seen');
  const mute = overheard.filter(({ message }) => !isAck(message.type));
  assert.match(fault({ overheard: mute }), 'never acknowledged');
  const frames = evidence.frames.map((captured) => {
    const frame = Buffer.from(captured.frame);
    frame[frame.length - 1]! ^= 1;
    return { ...captured, frame };
  });
  assert.match(fault({ frames }), 'no marker');
});

test.run();
