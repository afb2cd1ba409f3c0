// Outputs of a slice: serial bytes run together, order within a kind stays, numbers are the last ones'.
import { Outbox } from '../../../firmware/host/vcpu/outbox.ts';
import type { ExternalOutput } from '../../../firmware/lockstep/outputs.ts';
import { assert, suite } from '../../harness/index.ts';

const test = suite('host/vcpu/outbox');

const byte = (value: number, port: 'com1' | 'com2' = 'com1'): ExternalOutput => ({
  kind: 'serial-tx',
  port,
  byte: value,
});
const line = (baud: number): ExternalOutput => ({
  ...({
    kind: 'serial-line',
    port: 'com1',
    baud,
    dataBits: 8,
    parity: 'none',
    stopBits: 1,
  } as const),
  ...{ sendBreak: false, dtr: true, rts: true },
});

function fill(...outputs: ExternalOutput[]): Outbox {
  const outbox = new Outbox();
  for (const [at, output] of outputs.entries()) outbox.add(output, BigInt(at + 1));
  return outbox;
}

test('bytes of a port travel together under the number of the last', () => {
  const { outputs } = fill(byte(1), byte(9, 'com2'), byte(2), byte(3)).take();
  assert.equal(outputs, [
    { kind: 'serial-tx', port: 'com1', bytes: Uint8Array.of(1, 2, 3), sequence: 4n },
    { kind: 'serial-tx', port: 'com2', bytes: Uint8Array.of(9), sequence: 2n },
  ]);
});

test('a change of line settings stays between the bytes before and after it', () => {
  const { outputs } = fill(byte(1), line(9600), byte(2)).take();
  assert.equal(
    outputs.map((output) => [output.kind, output.sequence]),
    [
      ['serial-tx', 1n],
      ['serial-line', 2n],
      ['serial-tx', 3n],
    ],
  );
});

test('frames and requests keep their order; taken is gone', () => {
  const frames = [1, 2, 3].map(
    (value): ExternalOutput => ({ kind: 'net-tx', nic: 0, frame: Uint8Array.of(value) }),
  );
  const outbox = fill(...frames);
  for (const id of [5, 6]) {
    const data = undefined;
    outbox.request({
      kind: 'disk-request',
      disk: 0,
      id,
      operation: 'flush',
      offset: 0,
      bytes: 0,
      data,
    });
  }
  assert.is(outbox.isEmpty, false);
  const { outputs, requests } = outbox.take();
  assert.equal(
    outputs.map((output) => output.kind === 'net-tx' && output.frame[0]),
    [1, 2, 3],
  );
  assert.equal(
    requests.map(({ id }) => id),
    [5, 6],
  );
  assert.ok(outbox.isEmpty);
  assert.equal(outbox.take(), { outputs: [], requests: [] });
});

test.run();
