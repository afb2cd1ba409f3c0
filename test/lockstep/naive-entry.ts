// A second entry encoder, slow and obvious, written from ENTRIES.md alone: text of bits and hex, no
// shared code with the real one. The tests demand equality.
import type { Entry } from '../../firmware/lockstep/entry.ts';

export function naiveEncode(entries: readonly Entry[]): string[] {
  let last = 0n;
  let outputs = 0n;
  let clock = { position: 0n, ns: 0n, multiplier: 0n };
  return entries.map(({ position, body }) => {
    const head = (kind: number, aux = 0) => hex(aux * 16 + kind, 1) + varint(position - last);
    const bytes = ((): string => {
      switch (body.kind) {
        case 'clock-step': {
          const expected = clock.ns + ((position - clock.position) * clock.multiplier) / 2n ** 32n;
          const change = body.multiplier - clock.multiplier;
          clock = { position, ns: body.ns, multiplier: body.multiplier };
          return head(1) + varint(body.ns - expected) + zigzag(change);
        }
        case 'net-rx':
          return head(2, body.nic) + sized(body.frame);
        case 'serial-rx':
          return head(3, port(body.port)) + sized(body.bytes);
        case 'serial-line': {
          const lines = [body.cts, body.dsr, body.dcd, body.ri];
          const bits = lines.map((on, at) => (on ? 2 ** at : 0)).reduce((a, b) => a + b);
          return head(4, port(body.port) + (body.isHalfDuplex ? 8 : 0)) + hex(bits, 1);
        }
        case 'serial-break':
          return head(5, port(body.port));
        case 'disk-completion': {
          const status = { ok: 0, 'io-error': 1, unsupported: 2 }[body.status];
          const form = { none: 0, entry: 1, replica: 2 }[body.data.from];
          const data =
            body.data.from === 'entry'
              ? sized(body.data.bytes)
              : body.data.from === 'replica'
                ? little(BigInt(body.data.hash), 4)
                : '';
          const ids = varint(BigInt(body.disk)) + varint(BigInt(body.id));
          return head(6, status + 4 * form) + ids + data;
        }
        case 'control':
          return head(8, { reset: 0, 'power-button': 1, nmi: 2 }[body.action]);
        case 'wall-clock':
          return head(7) + varint(body.wallNs);
        case 'output': {
          const since = body.sequence - outputs;
          outputs = body.sequence;
          return head(9) + varint(since) + little(BigInt(body.hash), 4);
        }
        case 'digest':
          return head(10) + little(body.state, 8) + little(body.memory, 8);
        case 'end':
          return head(12);
        case 'slice-close':
          return head(13) + sized(body.state) + sized(body.pages);
      }
    })();
    last = position;
    return bytes;
  });
}

const hex = (value: number, bytes: number) => value.toString(16).padStart(bytes * 2, '0');
const raw = (bytes: Uint8Array) => [...bytes].map((byte) => hex(byte, 1)).join('');
const sized = (bytes: Uint8Array) => varint(BigInt(bytes.length)) + raw(bytes);
const port = (name: string) => ['com1', 'com2', 'console'].indexOf(name);

function varint(value: bigint): string {
  const bits = value.toString(2);
  const padded = bits.padStart(Math.ceil(bits.length / 7) * 7, '0');
  const groups = padded.match(/.{7}/g) ?? [];
  return groups
    .reverse()
    .map((group, at) => hex(Number.parseInt((at < groups.length - 1 ? '1' : '0') + group, 2), 1))
    .join('');
}

function zigzag(value: bigint): string {
  return varint(value < 0n ? -2n * value - 1n : 2n * value);
}

function little(value: bigint, bytes: number): string {
  const big = value.toString(16).padStart(bytes * 2, '0');
  return (big.match(/../g) ?? []).reverse().join('');
}
