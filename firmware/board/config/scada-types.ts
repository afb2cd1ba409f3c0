// What SCADA is configured with, checked and complete (docs/CONFIG.md, [mqtt]).
export interface ScadaConfig {
  /** Walked in order; the next one when one fails or the primary host is not there. */
  readonly servers: readonly Server[];
  readonly group: string;
  readonly node: string;
  readonly device: string;
  readonly primaryHost: string | undefined;
  readonly keepaliveS: number;
  readonly login: { readonly username: string; readonly passwordFile: string } | undefined;
  readonly tls: TlsFiles | undefined;
  /** One retained plain-JSON topic for hosts without Sparkplug. */
  readonly statusTopic: string | undefined;
  readonly homeAssistant: boolean;
}

export interface Server {
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
}

export interface TlsFiles {
  readonly ca: string;
  /** Together: this board's own certificate. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** So that a report about all of them fits one line of the control socket. */
export const SERVERS_MAX = 8;
