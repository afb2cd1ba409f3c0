// A TCP or TLS connection to a broker, made before MQTT begins: so it is known whether a CONNECT will
// be sent at all, and what is wrong can be said in words.
import { readFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Server, TlsFiles } from '../board/config/scada-types.ts';
import { pemOf } from '../host/brought-file.ts';
import { systemWords } from '../host/errors.ts';

const CONNECT_MS = 10_000;

export const serverText = ({ host, port, isTls }: Server): string =>
  `${isTls ? 'mqtts' : 'mqtt'}://${host}:${port}`;

/** Rejects with an Error; `words` says it for people. */
export function open(server: Server, tls: TlsFiles | undefined): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      clearTimeout(timer);
      socket?.destroy();
      reject(error);
    };
    const timer = setTimeout(
      () => fail(new Error(`no answer for ${CONNECT_MS / 1000} s`)),
      CONNECT_MS,
    );
    let socket: Socket | undefined;
    const done = () => {
      clearTimeout(timer);
      socket?.removeListener('error', fail);
      resolve(socket as Socket);
    };
    try {
      socket = server.isTls
        ? secure(server, tls, done)
        : connectTcp(server.port, server.host, done);
      socket.setNoDelay(true);
      socket.once('error', fail);
    } catch (error) {
      fail(error as Error);
    }
  });
}

function secure({ host, port }: Server, tls: TlsFiles | undefined, done: () => void): Socket {
  const file = (path: string | undefined) =>
    path === undefined ? undefined : pemOf(readNamed(path));
  const [ca, cert, key] = [file(tls?.ca), file(tls?.cert), file(tls?.key)];
  return connectTls(
    {
      host,
      port,
      minVersion: 'TLSv1.2',
      rejectUnauthorized: true,
      ...(/^[\d.:]+$/.test(host) ? {} : { servername: host }),
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    },
    done,
  );
}

/** A file the configuration names; the Error says which. */
export function readNamed(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`${path}: ${systemWords(error)} (${(error as NodeJS.ErrnoException).code})`);
  }
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the broker hung up',
  EPIPE: 'the broker hung up',
  ETIMEDOUT: 'no answer',
  EHOSTUNREACH: 'there is no way to this host',
  ENETUNREACH: 'there is no way to this network',
  ENOTFOUND: 'this host name is not known',
  EAI_AGAIN: 'no name server answers',
  SELF_SIGNED_CERT_IN_CHAIN: 'the broker’s certificate is not of the configured authority ("ca")',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'the broker’s certificate signs itself and is not the configured "ca"',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'the broker’s certificate is of an authority not known here: set "ca"',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'the broker’s certificate is of an authority not known here: set "ca"',
  CERT_HAS_EXPIRED: 'the broker’s certificate has expired, or the clock of this board is wrong',
  CERT_NOT_YET_VALID:
    'the broker’s certificate is not valid yet: is the clock of this board right?',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the broker’s certificate is of another host name',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    'the broker wants a certificate of this board: "cert", "key"',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA:
    'the broker does not know the authority of this board’s certificate ("cert")',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'this board’s certificate ("cert") has expired',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: 'this board’s certificate ("cert") is revoked',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'the broker refuses this board’s certificate ("cert")',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: 'the broker refuses this board’s certificate ("cert")',
  ERR_SSL_WRONG_VERSION_NUMBER: 'the broker does not speak TLS at this port',
  ERR_OSSL_PEM_NO_START_LINE: 'a certificate or key file is not in PEM form',
  ERR_OSSL_X509_KEY_VALUES_MISMATCH: '"cert" and "key" do not belong together',
};

/** What MQTT itself says: the code of a refused CONNECT, or the library's text. */
const MQTT_WORDS: Readonly<Record<string, string>> = {
  1: 'the broker does not speak MQTT 3.1.1',
  2: 'the broker refuses the id of this client',
  3: 'the broker is there, but serves nobody now',
  4: 'the broker refuses user name or password',
  5: 'the broker does not let this board in: user name, password, certificate or its own rules',
  'connack timeout': 'the broker does not answer to CONNECT',
  'Keepalive timeout': 'the broker does not answer any more',
};

/** What went wrong, for a person; the code too, for who searches. */
export function words(error: Error): string {
  const { code = error.message } = error as { code?: string | number };
  const known = WORDS[code] ?? MQTT_WORDS[code];
  return known === undefined ? error.message : `${known} (${code})`;
}
