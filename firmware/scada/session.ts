// The edge node on its broker: carries out what the state machine says, and tells it what happened. The
// wait for the primary host is of one connection, and ends with it.
import type { ScadaConfig } from '../board/config/scada-types.ts';
import type { TellerReport } from '../board/scada-desk.ts';
import type { Teller } from './agent.ts';
import { BACKLOG_MAX } from './backlog.ts';
import { BdSeqFile } from './bd-seq.ts';
import { BrokerLink, type Will } from './broker-link.ts';
import { type EdgeAction, EdgeNode, type Note, type Snapshot } from './edge-node.ts';
import { clientId } from './ids.ts';

export interface SessionOptions {
  readonly config: ScadaConfig;
  /** Where bdSeq is kept. */
  readonly bdSeqFile: string;
  /** UTC, milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly onNotice: (text: string) => void;
}

export class ScadaSession implements Teller {
  readonly node: EdgeNode;
  private readonly link: BrokerLink;
  private readonly bdSeq: BdSeqFile;
  private readonly options: SessionOptions;
  private present = 0;
  private hostTimer: NodeJS.Timeout | undefined;

  constructor(options: SessionOptions) {
    this.options = options;
    const { config, onNotice } = options;
    const { group, node, device, primaryHost, servers } = config;
    this.node = new EdgeNode({
      ...{ group, node, device, primaryHost, backlogMax: BACKLOG_MAX },
      hasMoreServers: servers.length > 1,
    });
    this.bdSeq = new BdSeqFile(options.bdSeqFile);
    this.link = new BrokerLink({
      config,
      clientId: clientId(config, 'sparkplug'),
      onNotice,
      handler: {
        will: () => this.will(),
        connected: () => this.act(this.node.connected(this.present)),
        message: (topic, payload) => this.act(this.node.message(topic, payload, options.wallMs())),
        closed: () => {
          clearTimeout(this.hostTimer);
          this.node.disconnected();
        },
      },
    });
  }

  start(): void {
    this.link.start();
  }

  update(snapshot: Snapshot): void {
    this.act(this.node.update(snapshot, this.options.wallMs()));
  }

  note(note: Note): void {
    this.act(this.node.note(note, this.options.wallMs()));
  }

  report(): TellerReport {
    const { phase, waitsFor, counters } = this.node;
    const { births } = counters;
    return {
      ...this.link.report({ isTold: phase === 'born', waitsFor }),
      ...{ what: 'Sparkplug', births, unsaved: this.bdSeq.trouble },
    };
  }

  /** Cuts the connection without a word, as a dead board does, and stays away. */
  sever(): void {
    this.link.sever();
  }

  /** Says its death, then ends. */
  async stop(why: string): Promise<void> {
    for (const action of this.node.leave(this.options.wallMs(), why)) {
      if (action.do === 'publish') this.publish(action);
    }
    await this.link.stop();
  }

  private will(): Will {
    const before = this.bdSeq.trouble;
    this.present = this.bdSeq.next();
    this.tellKept(before);
    return { ...this.node.will(this.present, this.options.wallMs()), qos: 1, retain: false };
  }

  private tellKept(before: string | null): void {
    const { trouble } = this.bdSeq;
    if (trouble === before) return;
    this.options.onNotice(
      trouble === null
        ? 'the number of births is kept on disk again'
        : `the number of births cannot be kept on disk, it goes on in memory: ${trouble}`,
    );
  }

  private act(actions: readonly EdgeAction[]): void {
    for (const action of actions) {
      if (action.do === 'publish') this.publish(action);
      else if (action.do === 'subscribe') void this.subscribe(action.topics);
      else if (action.do === 'wait') this.wait(action.ms);
      else this.link.leave(action.walk, action.why);
    }
    if (this.node.phase === 'born') this.link.settled();
  }

  private publish({ topic, payload, qos }: Extract<EdgeAction, { do: 'publish' }>): void {
    const what = topic.split('/')[2] ?? '';
    this.link.publish(topic, payload, { qos, retain: false, what });
  }

  private async subscribe(topics: readonly string[]): Promise<void> {
    if (await this.link.subscribe(topics)) this.act(this.node.subscribed(this.options.wallMs()));
  }

  private wait(ms: number): void {
    clearTimeout(this.hostTimer);
    this.hostTimer = setTimeout(() => this.act(this.node.waited(this.options.wallMs())), ms);
  }
}
