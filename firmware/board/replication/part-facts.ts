// What the parts of replication tell of themselves, put together for the loop and its status. What hangs on the
// orders that replication took (the guest's phase, the newest takeover) it adds itself.
import type { ChannelPathFacts } from '../../../logchan/channel.ts';
import type { GuestPlan } from '../config/types.ts';
import type { Following } from './following.ts';
import type { GuestOutput } from './guest-output.ts';
import type { GuestRunner } from './guest-runner.ts';
import type { Leading } from './leading.ts';
import type { LogLink } from './log-link.ts';
import type { Resources } from './resources.ts';
import { type LogPathFacts, NO_SYNC, type ReplicationFacts } from './types.ts';

export interface ReplicationParts {
  readonly runner: GuestRunner;
  readonly guestOutput: GuestOutput;
  readonly leading: Leading;
  readonly following: Following;
  readonly link: LogLink;
  readonly resources: Resources;
}

export function partFacts(parts: ReplicationParts, plan: GuestPlan) {
  const { runner, guestOutput, leading, following, link, resources } = parts;
  const facts = runner.vcpu?.facts();
  return {
    position: facts?.position ?? 0n,
    virtualNs: facts?.virtualNs ?? 0n,
    runs: facts?.doing === 'runs',
    lives: facts?.life ?? 0,
    engine: runner.engine,
    lagMs: runner.leads ? leading.lagMs : following.lagMs,
    isFarBehind: leading.isFarBehind,
    gate: {
      mode: guestOutput.mode,
      waiting: guestOutput.waiting,
      oldestMs: guestOutput.oldestMs(),
    },
    link: linkFacts(link),
    check: leading.care.checkFacts,
    sync: leading.syncFacts() ?? following.syncFacts() ?? NO_SYNC,
    disks: diskFacts(runner, plan),
    diskBusySinceMs: runner.diskBusySinceMs,
    nets: runner.nets,
    isReady: resources.areThere,
    missing: resources.missing,
  } satisfies Partial<ReplicationFacts>;
}

function linkFacts({ channel }: LogLink): ReplicationFacts['link'] {
  return {
    up: channel.isUp && channel.linkUp,
    rttUs: channel.rttUs,
    frameBytes: channel.frameBytes,
    paths: channel.paths().map(pathFacts),
  };
}

function pathFacts(path: ChannelPathFacts): LogPathFacts {
  const { name, linkUp, trouble, isActive, rttUs, logBytesSent } = path;
  const isLost = path.isLost ?? null;
  return { name, hasCarrier: linkUp, trouble, isActive, isLost, rttUs, logBytes: logBytesSent };
}

/** Those of the plan while they are not open. */
function diskFacts(runner: GuestRunner, plan: GuestPlan): ReplicationFacts['disks'] {
  if (runner.isOpen) return runner.disks.map(({ path, trouble }) => ({ path, trouble }));
  return plan.disks.map(({ path }) => ({ path, trouble: null }));
}
