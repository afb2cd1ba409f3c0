// One half of a million random schedules; logchan-million.ts says what they are.
import { suite } from '../harness/index.ts';
import { million } from './logchan-million.ts';

const test = suite('sim/logchan odd');
million(test, 1);
test.run();
