// Every edge between roles, with its label. The arbiter asserts that it takes no other; the diagram
// above arbiter.ts is drawn from this table by a test; the exploration says which edges it took.
import type { Role } from './arbiter-types.ts';

export type Edge = readonly [from: Role, to: Role, when: string];

export const EDGES: readonly Edge[] = [
  ['cold', 'seeking', 'the record is read'],
  ['seeking', 'promoting', 'its record leads, or the operator says so'],
  ['seeking', 'target', 'the peer leads'],
  ['seeking', 'maintenance', 'operator'],
  ['seeking', 'stopped', 'operator'],
  ['target', 'backup', 'granted, marked, fit'],
  ['target', 'target', 'out of this session, begins another'],
  ['target', 'seeking', 'the primary is gone'],
  ['target', 'maintenance', 'operator'],
  ['target', 'stopped', 'operator'],
  ['backup', 'promoting', 'all silent and a witness, a last word, or handed over to'],
  ['backup', 'target', 'asked to renounce, overtaken, diverged or unfit'],
  ['backup', 'seeking', 'the primary is gone and its state is newer'],
  ['backup', 'maintenance', 'operator'],
  ['backup', 'stopped', 'operator'],
  ['promoting', 'solo', 'sole is on disk'],
  ['promoting', 'protected', 'shared is on disk, the peer stays in step'],
  ['promoting', 'fenced', 'the peer has a newer reign'],
  ['solo', 'source', 'the peer is there and well'],
  ['solo', 'stopped', 'operator, by force'],
  ['solo', 'fenced', 'the peer has a newer reign'],
  ['source', 'granting', 'the peer has everything'],
  ['source', 'solo', 'the peer left'],
  ['source', 'fenced', 'the peer has a newer reign'],
  ['granting', 'protected', 'shared is on disk'],
  ['granting', 'soloing', 'the peer left'],
  ['granting', 'fenced', 'the peer has a newer reign'],
  ['protected', 'yielding', 'log link dead, peer alive'],
  ['protected', 'soloing', 'the peer cannot promote'],
  ['protected', 'leaving', 'operator, unfit, or cut off from the plant'],
  ['protected', 'isolated', 'hears nobody, or slept'],
  ['protected', 'fenced', 'the peer has a newer reign'],
  ['yielding', 'soloing', 'the peer renounced'],
  ['yielding', 'isolated', 'hears nobody, or slept'],
  ['yielding', 'fenced', 'the peer has a newer reign'],
  ['soloing', 'solo', 'sole is on disk'],
  ['soloing', 'fenced', 'the peer has a newer reign'],
  ['leaving', 'backup', 'the peer took over'],
  ['leaving', 'soloing', 'the peer cannot promote: resumes'],
  ['leaving', 'promoting', 'the peer died while taking over'],
  ['leaving', 'fenced', 'the peer took over without this board'],
  ['isolated', 'protected', 'the peer answers and has not gone on'],
  ['isolated', 'soloing', 'the peer cannot promote'],
  ['isolated', 'fenced', 'the peer has a newer reign'],
  ['fenced', 'seeking', 'the machine is thrown away'],
  ['maintenance', 'seeking', 'operator'],
  ['maintenance', 'stopped', 'operator'],
];

const KNOWN = new Set(EDGES.map(([from, to]) => `${from} ${to}`));

export function isEdge(from: Role, to: Role): boolean {
  return KNOWN.has(`${from} ${to}`);
}

/** The diagram as text: one block a role, one line an edge. */
export function drawDiagram(): string[] {
  const roles = [...new Set(EDGES.map(([from]) => from))];
  return roles.flatMap((role) => {
    const edges = EDGES.filter(([from]) => from === role);
    return edges.map(([, to, when], index) => {
      const first = index === 0;
      const last = index === edges.length - 1;
      const joint = edges.length === 1 ? '───' : first ? '─┬─' : last ? ' └─' : ' ├─';
      return `${(first ? role : '').padEnd(11)}${joint} ${`${when} `.padEnd(62, '─')}▶ ${to}`;
    });
  });
}
