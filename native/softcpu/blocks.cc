// The cache of decoded blocks: finding, building, linking, dropping.
#include <algorithm>

#include "core.h"
#include "decode.h"
#include "translate.h"

namespace twinstep::soft {

namespace {

// ---- pseudo instructions ------------------------------------------------------------------------

// End of a block that just runs on: through the link to the block behind it.
const Insn* run_on(Cpu& c, const Insn* i) { return chain(c, i); }

// Put in place of an instruction that must not run yet: back to the loop before it.
const Insn* stop_here(Cpu& c, const Insn* i) {
  const Block* b = block_of(i);
  c.s.icount -= b->count - i->index_in_block;
  return leave(c, b->rip + i->offset);
}

const Insn* undefined(Cpu& c, const Insn* i) {
  c.cur = i;
  raise_ud();
}

const Insn* too_long(Cpu& c, const Insn* i) {
  c.cur = i;
  raise_gp0();
}

u32 hash_of(u64 page, u64 linear) {
  const u64 h = (page >> 12) * 0x9e3779b97f4a7c15 ^ linear * 0xff51afd7ed558ccd;
  return (h >> 40) & (kHashEntries - 1);
}

u64 lines(u32 from, u32 end) {  // bytes [from, end) of a page as 64-byte lines
  const u32 first = from >> 6, last = (end - 1) >> 6;
  const u64 upto = last == 63 ? ~u64{0} : (u64{1} << (last + 1)) - 1;
  return upto & ~((u64{1} << first) - 1);
}

u64 rip_mask(u8 bits) { return bits == 64 ? ~u64{0} : 0xffffffff; }

}  // namespace

void* BlockArena::take(size_t bytes) {
  bytes = (bytes + 63) & ~size_t{63};
  if (chunks.empty() || used + bytes > kChunkBytes) {
    chunks.push_back(std::make_unique<u8[]>(kChunkBytes + 64));
    used = 0;
  }
  u8* base = chunks.back().get();
  base += -reinterpret_cast<uintptr_t>(base) & 63;
  void* p = base + used;
  used += bytes;
  return p;
}

void BlockArena::clear() {
  chunks.clear();
  used = 0;
}

// ---- building -----------------------------------------------------------------------------------

namespace {

struct Source {
  const u8* bytes;  // the page
  u32 limit;        // bytes of the page that lie within the CS limit
};

// An instruction that begins in this page and ends in the next.
Decode decode_across(Core& k, Block& b, const Source& from, u32 at, Insn& out) {
  u8 joined[16];
  const u32 head = std::min(4096 - at, 15u);
  memcpy(joined, from.bytes + at, head);
  const Cpu& c = k.cpu;
  const u64 next_page = (b.linear & kPageMask) + 4096;
  const u64 second = k.fetch_page(c.code_bits == 64 ? next_page : next_page & 0xffffffff);
  u64 offset;
  if (!k.to_offset(second, offset)) raise_gp0();
  memcpy(joined + head, k.ram + offset, 15 - head);
  u32 available = 15;
  if (c.code_bits != 64) {
    const u64 left = u64{c.s.seg[CS].limit} + 1 - b.rip;
    available = std::min<u64>(available, left);
  }
  const Decode result = decode_and_select(joined, available, c.code_bits, b.rip, out);
  if (result == Decode::Short) raise_gp0();
  b.page2 = second;
  return result;
}

void finish(Core& k, Block& b, Insn* insns) {
  Insn& end = insns[b.count];
  memset(&end, 0, sizeof(end));
  end.fn = run_on;
  end.imm = (b.rip + b.bytes) & rip_mask(k.cpu.code_bits);
  end.flow = kEndsBlock | kPseudo | kHasLink;
  end.offset = static_cast<u16>(b.bytes);
  end.index_in_block = static_cast<u16>(b.count);
  b.total = static_cast<u16>(b.count + 1);
}

}  // namespace

Block* Core::build_block(u64 page) {
  Cpu& c = cpu;
  const u64 linear = c.code_bits == 64 ? c.s.rip : (c.cs_base + c.s.rip) & 0xffffffff;
  u64 offset;
  if (!to_offset(page, offset)) raise_gp0();  // code outside RAM
  Block b{};
  b.rip = c.s.rip;
  b.linear = linear;
  b.linear_page = linear & kPageMask;
  b.exec_at = static_cast<u32>((linear >> 12 & (kExecEntries - 1)) * sizeof(ExecEntry));
  b.page = page;
  b.page2 = kNoPage;
  b.code_key = c.code_key;
  Source from{ram + offset, 4096};
  const u32 start = linear & 0xfff;
  if (c.code_bits != 64) {
    if (c.s.rip > c.s.seg[CS].limit) raise_gp0();
    from.limit = std::min<u64>(4096, start + u64{c.s.seg[CS].limit} - c.s.rip + 1);
  }
  Insn insns[kBlockInsnsMax + 1];
  u32 at = start;
  bool ended = false;
  while (!ended && b.count < kBlockInsnsMax && at < from.limit) {
    Insn& i = insns[b.count];
    Decode result =
        decode_and_select(from.bytes + at, from.limit - at, c.code_bits, b.rip + b.bytes, i);
    if (result == Decode::Short) {
      if (b.count > 0) break;
      if (from.limit < 4096) raise_gp0();  // runs into the CS limit
      result = decode_across(*this, b, from, at, i);
      ended = true;
    }
    if (result == Decode::Invalid || result == Decode::TooLong) {
      i.fn = result == Decode::Invalid ? undefined : too_long;
      i.map = kNoMap;
      i.flow = kEndsBlock;
      i.flags = 0;
      if (i.len == 0) i.len = 1;
    }
    const bool direct = result == Decode::Ok && (i.flow & kHasLink);
    if (direct && c.code_bits != 64 && i.imm > c.s.seg[CS].limit) i.fn = branch_astray;
    i.offset = static_cast<u16>(b.bytes);
    i.index_in_block = static_cast<u16>(b.count);
    ended |= (i.flow & kEndsBlock) != 0;
    ++b.count;
    b.bytes += i.len;
    at += i.len;
  }
  finish(*this, b, insns);
  Block* made = static_cast<Block*>(arena.take(sizeof(Block) + b.total * sizeof(Insn)));
  memcpy(made, &b, sizeof(Block));
  memcpy(made->insn, insns, b.total * sizeof(Insn));
  made->first = made->insn[0].fn;
  insert(made);
  if (translator) translator->adopt(*this, made);
  return made;
}

void Core::insert(Block* b) {
  const u32 h = hash_of(b->page, b->linear);
  b->hash_next = hash[h];
  hash[h] = b;
  u64 offset = 0;
  to_offset(b->page, offset);
  PageInfo& p = pages[offset >> 12];
  const u32 start = b->linear & 0xfff;
  if (p.code_lines == 0) drop_writes_to(offset);
  p.code_lines |= lines(start, std::min(start + b->bytes, 4096u));
  b->page_next = p.blocks;
  p.blocks = b;
  if (b->page2 == kNoPage) return;
  to_offset(b->page2, offset);
  PageInfo& p2 = pages[offset >> 12];
  if (p2.code_lines == 0) drop_writes_to(offset);
  p2.code_lines |= lines(0, start + b->bytes - 4096);
  if (b->page2 == b->page) return;  // the same page twice: one list is enough
  b->page2_next = p2.blocks;
  p2.blocks = b;
}

Block* Core::find_block() {
  Cpu& c = cpu;
  Block* known = c.jump[jump_slot(c.s.rip)];
  const bool named = known != nullptr && known->rip == c.s.rip && known->code_key == c.code_key;
  if (named && maps(c, known)) return known;
  const u64 linear = c.code_bits == 64 ? c.s.rip : (c.cs_base + c.s.rip) & 0xffffffff;
  const u64 page = fetch_page(linear);
  for (Block* b = hash[hash_of(page, linear)]; b != nullptr; b = b->hash_next) {
    if (b->linear != linear || b->page != page || b->code_key != c.code_key) continue;
    if (b->rip != c.s.rip) continue;
    if (b->page2 == kNoPage) return b;
    if (fetch_page((linear & kPageMask) + 4096) == b->page2) return b;
    kill(b);
    break;
  }
  return build_block(page);
}

u32 Core::code_key_for(u64 cs_base, u32 cs_limit, u8 bits) {
  for (u32 n = modes.size(); n-- > 0;) {
    const CodeMode& m = modes[n];
    if (m.bits == bits && m.cs_base == cs_base && m.cs_limit == cs_limit) return n;
  }
  modes.push_back({cs_base, cs_limit, bits});
  return modes.size() - 1;
}

// ---- linking ------------------------------------------------------------------------------------

void Core::link(const Insn* from, Block* to) {
  Insn* i = const_cast<Insn*>(from);
  i->disp = reinterpret_cast<u64>(to);
  if ((block_of(from)->linear ^ to->linear) & kPageMask) i->flow |= kFarLink;
  Link* l = static_cast<Link*>(arena.take(sizeof(Link)));
  l->from = i;
  l->next = to->incoming;
  to->incoming = l;
  if (translator) translator->link(from, to);
}

const Insn* chain_cold(Cpu& c, const Insn* i) {
  Core& k = core_of(c);
  leave(c, i->imm);
  const Block* from = block_of(i);
  if (from->scratch || from->dead || k.arena.full()) return nullptr;
  if (c.stop_at.load(std::memory_order_relaxed) <= c.s.icount) return nullptr;
  Block* to = k.find_block();
  if (to->page2 != kNoPage || from->dead) return nullptr;
  k.link(i, to);
  return enter(c, to);
}

const Insn* chain_far(Cpu& c, const Block* b) {
  Core& k = core_of(c);
  leave(c, b->rip);
  if (c.stop_at.load(std::memory_order_relaxed) <= c.s.icount) return nullptr;
  const bool same = k.fetch_page(b->linear) == b->page;
  return same && !b->dead ? enter(c, b) : nullptr;
}

const Insn* jump_cold(Cpu& c) {
  Core& k = core_of(c);
  c.cur = nullptr;
  if (k.arena.full() || k.translator->full()) return nullptr;
  if (c.stop_at.load(std::memory_order_relaxed) <= c.s.icount) return nullptr;
  Block* to = k.find_block();
  if (to->page2 != kNoPage) return nullptr;
  c.jump[jump_slot(to->rip)] = to;
  return enter(c, to);
}

// ---- dropping -----------------------------------------------------------------------------------

namespace {

// The next block in the list of the page at `page`.
Block*& next_on(Block* b, u64 page) { return b->page == page ? b->page_next : b->page2_next; }

void remove_from_page(Core& k, Block* b, u64 page) {
  u64 offset = 0;
  k.to_offset(page, offset);
  PageInfo& p = k.pages[offset >> 12];
  Block** at = &p.blocks;
  while (*at != nullptr && *at != b) at = &next_on(*at, page);
  if (*at == b) *at = next_on(b, page);
  if (p.blocks == nullptr) p.code_lines = 0;
}

void remove_incoming(Block* target, const Block* from) {
  for (Link** at = &target->incoming; *at != nullptr;) {
    if (block_of((*at)->from) == from) {
      *at = (*at)->next;
    } else {
      at = &(*at)->next;
    }
  }
}

bool is_linked(const Insn& i) {
  return (i.flow & kHasLink) && i.disp != 0;
}

}  // namespace

void Core::kill(Block* b) {
  if (b->dead) return;
  b->dead = true;
  for (Block** at = &hash[hash_of(b->page, b->linear)]; *at != nullptr; at = &(*at)->hash_next) {
    if (*at == b) {
      *at = b->hash_next;
      break;
    }
  }
  remove_from_page(*this, b, b->page);
  if (b->page2 != kNoPage && b->page2 != b->page) remove_from_page(*this, b, b->page2);
  Block*& slot = cpu.jump[jump_slot(b->rip)];
  if (slot == b) slot = nullptr;
  for (Link* l = b->incoming; l != nullptr; l = l->next) {
    l->from->disp = 0;
    if (translator) translator->unlink(l->from);
  }
  b->incoming = nullptr;
  for (u32 n = b->count == 0 ? 0 : b->count - 1; n < b->total; ++n) {
    Insn& i = b->insn[n];
    if (!is_linked(i)) continue;
    remove_incoming(reinterpret_cast<Block*>(i.disp), b);
    i.disp = 0;
  }
  if (cpu.cur == nullptr) return;
  const Block* running = block_of(cpu.cur);
  if (running == b || running->scratch) stop_after_current();
}

void Core::code_written(u64 offset, u32 bytes) {
  PageInfo& p = pages[offset >> 12];
  const u32 from = offset & 0xfff;
  if (!(p.code_lines & lines(from, from + bytes))) return;
  const u64 physical = offset < low_bytes ? offset : offset - low_bytes + (u64{1} << 32);
  const u64 page = physical & kPageMask;
  for (Block* b = p.blocks; b != nullptr;) {
    Block* following = next_on(b, page);
    const u32 start = b->linear & 0xfff;
    bool hit = b->page == page && from < start + b->bytes && start < from + bytes;
    if (b->page2 == page) hit |= from < start + b->bytes - 4096;
    if (hit) kill(b);
    b = following;
  }
}

void Core::drop_all_blocks() {
  // Whatever lives is in `hash`; going through all pages would make a record of every one real memory.
  const auto clean = [&](u64 page) {
    u64 offset;
    if (page == kNoPage || !to_offset(page, offset)) return;
    pages[offset >> 12].blocks = nullptr;
    pages[offset >> 12].code_lines = 0;
  };
  for (const Block* b : hash) {
    for (; b != nullptr; b = b->hash_next) {
      clean(b->page);
      clean(b->page2);
    }
  }
  memset(hash, 0, sizeof(hash));
  memset(cpu.jump, 0, sizeof(cpu.jump));
  modes.clear();
  arena.clear();
  if (translator) translator->clear();
}

// ---- cuts ---------------------------------------------------------------------------------------

Block* Core::cut_block(const Block* b, u32 count) {
  const u32 copied = count == b->count ? b->total : count;
  memcpy(scratch, b, sizeof(Block));
  memcpy(scratch->insn, b->insn, copied * sizeof(Insn));
  scratch->insn[0].fn = b->first;
  for (u32 n = 0; b->translation != nullptr && n < copied; ++n) {
    scratch->insn[n].fn = b->translation->original[n];
  }
  scratch->translation = nullptr;
  scratch->scratch = true;
  scratch->incoming = nullptr;
  scratch->count = count;
  if (count < b->count) {
    Insn& end = scratch->insn[count];
    end = b->insn[count];
    end.fn = stop_here;
    end.flow = kEndsBlock | kPseudo;
  }
  scratch->total = static_cast<u16>(count + 1);
  return scratch;
}

void Core::stop_after_current() {
  if (cpu.cur == nullptr) return;
  cpu.stop_at.store(0);
  if (patched != nullptr) return;
  patched = const_cast<Insn*>(cpu.cur) + 1;
  patched_fn = patched->fn;
  patched->fn = stop_here;
}

void Core::restore_patch() {
  if (patched == nullptr) return;
  patched->fn = patched_fn;
  patched = nullptr;
}

}  // namespace twinstep::soft
