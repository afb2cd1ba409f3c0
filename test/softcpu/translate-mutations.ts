// Deliberately wrong edits of the translator: what a forgotten line would do. `from` stands in the file as it is.

export interface Mutation {
  readonly name: string;
  /** In native/softcpu. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** Why nobody sees it, as far as is known. */
  readonly unseen?: string;
}

const ALU = 'translate-alu.cc';
const ACCESS = 'translate-access.cc';
const FLAGS = 'translate-flags.cc';
const FLOW = 'translate-flow.cc';
const MOVE = 'translate-move.cc';
const SHIFT = 'translate-shift.cc';
const SIMD = 'translate-simd.cc';
const BLOCK = 'translate.cc';

const LEAVE = 'leave_if(ccNE);';

export const MUTATIONS: readonly Mutation[] = [
  // Flags
  {
    name: 'ADC to memory without the carry',
    file: ALU,
    from: 'if (with_carry(op)) u.need_carry();\n    u.e.alu_to(bytes, op, m',
    to: 'u.e.alu_to(bytes, op, m',
  },
  {
    name: 'INC does not keep CF',
    file: ALU,
    from: 'const bool keeps = u.live_after & fC;',
    to: 'const bool keeps = false;',
  },
  {
    name: 'INC brings CF into FLAGS over the register it has loaded',
    file: ALU,
    from: 'if (keeps) u.need_carry();  // before update(), which needs rAX\n    u.update(i.rm, bytes, [&](const Place& p) { u.e',
    to: 'u.update(i.rm, bytes, [&](const Place& p) { if (keeps) u.need_carry(); u.e',
  },
  {
    name: 'AF of AND is the host’s',
    file: FLAGS,
    from: 'take_high(kind == FlagKind::Logic ? kResult : kWithCarry);',
    to: 'take_high(0xff);',
    unseen: 'this host clears AF too',
  },
  {
    name: 'OF of ADD is forgotten',
    file: FLAGS,
    from: 'take_overflow();\n      take_high(0xff);',
    to: 'take_high(0xff);',
  },
  {
    name: 'OF of SHL by more than one is left as it was',
    file: FLAGS,
    from: 'e.store(1, kFlags, hAX);\n      break;\n    case FlagKind::Multiply',
    to: 'break;\n    case FlagKind::Multiply',
  },
  {
    name: 'a lookup loses the flags in FLAGS',
    file: ACCESS,
    from: 'if (in_window(p, bytes, write)) return through;\n  clobber();',
    to: 'if (in_window(p, bytes, write)) return through;\n  host = 0;',
  },
  {
    name: 'an instruction that may be left wants no flags before it',
    file: BLOCK,
    from: 'const bool all = p.emit == nullptr || p.leaves;',
    to: 'const bool all = p.emit == nullptr;',
  },
  {
    name: 'flags are not put away at the end of a block',
    file: BLOCK,
    from: 'save(fAll);\n  merge_float(e);\n  if (way.imm',
    to: 'merge_float(e);\n  if (way.imm',
  },
  {
    name: 'a shift by CL = 0 changes flags',
    file: SHIFT,
    from: 'bytes == 8 ? 63 : 31);\n    nothing',
    to: '0xff);\n    nothing',
  },
  {
    name: 'OF of a rotation is left as it was',
    file: SHIFT,
    from: 'u.e.store(1, low, hSI);\n  u.mem |= fC | fO;',
    to: 'u.mem |= fC | fO;',
  },
  // Widths
  {
    name: 'MOV to memory writes eight bytes',
    file: MOVE,
    from: 'u.e.store(bytes, m, u.use(i.reg, hAX));',
    to: 'u.e.store(8, m, u.use(i.reg, hAX));',
  },
  {
    name: 'the upper half survives a 32-bit result',
    file: 'translate-unit.h',
    from: 'f(Place::reg(hAX));\n    e.store(8, p, hAX);',
    to: 'f(Place::reg(hAX));\n    e.store(4, p, hAX);',
  },
  {
    name: 'CMPXCHG that fails writes RAX of another width',
    file: MOVE,
    from: 'u.e.load(bytes, kPins[RAX], Place::reg(hAX));\n  u.e.land(equal);',
    to: 'u.e.load(8, kPins[RAX], Place::reg(hAX));\n  u.e.land(equal);',
    unseen: 'the same: only 32 and 64 bits are translated',
  },
  {
    name: 'BSF of zero changes its destination',
    file: SHIFT,
    from: 'u8* none = u.e.jump_ahead(ccE);\n  u.e.store(8, place(i.reg), hSI);\n  u.e.land(none);',
    to: 'u.e.store(8, place(i.reg), hSI);',
  },
  // Memory
  {
    name: 'a page that is crossed is not seen',
    file: ACCESS,
    from: 'last.disp = high - 1;',
    to: 'last.disp = first.disp;',
  },
  {
    name: 'a page that is crossed is not seen, address computed',
    file: ACCESS,
    from: '4096 - static_cast<i32>(bytes)',
    to: '4095',
  },
  {
    name: 'a page that is crossed is not seen, address constant',
    file: ACCESS,
    from: '(address + bytes - 1) & kPageMask',
    to: 'address & kPageMask',
  },
  {
    name: 'a tag that is no page is taken for one',
    file: ACCESS,
    from: `e.test_constant(1, tag, 1);\n  ${LEAVE}`,
    to: '',
  },
  {
    name: 'rights to write are those to read',
    file: ACCESS,
    from: 'write ? offsetof(TlbEntry, write) : offsetof(TlbEntry, read)',
    to: 'write ? offsetof(TlbEntry, read) : offsetof(TlbEntry, read)',
  },
  {
    name: 'a window outlives its base register',
    file: ACCESS,
    from: 'if (e.touched & (1u << hSI | 1u << window_.base)) return false;',
    to: 'if (e.touched & 1u << hSI) return false;',
  },
  {
    name: 'a window outlives rSI',
    file: ACCESS,
    from: 'if (e.touched & (1u << hSI | 1u << window_.base)) return false;',
    to: 'if (e.touched & 1u << window_.base) return false;',
  },
  {
    name: 'a window made to read is written through',
    file: ACCESS,
    from: '(!write || window_.write);',
    to: 'true;',
  },
  {
    name: 'a window outlives what the interpreter did',
    file: BLOCK,
    from: 'window_.is_open = false;\n      reached = true;',
    to: 'reached = true;',
    unseen: 'the same: interpret_run() names rSI, which closes the window',
  },
  {
    name: 'the base of GS is forgotten',
    file: ACCESS,
    from: 'e.alu(8, aluAdd, hSI, field(kStateAt + base));',
    to: '(void)base;',
  },
  {
    name: 'a pop moves rSP before it has read',
    file: FLOW,
    from: 'u.e.load(8, hAX, u.lookup_stack(0, 8, false));\n  u.move_stack(8);\n  u.e.store(8, place(i.rm), hAX);',
    to: 'u.move_stack(8);\n  u.e.load(8, hAX, u.lookup_stack(-8, 8, false));\n  u.e.store(8, place(i.rm), hAX);',
  },
  {
    name: 'BT takes bits beyond the operand',
    file: SHIFT,
    from: 'u.e.byte(i.imm & (8 * bytes - 1));',
    to: 'u.e.byte(i.imm & 31);',
  },
  // Faults
  {
    name: 'a target that is not canonical is jumped to',
    file: FLOW,
    from: `u.e.alu(8, aluCmp, hSI, Place::reg(hAX));\n  u.${LEAVE}`,
    to: '',
  },
  {
    name: 'a quotient that is too large is divided',
    file: SHIFT,
    from: 'u.e.alu(bytes, aluCmp, hDX, Place::reg(hSI));\n    u.leave_if(ccAE);',
    to: '',
  },
  {
    name: 'CLI without a look at CPL',
    file: FLOW,
    from: `u.e.alu_constant(1, aluCmp, field(offsetof(Cpu, cpl)), 0);\n  u.${LEAVE}`,
    to: '',
  },
  {
    name: 'SSE without a look at CR0.TS',
    file: SIMD,
    from: `e.alu_constant(1, aluCmp, field(offsetof(Cpu, sse_off)), 0);\n    ${LEAVE}`,
    to: '',
  },
  {
    name: 'MOVAPS without a look at the alignment',
    file: SIMD,
    from: `u.e.test_constant(1, Place::reg(hSI), 15);\n  u.${LEAVE}`,
    to: '',
  },
  {
    name: 'a miss leaves to the entry that brought here',
    file: BLOCK,
    from: 'cold.constant(hAX, reinterpret_cast<u64>(b.insn[at].fn));\n  cold.jump(t.stubs_.interpret_by);',
    to: 'cold.jump(t.stubs_.interpret);',
  },
  // MXCSR
  {
    name: 'flags of MXCSR are not merged',
    file: SIMD,
    from: 'if (!float_ready) return;',
    to: 'return;',
  },
  {
    name: 'flags of MXCSR are the host’s of before',
    file: SIMD,
    from: 'u8* none = e.jump_ahead(ccE);',
    to: 'u8* none = e.jump_ahead(ccNE); e.land(none); none = e.jump_ahead(ccE); e.land(none); return;',
  },
  {
    name: 'the guest’s rounding is not looked at',
    file: SIMD,
    from: `e.alu_constant(4, aluCmp, Place::reg(hSI), kMxDefault);\n  ${LEAVE}`,
    to: '',
  },
  {
    name: 'the control word is not looked at again behind an interpreted instruction',
    file: BLOCK,
    from: 'simd_ready = float_ready = false;\n      window_',
    to: 'window_',
  },
  // Positions
  {
    name: 'no comparison with the position to stop at',
    file: BLOCK,
    from: 'e.jump_if(ccA, cold.here());',
    to: '',
  },
  {
    name: 'stopped one block early',
    file: BLOCK,
    from: 'e.jump_if(ccA, cold.here());',
    to: 'e.jump_if(ccAE, cold.here());',
    unseen: 'the same states, only slower',
  },
  {
    name: 'a block that is left before it stays counted',
    file: BLOCK,
    from: 'cold.alu_constant(8, aluSub, Place::reg(kPosition), b.count);\n  cold.constant',
    to: 'cold.constant',
  },
  {
    name: 'a piece of a block goes on in host code',
    file: 'blocks.cc',
    from: 'scratch->insn[n].fn = b->translation->original[n];',
    to: '',
  },
  // Links
  {
    name: 'a link to a block that was dropped stays',
    file: BLOCK,
    from: 'if (t != nullptr) lead(from, t->unlinked[slot_of(from)], kNoPage);',
    to: '(void)t;',
  },
  {
    name: 'the branch is unlinked where the way on should be',
    file: BLOCK,
    from: 't->unlinked[slot_of(from)]',
    to: 't->unlinked[0]',
  },
  {
    name: 'a link to another page without a look at the page',
    file: BLOCK,
    from: 'if (page != (b.linear & kPageMask)) {',
    to: 'if (false && page != 0) {',
  },
  {
    name: 'a link to another page takes any page that is there',
    file: BLOCK,
    from: 'e.alu(8, aluCmp, hSI, Place::at(hAX, entry + static_cast<i32>(offsetof(ExecEntry, physical))));\n    e.jump_if(ccNE, unlinked_[slot]);',
    to: '',
  },
  {
    name: 'the jump cache is believed without its address',
    file: BLOCK,
    from: 'e.alu(8, aluCmp, hAX, Place::at(hSI, offsetof(Block, rip)));\n  e.jump_if(ccNE, miss);',
    to: '',
  },
  {
    name: 'the jump cache is believed without its page',
    file: BLOCK,
    from: 'e.alu_constant(4, aluCmp, Place::reg(hAX), 0xffff);\n  e.jump_if(ccNE, miss);',
    to: '',
  },
];
