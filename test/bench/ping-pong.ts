// One question at a time to the guest, the next a moment after the answer: what a single small request
// waits for when nothing else is asked. Datagrams, and lines on a TCP connection.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { lineOf } from '../twin/client-lines.ts';
import { GUEST_IP } from '../twin/network.ts';

const PORT = 7;
const BETWEEN_MS = 10;
const ANSWER_MS = 5_000;

const pause = () => new Promise((resolve) => setTimeout(resolve, BETWEEN_MS));
const answer = () => ({ signal: AbortSignal.timeout(ANSWER_MS) });

/** Microseconds of each. */
export async function udpPingPong(count: number): Promise<number[]> {
  const socket = createSocket('udp4');
  const tookUs: number[] = [];
  try {
    for (let n = 0; n < count; n++) {
      const bytes = Buffer.alloc(32);
      bytes.writeUInt32LE(0x8000_0000 + n);
      const startMs = performance.now();
      socket.send(bytes, PORT, GUEST_IP);
      await once(socket, 'message', answer());
      tookUs.push((performance.now() - startMs) * 1000);
      await pause();
    }
  } finally {
    socket.close();
  }
  return tookUs;
}

export async function tcpPingPong(count: number): Promise<number[]> {
  const socket = connect({ port: PORT, host: GUEST_IP, noDelay: true });
  const tookUs: number[] = [];
  try {
    await once(socket, 'connect', answer());
    for (let n = 1; n <= count; n++) {
      const startMs = performance.now();
      socket.write(lineOf(n));
      await once(socket, 'data', answer());
      tookUs.push((performance.now() - startMs) * 1000);
      await pause();
    }
  } finally {
    socket.destroy();
  }
  return tookUs;
}
