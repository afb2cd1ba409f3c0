// The table [mqtt]: which brokers SCADA listens at, and as what this board appears there.

import type { ConfigReader, TableReader } from './reader.ts';
import { type ScadaConfig, SERVERS_MAX, type Server } from './scada-types.ts';

const TLS_PORT = 8883;
const PLAIN_PORT = 1883;
const KEEPALIVE_S = { min: 2, max: 3_600 };
/** Sparkplug forbids + # and / in an id; hosts choke on more. */
const ID = /^[A-Za-z0-9 ._-]{1,64}$/;
const ID_WORDS = 'letters, digits, " ", ".", "_", "-", at most 64';
const TOPIC = /^[^+#\0]{1,200}$/;

/** Null: there is no [mqtt], and nothing is told to any broker. */
export function mqtt(reader: ConfigReader, boardName: string): ScadaConfig | null {
  const table = reader.table('mqtt');
  if (reader.document.values.mqtt === undefined) return null;
  const plaintext = table.choice('plaintext', ['refused', 'allowed'], 'refused') === 'allowed';
  const servers = table.texts('servers').flatMap((text) => server(table, text, plaintext));
  if (servers.length === 0 && table.raw('servers') === undefined)
    table.problem('servers', 'is missing');
  if (servers.length > SERVERS_MAX) table.problem('servers', `are more than ${SERVERS_MAX}`);
  const username = table.optionalText('username');
  const passwordFile = table.optionalPath('password-file');
  if ((username === undefined) !== (passwordFile === undefined))
    table.problem('username', 'and password-file belong together');
  const statusTopic = topic(table);
  const homeAssistant = table.choice('home-assistant', ['no', 'yes'], 'no') === 'yes';
  if (homeAssistant && statusTopic === undefined)
    table.problem('home-assistant', '"yes" needs a status-topic: that is where it looks');
  return {
    servers,
    group: id(table, 'group', 'Twinstep'),
    node: id(table, 'node', boardName),
    device: id(table, 'device', 'guest'),
    primaryHost: table.raw('primary-host') === undefined ? undefined : id(table, 'primary-host'),
    keepaliveS: table.whole('keepalive-s', KEEPALIVE_S, 5),
    login:
      username === undefined || passwordFile === undefined ? undefined : { username, passwordFile },
    tls: tls(table, servers),
    statusTopic,
    homeAssistant,
  };
}

function id(table: TableReader, key: string, usual?: string): string {
  const text = table.text(key, usual);
  if (text !== '' && !ID.test(text)) table.problem(key, `"${text}" must be ${ID_WORDS}`);
  return text;
}

function server(table: TableReader, text: string, plaintext: boolean): Server[] {
  const found = /^(mqtts?):\/\/([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::(\d{1,5}))?$/.exec(text);
  const [, scheme, host = '', port] = found ?? [];
  const isTls = scheme === 'mqtts';
  const number = Number(port ?? (isTls ? TLS_PORT : PLAIN_PORT));
  if (found === null || number < 1 || number > 65_535) {
    table.problem('servers', `"${text}" must be mqtts://HOST or mqtts://HOST:PORT`);
    return [];
  }
  if (!isTls && !plaintext) {
    table.problem('servers', `"${text}" is not encrypted: mqtts://, or plaintext = "allowed"`);
    return [];
  }
  return [{ host: host.replace(/^\[|\]$/g, ''), port: number, isTls }];
}

function tls(table: TableReader, servers: readonly Server[]): ScadaConfig['tls'] {
  const [ca, cert, key] = ['ca', 'cert', 'key'].map((name) => table.optionalPath(name));
  if (cert === undefined && key !== undefined) table.problem('key', 'and cert belong together');
  if (cert !== undefined && key === undefined) table.problem('cert', 'and key belong together');
  if (ca === undefined) {
    if (servers.some(({ isTls }) => isTls)) table.problem('ca', 'is missing');
    return undefined;
  }
  return { ca, cert, key };
}

function topic(table: TableReader): string | undefined {
  const text = table.optionalText('status-topic');
  if (text !== undefined && !TOPIC.test(text))
    table.problem('status-topic', `"${text}" must be a topic without wildcards`);
  return text;
}
