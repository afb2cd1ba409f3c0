// Driver sequences on a serial port.

import type { Output } from '../../firmware/devices/contracts.ts';
import { WAITING_BYTES_MAX } from '../../firmware/devices/uart/receiver.ts';
import { Uart } from '../../firmware/devices/uart/uart.ts';
import { assert, suite } from '../harness/index.ts';

const test = suite('devices/uart');

const [DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7];
const FCR = IIR;

function setUp(options: { out2?: boolean } = {}) {
  const irq = { isHigh: false, rises: 0 };
  const outputs: Output[] = [];
  const uart = new Uart({
    name: 'com1',
    port: 0x3f8,
    irq: {
      set: (level) => {
        if (level && !irq.isHigh) irq.rises++;
        irq.isHigh = level;
      },
    },
    output: (output) => outputs.push(output),
  });
  const read = (register: number) => uart.readPort(0x3f8 + register);
  const write = (register: number, value: number) => uart.writePort(0x3f8 + register, 1, value);
  if (options.out2 !== false) write(MCR, 0x08);
  outputs.length = 0;
  const sent = () =>
    outputs.flatMap((output) => (output.kind === 'serial-tx' ? [output.byte] : []));
  return { uart, irq, outputs, read, write, sent };
}

const bytes = (...values: number[]) => Uint8Array.from(values);
const text = (value: string) => new TextEncoder().encode(value);

test('power-on registers', () => {
  const { read } = setUp();
  assert.equal([IER, IIR, LCR, LSR, SCR].map(read), [0, 0x01, 0, 0x60, 0]);
  assert.is(read(MSR), 0xb0, 'a ready partner');
});

test('sending: bytes leave at once, the holding register is empty again', () => {
  const { read, write, sent } = setUp();
  write(LCR, 0x03);
  for (const byte of text('ok\n')) {
    assert.is(read(LSR) & 0x20, 0x20);
    write(DATA, byte);
  }
  assert.equal(sent(), [...text('ok\n')]);
});

test('five data bits cut the rest off', () => {
  const { write, sent } = setUp();
  write(LCR, 0x00);
  write(DATA, 0xff);
  assert.equal(sent(), [0x1f]);
});

test('transmit interrupt: on enabling, after each byte, cleared by identification', () => {
  const { read, write, irq } = setUp();
  write(IER, 0x02);
  assert.is(irq.isHigh, true);
  assert.is(read(IIR), 0x02);
  assert.is(irq.isHigh, false);
  assert.is(read(IIR), 0x01);
  write(DATA, 0x41);
  assert.is(irq.isHigh, true);
  assert.is(read(IIR), 0x02);
  write(IER, 0x00);
  write(DATA, 0x42);
  assert.is(irq.isHigh, false);
});

test('OUT2 gates the interrupt', () => {
  const { write, irq } = setUp({ out2: false });
  write(IER, 0x02);
  assert.is(irq.isHigh, false);
  write(MCR, 0x08);
  assert.is(irq.isHigh, true);
});

test('one-byte receiver: ready, interrupt, next byte follows after the read', () => {
  const { uart, read, write, irq } = setUp();
  write(IER, 0x01);
  uart.receive(bytes(0x61, 0x62));
  assert.is(irq.isHigh, true);
  assert.is(read(IIR), 0x04);
  assert.is(read(LSR), 0x61);
  assert.is(read(DATA), 0x61);
  assert.is(read(LSR), 0x61);
  assert.is(read(DATA), 0x62);
  assert.is(read(LSR), 0x60);
  assert.is(irq.isHigh, false);
  assert.is(read(DATA), 0, 'nothing there');
});

test('FIFO: trigger level, then character timeout for the rest', () => {
  const { uart, read, write, irq } = setUp();
  write(LCR, 0x03);
  write(FCR, 0x87); // on, trigger 8
  write(IER, 0x01);
  assert.is(read(IIR), 0xc1);
  uart.receive(text('seven b'));
  assert.is(irq.isHigh, false);
  uart.receive(text('!'));
  assert.is(irq.isHigh, true);
  assert.is(read(IIR), 0xc4);
  assert.is(read(DATA), 's'.charCodeAt(0));
  assert.is(irq.isHigh, false);
  // 4 characters of 10 bits at 115200 baud
  assert.is(uart.nextDeadlineNs(), 4n * 86_805n);
  uart.advanceTo(4n * 86_805n);
  assert.is(read(IIR), 0xcc);
  assert.is(irq.isHigh, true);
  assert.is(uart.nextDeadlineNs(), undefined);
  read(DATA);
  assert.is(irq.isHigh, false, 'a read ends the timeout');
  assert.is(uart.nextDeadlineNs(), 8n * 86_805n);
  for (let i = 0; i < 6; i++) read(DATA);
  assert.is(uart.nextDeadlineNs(), undefined, 'an empty FIFO has no timeout');
});

test('FIFO holds 16, the rest waits on the wire and nothing is lost', () => {
  const { uart, read, write } = setUp();
  write(FCR, 0x01);
  const sent = Array.from({ length: 300 }, (_, i) => i & 0xff);
  uart.receive(Uint8Array.from(sent));
  const got: number[] = [];
  while ((read(LSR) & 1) !== 0) got.push(read(DATA));
  assert.equal(got, sent);
});

test('the wait has a bound, and the excess is counted', () => {
  const { uart } = setUp();
  uart.receive(new Uint8Array(WAITING_BYTES_MAX + 10));
  // One byte went into the buffer while the queue was filled before it.
  assert.is(uart.state().receiver.dropped, 10);
});

test('clearing the FIFO, and switching it, drop what it holds', () => {
  const { uart, read, write } = setUp();
  write(FCR, 0x01);
  uart.receive(bytes(1, 2, 3));
  write(FCR, 0x03);
  assert.is(read(LSR) & 1, 0);
  uart.receive(bytes(1, 2, 3));
  write(FCR, 0x00);
  assert.is(read(LSR) & 1, 0);
  assert.is(read(IIR), 0x01);
});

test('divisor latch: readable, out of the way, line reported once per change', () => {
  const { read, write, outputs, sent } = setUp();
  write(LCR, 0x83);
  write(DATA, 12);
  write(IER, 0);
  assert.is(read(DATA), 12);
  assert.equal(outputs, []);
  write(LCR, 0x1b);
  write(LCR, 0x1b);
  assert.is(outputs.length, 1);
  assert.equal(outputs[0], {
    kind: 'serial-line',
    port: 'com1',
    baud: 9600,
    dataBits: 8,
    parity: 'even',
    stopBits: 1,
    sendBreak: false,
    dtr: false,
    rts: false,
  });
  write(LCR, 0x5b);
  write(MCR, 0x0b);
  const [, withBreak, withLines] = outputs as { sendBreak: boolean; dtr: boolean }[];
  assert.is(withBreak?.sendBreak, true);
  assert.is(withLines?.dtr, true);
  assert.equal(sent(), []);
});

test('loopback: data and modem lines turn round, the world is cut off', () => {
  const { uart, read, write, sent } = setUp();
  write(FCR, 0x01);
  write(MCR, 0x1f);
  assert.is(read(MSR) & 0xf0, 0xf0);
  write(MCR, 0x12); // RTS only
  assert.is(read(MSR), 0x1e, 'CTS high; DSR, DCD and trailing RI changed');
  uart.receive(bytes(0x55));
  assert.is(read(LSR) & 1, 0, 'outside waits');
  write(DATA, 0x77);
  assert.is(read(DATA), 0x77);
  assert.equal(sent(), []);
  write(MCR, 0x08);
  assert.is(read(DATA), 0x55);
});

test('loopback can overrun', () => {
  const { read, write, irq } = setUp();
  write(IER, 0x04);
  write(MCR, 0x18);
  write(DATA, 1);
  write(DATA, 2);
  assert.is(irq.isHigh, true);
  assert.is(read(IIR), 0x06);
  assert.is(read(LSR), 0x63);
  assert.is(read(LSR), 0x61, 'the error is told once');
  assert.is(irq.isHigh, false);
  assert.is(read(DATA), 1);
});

test('break: a zero byte with its mark, first when it reaches the top', () => {
  const { uart, read, write, irq } = setUp();
  write(FCR, 0x01);
  write(IER, 0x04);
  uart.receive(bytes(0x41));
  uart.receiveBreak();
  assert.is(irq.isHigh, false);
  assert.is(read(LSR), 0xe1, 'an error somewhere in the FIFO');
  assert.is(read(DATA), 0x41);
  assert.is(irq.isHigh, true);
  assert.is(read(LSR), 0xf1);
  assert.is(read(LSR), 0x61);
  assert.is(read(DATA), 0);
});

test('modem inputs: deltas, interrupt, cleared by reading', () => {
  const { uart, read, write, irq } = setUp();
  write(IER, 0x08);
  uart.setModemInputs({ cts: false, dsr: true, dcd: true, ri: true });
  assert.is(irq.isHigh, true);
  assert.is(read(IIR), 0x00);
  assert.is(read(MSR), 0xe1, 'CTS changed; a rising RI is no event');
  assert.is(irq.isHigh, false);
  uart.setModemInputs({ cts: false, dsr: true, dcd: false, ri: false });
  assert.is(read(MSR), 0x2c);
});

test('interrupt priorities', () => {
  const { uart, read, write } = setUp();
  write(IER, 0x0f);
  uart.setModemInputs({ cts: false, dsr: true, dcd: true, ri: false });
  uart.receiveBreak();
  assert.is(read(IIR), 0x06);
  read(LSR);
  assert.is(read(IIR), 0x04);
  read(DATA);
  assert.is(read(IIR), 0x02);
  assert.is(read(IIR), 0x00);
  read(MSR);
  assert.is(read(IIR), 0x01);
});

test('status registers are read-only, scratch is not', () => {
  const { read, write } = setUp();
  write(LSR, 0);
  write(MSR, 0);
  assert.is(read(LSR), 0x60);
  assert.is(read(MSR), 0xb0);
  write(SCR, 0xa5);
  assert.is(read(SCR), 0xa5);
});

test('reset forgets the guest, not the world', () => {
  const { uart, read, write } = setUp();
  write(LCR, 0x1b);
  uart.receive(bytes(1, 2));
  uart.reset();
  assert.is(read(LCR), 0);
  assert.is(read(LSR) & 1, 0);
  write(FCR, 1);
  assert.is(read(DATA), 2, 'byte 1 was inside, byte 2 still on the wire');
});

const [DTR, RTS, OUT2, LOOP] = [1, 2, 8, 16];

test('while the guest holds RTS low nothing moves from the wire; all of it comes when it is raised', () => {
  const { uart, read, write, irq } = setUp();
  write(FCR, 0x01);
  write(IER, 0x01);
  write(MCR, OUT2 | DTR | RTS);
  uart.receive(text('0123456789abcdefgh'));
  write(MCR, OUT2 | DTR);
  // What the FIFO took before is there, and no more.
  for (const byte of text('0123456789abcdef')) assert.is(read(DATA), byte);
  assert.is(read(LSR) & 1, 0);
  assert.is(irq.isHigh, false);
  uart.receive(text('ij'));
  uart.receiveBreak();
  assert.equal([read(LSR) & 1, uart.waitingBytes], [0, 5]);
  uart.advanceTo(1_000_000_000n);
  assert.is(read(LSR) & 1, 0, 'however long it sleeps');
  write(MCR, OUT2 | DTR | RTS);
  assert.is(irq.isHigh, true);
  for (const byte of text('ghij')) assert.is(read(DATA), byte);
});

test('DTR is heeded as RTS is, and a restored port remembers what it used', () => {
  for (const line of [DTR, RTS]) {
    const { uart, write } = setUp();
    write(FCR, 0x01);
    write(MCR, OUT2 | line);
    write(MCR, OUT2);
    uart.receive(text('x'));
    assert.is(uart.waitingBytes, 1);
    const other = setUp();
    other.uart.restore(uart.state());
    assert.is(other.read(LSR) & 1, 0);
    other.write(MCR, OUT2 | line);
    assert.is(other.read(DATA), 'x'.charCodeAt(0));
  }
});

test('a guest that never raised a line knows no flow control and is given what it reads', () => {
  const { uart, read, write } = setUp();
  // RTS inside the loopback is not seen outside.
  write(MCR, LOOP | RTS);
  write(MCR, OUT2);
  uart.receive(text('hello'));
  for (const byte of text('hello')) assert.is(read(DATA), byte);
  write(MCR, OUT2 | RTS);
  write(MCR, OUT2);
  uart.receive(text('x'));
  assert.is(read(LSR) & 1, 0);
  uart.reset();
  // Power-on: what it used before is forgotten.
  write(MCR, OUT2);
  assert.is(read(DATA), 'x'.charCodeAt(0));
});

test('on a half-duplex line RTS is the direction and holds nothing back', () => {
  const { uart, read, write } = setUp();
  const ready = { cts: true, dsr: true, dcd: true, ri: false };
  write(FCR, 0x01);
  write(MCR, OUT2 | DTR | RTS);
  write(MCR, OUT2 | DTR);
  uart.receive(text('a'));
  assert.is(uart.waitingBytes, 1);
  uart.setModemInputs({ ...ready, isHalfDuplex: true });
  assert.is(read(DATA), 'a'.charCodeAt(0));
  write(MCR, OUT2);
  uart.receive(text('b'));
  assert.is(uart.waitingBytes, 1, 'DTR is what it was');
});

test('CTS and DSR from outside: levels, deltas once, an interrupt if it is wanted', () => {
  const { uart, read, write, irq } = setUp();
  write(IER, 0x08);
  uart.setModemInputs({ cts: false, dsr: false, dcd: true, ri: false });
  assert.is(irq.isHigh, true);
  assert.is(read(IIR), 0x00);
  assert.is(read(MSR), 0x83);
  assert.equal([read(MSR), irq.isHigh], [0x80, false]);
  uart.setModemInputs({ cts: false, dsr: false, dcd: true, ri: false });
  assert.is(irq.isHigh, false, 'told again is no change');
  uart.setModemInputs({ cts: true, dsr: true, dcd: true, ri: false });
  assert.is(read(MSR), 0xb3);
});

test.run();
