// Where blocks are joined, and what ends that: other pages under the same addresses, stores into code.
#include "core-rig.h"

namespace twinstep::soft::test {

namespace {

// To another page and back, there by a call, to an address of the same slot in the cache of jumps; then the
// page is another one, which a call has already brought into the cache of fetches.
GUEST(joined, 64, R"(
1:
  jmp 1b+0x1000
  call r8
  call r9
  dec ecx
  jnz 1b
  mov [rdi], rdx
  call rbx
  mov ecx, 5
  xor esi, 1
  jnz 1b
  hlt
)");

void put_page(Rig& r, u64 at, u8 by) {
  constexpr u64 kBack = kCode + 5;
  const u32 to = static_cast<u32>(kBack - (kCode + 0x1000 + 8));
  const u8 jump[] = {0x83, 0xc0, by, 0xe9, u8(to), u8(to >> 8), u8(to >> 16), u8(to >> 24)};
  const u8 call[] = {0x83, 0xc0, by, 0xc3};
  r.load(at, jump, jump + sizeof jump);
  r.put<u8>(at + 0x800, 0xc3);
  r.load(at + 0x900, call, call + sizeof call);
}

void another_page() {
  RIG(r, joined);
  constexpr u64 kOther = 0x100000;
  put_page(r, kCode + 0x1000, 1);
  put_page(r, kOther, 100);
  const u8 alias[] = {0x83, 0xc0, 7, 0xc3};
  r.load(kCode + 0x5904, alias, alias + sizeof alias);
  r.s.gpr[RAX] = 0;
  r.s.gpr[RCX] = 5;
  r.s.gpr[RSI] = 0;
  r.s.gpr[RBX] = kCode + 0x1800;
  r.s.gpr[R8] = kCode + 0x1900;
  r.s.gpr[R9] = kCode + 0x5904;
  r.s.gpr[RDI] = kPt + 8 * ((kCode + 0x1000) / 4096);
  r.s.gpr[RDX] = kOther | 7;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RAX], 5 * (1 + 1 + 7) + 5 * (100 + 100 + 7));
}

// A loop stores into the block it is linked to, now the branch's way, now the way on.
GUEST(rewritten, 64, R"(
1:
  cmp ecx, 3
  ja 2f
  add eax, 16
  jmp 3f
2:
  add eax, 1
3:
  dec ecx
  jnz 1b
  mov byte ptr [rdi], 2
  mov byte ptr [rsi], 32
  mov ecx, 6
  xor edx, 1
  jnz 1b
  hlt
)");

void another_code() {
  RIG(r, rewritten);
  r.s.gpr[RAX] = 0;
  r.s.gpr[RCX] = 6;
  r.s.gpr[RDX] = 0;
  r.s.gpr[RDI] = kCode + 12;  // the 1
  r.s.gpr[RSI] = kCode + 7;   // the 16
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RAX], 3 * (1 + 16) + 3 * (2 + 32));
}

}  // namespace

void run_links() {
  run_tests({
      {"another page", another_page},
      {"another code", another_code},
  });
}

}  // namespace twinstep::soft::test
