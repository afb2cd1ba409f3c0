// The diagram above arbiter.ts is the table, drawn; ARBITER.md names every rule. REWRITE=1 redraws.
import { readFileSync, writeFileSync } from 'node:fs';
import { ROLES } from '../../watchdog/arbiter-types.ts';
import { RULES } from '../../watchdog/rules.ts';
import { drawDiagram, EDGES, isEdge } from '../../watchdog/transitions.ts';
import { assert, repoPath, suite } from '../harness/index.ts';

const test = suite('watchdog/transitions');

test('the diagram in arbiter.ts is the table', () => {
  const path = repoPath('watchdog/arbiter.ts');
  const text = readFileSync(path, 'utf8');
  const frame = /(\/\* diagram, drawn from transitions\.ts\n)([\s\S]*?)(\*\/)/;
  const drawn = `${drawDiagram().join('\n')}\n`;
  if (process.env.REWRITE === '1') {
    writeFileSync(
      path,
      text.replace(frame, (_all, head, _old, tail) => head + drawn + tail),
    );
    return;
  }
  assert.is(frame.exec(text)?.[2], drawn);
});

test('every role can be reached and left, and no edge is written twice', () => {
  assert.is(new Set(EDGES.map(([from, to]) => `${from} ${to}`)).size, EDGES.length);
  for (const role of ROLES) {
    if (role !== 'cold')
      assert.ok(
        EDGES.some(([, to]) => to === role),
        `into ${role}`,
      );
    if (role !== 'stopped')
      assert.ok(
        EDGES.some(([from]) => from === role),
        `out of ${role}`,
      );
  }
  assert.not.ok(isEdge('seeking', 'solo'));
});

test('ARBITER.md explains every rule by its name', () => {
  const text = readFileSync(repoPath('watchdog/ARBITER.md'), 'utf8');
  const missing = Object.keys(RULES).filter((rule) => !text.includes(`\`${rule}\``));
  assert.equal(missing, []);
});

test.run();
