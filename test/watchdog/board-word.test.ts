// What a board tells its supervisor, through a pipe that cuts it anywhere.
import { type BoardWord, BoardWordReader, encodeBoardWord } from '../../watchdog/board-word.ts';
import { assert, seededRandom, suite } from '../harness/index.ts';

const test = suite('watchdog/board-word');

test('words of the board: whole lines in any pieces; what makes no sense is counted', () => {
  const record = { generation: 12, standing: 'behind' } as const;
  const words = [{ word: 'up' }, { word: 'record', boot: 4294967295, record }] as const;
  const text = words.map(encodeBoardWord).join('');
  const random = seededRandom('board words');
  for (let round = 0; round < 200; round++) {
    const reader = new BoardWordReader();
    const heard: BoardWord[] = [];
    for (let at = 0; at < text.length; ) {
      const end = at + 1 + random.int(9);
      heard.push(...reader.push(text.slice(at, end)));
      at = end;
    }
    assert.equal(heard, words);
  }
  const reader = new BoardWordReader();
  assert.equal(reader.push(`down\n${'x'.repeat(70_000)}`), []);
  assert.equal(reader.push('\nrecord 1 2\nrecord -1 2 sole\nup\n'), [{ word: 'up' }]);
  assert.is(reader.broken, 4);
});

test.run();
