// What a test does that runs the program as another user; run in a clone that is closed to that user.
import { spawnSync } from 'node:child_process';
import { assert, suite } from '../index.ts';
import { forOthers } from '../others.ts';

const test = suite('others');

test('somebody else loads the addon, and a module with all it imports', () => {
  const { node, path } = forOthers();
  const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
  for (const module of ['firmware/host/disk-file', 'firmware/host/tap', 'logchan/ring-port']) {
    const url = JSON.stringify(path(`dist/${module}.js`));
    const script = `import(${url}).then(() => console.log(process.getuid()))`;
    const run = spawnSync('setpriv', [...nobody, node, '-e', script], { encoding: 'utf8' });
    assert.is(run.stdout, '65534\n', run.stderr);
  }
});

test.run();
