// The corners of native/softcpu/CORNERS.md: that every row is shown by what it names, and by name the four
// that reports from the field were about.
import { existsSync, readFileSync } from 'node:fs';
import { assert, repoPath, suite } from '../harness/index.ts';
import { loadGuest, needsGcc } from './guest.ts';
import { TestMachine } from './machine.ts';

const test = suite('softcpu/corners');
test.needs(needsGcc());

const said = new Map<string, string>();

/** What the guest says, run once. */
function guestSays(name: string): string {
  let text = said.get(name);
  if (text === undefined) {
    const machine = new TestMachine(loadGuest(name));
    machine.runToEnd();
    text = machine.devices.text;
    machine.close();
    said.set(name, text);
  }
  return text;
}

/** The case is there, as often as it is run, and was well each time. */
function isWell(guest: string, title: string): void {
  const lines = guestSays(guest)
    .split('\n')
    .filter((line) => line.startsWith(`${title}: `));
  assert.ok(lines.length > 0, `${guest}: no case "${title}"`);
  assert.equal(
    lines.filter((line) => line !== `${title}: ok`),
    [],
  );
}

test('IRET and RETF to ring 3 keep the base of GS that WRMSR gave, whatever selector it had', () => {
  isWell('returns', 'to ring 3: selectors of ring 0 become null, the bases of FS and GS stay');
  isWell('returns', 'to ring 3: a null selector loses its RPL');
});

test('MOV SS and POP SS hold back steps and breakpoints; DR6 keeps no stale B bits', () => {
  isWell('debug', 'MOV SS holds back the step behind it; each of a row does');
  isWell('debug', 'POP SS does as MOV SS');
  isWell('debug', 'an instruction breakpoint behind MOV SS is passed over');
  isWell('debug', 'DR6: the breakpoints of this exception, BS kept until the handler clears it');
});

test('ARPL with nothing to change does not mind a read-only segment', () => {
  isWell('forms', 'addresses, limits, far pointers, branches');
});

test('ENTER of 32 bits on a 16-bit stack takes the whole ESP', () => {
  isWell('forms', 'stacks of 16 and 32 bits');
});

// ---- the list itself ------------------------------------------------------------------------------

interface Row {
  rule: string;
  proofs: readonly string[];
}

function rows(): Row[] {
  const lines = readFileSync(repoPath('native/softcpu/CORNERS.md'), 'utf8').split('\n');
  const cells = lines
    .filter((line) => line.startsWith('| ') && !/^\| (rule|---) /.test(line))
    .map((line) => line.split('|').map((cell) => cell.trim()));
  // A title may hold a semicolon: what follows one is a proof only if it names a file.
  return cells.map(([, rule = '', , proof = '']) => ({
    rule,
    proofs: proof.split(/; (?=[\w-]+\.cc?: )/),
  }));
}

/** The file a proof names, and what in it. */
function place(proof: string): { file: string; text: string } {
  const at = proof.indexOf(': ');
  const file = proof.slice(0, at);
  const name = proof.slice(at + 2);
  return file.endsWith('.cc')
    ? { file: `native/softcpu/test/${file}`, text: `void ${name}()` }
    : { file: `test/guests/metal/${file}`, text: `"${name}"` };
}

test('every corner names what shows it, and that is there', () => {
  assert.ok(rows().length > 60);
  for (const { rule, proofs } of rows()) {
    assert.ok(rule !== '' && proofs.length > 0, rule);
    for (const proof of proofs) {
      const { file, text } = place(proof);
      assert.ok(existsSync(repoPath(file)), `${rule}: ${file}`);
      assert.ok(readFileSync(repoPath(file), 'utf8').includes(text), `${rule}: ${proof}`);
    }
  }
});

test.run();
