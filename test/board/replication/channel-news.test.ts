// What the log channel tells, in words people read.
import { channelNews } from '../../../firmware/board/replication/channel-news.ts';
import type { ChannelEvent } from '../../../logchan/endpoint.ts';
import { assert, suite } from '../../harness/index.ts';

const test = suite('board/replication/channel-news');

const news = (event: ChannelEvent) => channelNews(event, () => ['eth1', 'the front LAN']);
const words = (event: ChannelEvent) => {
  const told = news(event);
  return told === undefined ? undefined : `${told.code}: ${told.text}`;
};

test('a change of ways names them and says why', () => {
  const active = { type: 'active', path: 1, was: 0 } as const;
  assert.is(
    words({ ...active, why: 'carrier' }),
    'LOG-PATH-TAKEN: the log goes over the front LAN now: eth1 has no carrier',
  );
  assert.match(words({ ...active, why: 'silent' }) ?? '', 'eth1 gives no answer');
  assert.is(
    words({ type: 'active', path: 0, was: 1, why: 'better' }),
    'LOG-PATH-TAKEN: the log goes over eth1 now: eth1 is good',
  );
  assert.is(
    words({ type: 'path-lost', path: 0, why: 'silent' }),
    'LOG-PATH-LOST: the log cannot go over eth1: no answer',
  );
  assert.is(words({ type: 'path-back', path: 0 }), 'LOG-PATH-BACK: the log can go over eth1 again');
});

test('the link as a whole is up, down or refused; the rest is for machines', () => {
  assert.is(words({ type: 'link', up: false }), 'LINK-DOWN: no carrier on the log link');
  assert.is(words({ type: 'link', up: true }), undefined);
  assert.is(words({ type: 'refused', why: 'key' }), 'LINK-REFUSED: the peer is refused: key');
  assert.equal(news({ type: 'refused', why: 'key' })?.data, { why: 'key' });
  assert.is(words({ type: 'silent', sinceUs: 0 }), undefined);
  assert.is(words({ type: 'joined', path: 1 }), undefined);
});

test.run();
