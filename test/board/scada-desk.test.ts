// What a board knows of its SCADA agent: reached, since when not, why; and what is no report.

import { SERVERS_MAX } from '../../firmware/board/config/scada-types.ts';
import {
  AGENT_SILENT_MS,
  readReport,
  ScadaDesk,
  type ScadaReport,
  type ServerReport,
  STANDS_MS,
  type TellerReport,
} from '../../firmware/board/scada-desk.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('board/scada-desk');

const server = (change: Partial<ServerReport> = {}): ServerReport => ({
  ...{ url: 'mqtts://one:8883', state: 'connected', forMs: STANDS_MS, connects: 1, trouble: null },
  ...change,
});
const teller = (change: Partial<TellerReport> = {}): TellerReport => ({
  ...{ what: 'Sparkplug', clientId: 'x', isTold: true, why: null, at: 0, servers: [server()] },
  ...{ births: 1, sent: { what: 'NDATA', agoMs: 3 }, unsaved: null },
  ...change,
});
const report = (...tellers: TellerReport[]): ScadaReport => ({ tellers });

test('reached, lost, and since when: short connections are no news', () => {
  const desk = new ScadaDesk(1_000);
  assert.equal([desk.status(31_000).agent, desk.status(31_000).unreachedMs], ['absent', 30_000]);
  desk.take(report(teller()), 40_000);
  assert.equal([desk.status(40_500).isReached, desk.status(40_500).unreachedMs], [true, 0]);
  const lost = teller({ isTold: false, why: 'mqtts://one: nobody listens there' });
  for (let ms = 41_000; ms <= 100_000; ms += 1_000) {
    const isUp = ms % 9_000 < 5_000;
    desk.take(report(isUp ? teller({ servers: [server({ forMs: ms % 9_000 })] }) : lost), ms);
  }
  const status = desk.status(100_000);
  assert.equal([status.isReached, status.unreachedMs], [false, 60_000]);
  desk.take(report(teller(), lost), 101_000);
  assert.is(desk.status(101_000).why, 'Sparkplug: mqtts://one: nobody listens there');
  desk.take(report(teller({ why: 'another client with the same id' })), 102_000);
  assert.not.ok(desk.status(102_000).isReached, 'told, but not for long: somebody has its id');
  desk.take(report(teller(), teller({ what: 'status topic' })), 103_000);
  assert.ok(desk.status(103_000).isReached);
});

test('an agent that reports no more is not there, and its times go on', () => {
  const desk = new ScadaDesk(0);
  desk.take(report(teller({ servers: [server({ trouble: { text: 'off', agoMs: 5 } })] })), 1_000);
  const later = desk.status(1_000 + AGENT_SILENT_MS + 1);
  assert.equal(
    [later.agent, later.isReached, later.unreachedMs],
    [...['silent', false, AGENT_SILENT_MS + 1]],
  );
  const [one] = later.tellers;
  assert.is(one?.sent?.agoMs, 3 + AGENT_SILENT_MS + 1);
  assert.is(one?.servers[0]?.forMs, STANDS_MS + AGENT_SILENT_MS + 1);
  assert.is(one?.servers[0]?.trouble?.agoMs, 5 + AGENT_SILENT_MS + 1);
});

test('what is no report is none, and what is one is bounded', () => {
  const whole = report(
    teller({ servers: [server({ trouble: { text: 'x'.repeat(5_000), agoMs: 1 } })] }),
  );
  const read = readReport(JSON.parse(JSON.stringify(whole)));
  assert.is(read?.tellers[0]?.servers[0]?.trouble?.text.length, 300);
  assert.equal(readReport(report()), report());
  const fields = Object.keys(teller()) as (keyof TellerReport)[];
  for (const field of fields) {
    for (const wrong of [undefined, 5.5, { a: 1 }, [[]], ['x']]) {
      assert.is(readReport(report({ ...teller(), [field]: wrong })), null, `${field}: ${wrong}`);
    }
  }
  const many = Array.from({ length: SERVERS_MAX + 1 }, () => server());
  assert.is(readReport(report(teller({ servers: many }))), null);
  assert.is(readReport(report(teller(), teller(), teller())), null);
  const random = seededRandom('report');
  const text = JSON.stringify(whole);
  for (let n = 0; n < 2_000; n++) {
    const at = random.int(text.length);
    const bent = text.slice(0, at) + String.fromCharCode(random.int(128)) + text.slice(at + 1);
    let value: unknown;
    try {
      value = JSON.parse(bent);
    } catch {
      continue;
    }
    const again = readReport(value);
    if (again !== null) new ScadaDesk(0).take(again, 1);
  }
});

test.run();
