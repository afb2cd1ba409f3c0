// What a board cannot do without, and nothing else: turn every `tickMs`, say one datagram of a heartbeat's size,
// hear one. No authenticity, no log, no witness, no serial line: the floor for idle.bench.ts.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { DEFAULT_LIMITS } from '../../watchdog/limits.ts';
import { FRAME_BYTES_MAX } from '../../watchdog/path-frame.ts';

const LOCAL = '127.0.0.1';
const [out, peer] = [createSocket('udp4'), createSocket('udp4')];
peer.on('message', () => {});
peer.bind(0, LOCAL);
await once(peer, 'listening');
const { port } = peer.address();
const frame = Buffer.alloc(FRAME_BYTES_MAX / 2);
setInterval(() => out.send(frame, port, LOCAL), DEFAULT_LIMITS.tickMs);
