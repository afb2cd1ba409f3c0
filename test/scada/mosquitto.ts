// Debian's mosquitto, plain or with mutual TLS, started, killed and started again.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TlsFiles } from '../../firmware/board/config/scada-types.ts';

const PROGRAM = '/usr/sbin/mosquitto';
export const hasMosquitto = { met: existsSync(PROGRAM), why: 'needs Debian package mosquitto' };

export class Mosquitto {
  readonly address: string;
  readonly port: number;
  readonly folder: string;
  private process: ChildProcess | undefined;

  static async start(
    options: { tls?: Certificates; address?: string; anonymous?: boolean } = {},
  ): Promise<Mosquitto> {
    const { tls, address = '127.0.0.1', anonymous = true } = options;
    const broker = new Mosquitto(address, await freePort(address), anonymous, tls);
    await broker.start();
    return broker;
  }

  private constructor(
    address: string,
    port: number,
    anonymous: boolean,
    tls: Certificates | undefined,
  ) {
    this.address = address;
    this.port = port;
    this.folder = mkdtempSync(join(tmpdir(), 'twinstep-mosquitto-'));
    const secure = tls && [
      `cafile ${tls.board.ca}`,
      `certfile ${tls.broker.cert}`,
      `keyfile ${tls.broker.key}`,
      'require_certificate true',
    ];
    // As root it would change to a user who cannot read this folder.
    const lines = [
      'user root',
      `listener ${port} ${address}`,
      `allow_anonymous ${anonymous}`,
      ...(secure ?? []),
    ];
    writeFileSync(join(this.folder, 'conf'), `${lines.join('\n')}\n`);
  }

  async start(): Promise<void> {
    const child = spawn(PROGRAM, ['-c', join(this.folder, 'conf')], { stdio: 'ignore' });
    this.process = child;
    for (;;) {
      if (child.exitCode !== null) throw new Error(`mosquitto ended with ${child.exitCode}`);
      if (await answers(this.address, this.port)) return;
    }
  }

  async kill(): Promise<void> {
    const { process: child } = this;
    if (child === undefined || child.exitCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }
}

async function answers(address: string, port: number): Promise<boolean> {
  const socket = connect(port, address);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function freePort(address: string): Promise<number> {
  const server = createServer().listen(0, address);
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

export interface Certificates {
  readonly board: TlsFiles;
  readonly broker: { readonly cert: string; readonly key: string };
  /** Of another authority. */
  readonly strangerCa: string;
}

/** An authority, a broker for 127.0.0.1, a board, and an authority nobody knows. */
export function makeCertificates(folder: string): Certificates {
  const at = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const authority = (name: string) =>
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      at(`${name}.key`),
      '-out',
      at(`${name}.pem`),
    );
  const issue = (name: string, subject: string) => {
    openssl(
      'req',
      ...newKey,
      '-subj',
      `/CN=${subject}`,
      '-keyout',
      at(`${name}.key`),
      '-out',
      at(`${name}.csr`),
    );
    writeFileSync(at(`${name}.ext`), 'subjectAltName=IP:127.0.0.1\n');
    openssl(
      'x509',
      '-req',
      '-days',
      '2',
      '-in',
      at(`${name}.csr`),
      '-CA',
      at('plant.pem'),
      '-CAkey',
      at('plant.key'),
      '-CAcreateserial',
      '-extfile',
      at(`${name}.ext`),
      '-out',
      at(`${name}.pem`),
    );
  };
  authority('plant');
  authority('stranger');
  issue('broker', 'broker');
  issue('board', 'board-a');
  return {
    board: { ca: at('plant.pem'), cert: at('board.pem'), key: at('board.key') },
    broker: { cert: at('broker.pem'), key: at('broker.key') },
    strangerCa: at('stranger.pem'),
  };
}
