// A program for the network bench: port 5000 sends argv[2] bytes to whoever connects, port 5001 takes what
// comes. Says "ready" on stderr.
import { createServer } from 'node:net';

const bytes = Buffer.alloc(Number(process.argv[2] ?? '0'), 'twinstep ');
const source = createServer((socket) => {
  socket.on('error', () => {});
  socket.end(bytes);
});
const sink = createServer((socket) => {
  socket.on('error', () => {});
  socket.resume();
});
source.listen(5000, () => sink.listen(5001, () => process.stderr.write('ready\n')));
