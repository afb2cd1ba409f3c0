// Positions, exits, self-modifying code, in all ways of cutting a run.
#include <thread>
#include <vector>

#include "core-rig.h"

namespace twinstep::soft::test {

namespace {

// ---- positions ----------------------------------------------------------------------------------
GUEST(ordinary, 64, "nop\n.byte 0x66,0x66,0x66,0x90\nlock inc dword ptr [rdi]\npause\n"
                    "mfence\ncpuid\nhlt");

void ordinary_instruction() {
  RIG(r, ordinary);
  r.s.gpr[RDI] = kData;
  CHECK(r.run() == Exit::Halt);
  SAME(r.counted(), 7);
}

GUEST(branching, 64, "xor eax,eax\njz 1f\nud2\n1: jnz 2f\ncall 3f\nhlt\n2: ud2\n3: ret");

void branches() {
  RIG(r, branching);
  CHECK(r.run() == Exit::Halt);
  SAME(r.counted(), 6);
}

GUEST(rep_stos, 64, "rep stosb\nhlt");

void rep_iteration() {
  for (u64 stop = 0; stop <= 11; ++stop) {
    RIG(r, rep_stos);
    r.s.gpr[RCX] = 10;
    r.s.gpr[RDI] = kData;
    r.s.gpr[RAX] = 0x55;
    const Exit reason = r.run(stop);
    SAME(r.counted(), stop);
    CHECK(reason == Exit::Limit);
    SAME(r.s.gpr[RCX], stop < 10 ? 10 - stop : 0);
    SAME(r.s.gpr[RDI], kData + (stop < 10 ? stop : 10));
    SAME(r.s.rip, stop < 10 ? kCode : stop == 10 ? kCode + 2 : kCode + 3);
    SAME(r.get<u8>(kData + stop), 0);
  }
}

void rep_of_nothing() {
  RIG(r, rep_stos);
  r.s.gpr[RCX] = 0;
  CHECK(r.run() == Exit::Halt);
  SAME(r.counted(), 2);
}

GUEST(rep_scan, 64, "repne scasb\nhlt");

void rep_ending_early() {
  RIG(r, rep_scan);
  r.put<u8>(kData + 4, 0x77);
  r.s.gpr[RDI] = kData;
  r.s.gpr[RCX] = 100;
  r.s.gpr[RAX] = 0x77;
  CHECK(r.run() == Exit::Halt);
  SAME(r.counted(), 5 + 1);
  SAME(r.s.gpr[RCX], 95);
}

GUEST(rep_movs, 64, "rep movsq\nhlt");

void rep_fault() {
  RIG(r, rep_movs);
  r.put<u64>(kPt + 8 * (kData / 4096 + 1), 0);
  r.s.gpr[RSI] = kCode;
  r.s.gpr[RDI] = kData + 4096 - 24;
  r.s.gpr[RCX] = 8;
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), PFV);
  SAME(r.counted(), 3 + 1);  // three iterations and the stub's HLT
  SAME(r.s.gpr[RCX], 5);
  SAME(r.s.gpr[RDI], kData + 4096);
  SAME(r.s.cr2, kData + 4096);
  SAME(r.q(kStack - 40), kCode);  // rip in the frame
}

GUEST(counting, 64, R"(
  mov ecx, 50
1: mov rax, [rdi]
  add rax, rcx
  mov [rdi], rax
  push rax
  call 2f
  pop rbx
  loop 1b
  hlt
2: xor rax, rbx
  ret
)");

// A run stopped at every position, and started again there, passes the same states.
void exact_limits() {
  RIG(whole, counting);
  whole.s.gpr[RDI] = kData;
  CHECK(whole.run() == Exit::Halt);
  const u64 length = whole.counted();
  for (u64 stop = 1; stop < length; stop += 7) {
    RIG(r, counting);
    r.s.gpr[RDI] = kData;
    CHECK(r.run(stop) == Exit::Limit);
    SAME(r.counted(), stop);
    CHECK(r.go() == Exit::Halt);
    SAME(r.counted(), length);
    CHECK(memcmp(&r.s, &whole.s, sizeof(State)) == 0);
    CHECK(memcmp(r.ram, whole.ram, Rig::kRamBytes) == 0);
  }
}

GUEST(forever, 64, "1: jmp 1b");

void kicks() {
  RIG(r, forever);
  r.engine.set_state(r.s);
  r.engine.kick();  // sticky: seen by the next run
  const ExitRecord first = r.engine.run(~u64{0});
  CHECK(first.reason == Exit::Kick);
  SAME(first.icount, r.from);
  const ExitRecord second = r.engine.run(r.from + 1000);
  CHECK(second.reason == Exit::Limit);
  SAME(r.engine.icount(), r.from + 1000);
}

// A kick that may come before, while or after: the endless loop ends.
void kicks_from_another_thread() {
  RIG(r, forever);
  r.engine.set_state(r.s);
  for (int n = 0; n < 20; ++n) {
    std::thread other([&] { r.engine.kick(); });
    CHECK(r.engine.run(~u64{0}).reason == Exit::Kick);
    other.join();
  }
}

// ---- devices ------------------------------------------------------------------------------------
constexpr u64 kDevice = 0x3f000000;  // beyond RAM, mapped

GUEST(mmio_out, 64, "mov [rdi], eax\nmov ebx, 7\nmov [rdi+8], rax\nhlt");

void mmio_write() {
  RIG(r, mmio_out);
  r.s.gpr[RDI] = kDevice;
  r.s.gpr[RAX] = 0x1122334455667788;
  CHECK(r.run() == Exit::MmioWrite);
  SAME(r.counted(), 1);
  SAME(r.s.gpr[RBX], 0);
  const ExitRecord x = r.engine.run(~u64{0});
  CHECK(x.reason == Exit::MmioWrite);
  SAME(x.address, kDevice + 8);
  SAME(x.bytes, 8);
  SAME(x.value, 0x1122334455667788);
  SAME(r.counted(), 3);
  CHECK(r.go() == Exit::Halt);
  SAME(r.counted(), 4);
}

GUEST(mmio_in, 64, "mov eax, [rdi]\nadd [rdi+4], eax\nhlt");

void mmio_read() {
  RIG(r, mmio_in);
  r.s.gpr[RDI] = kDevice;
  CHECK(r.run() == Exit::MmioRead);
  SAME(r.counted(), 0);
  SAME(r.s.rip, kCode);
  r.engine.complete_read(5);
  CHECK(r.go() == Exit::MmioRead);
  SAME(r.counted(), 1);
  SAME(r.s.gpr[RAX], 5);
  r.engine.complete_read(0x100);
  const ExitRecord x = r.engine.run(~u64{0});
  CHECK(x.reason == Exit::MmioWrite);
  SAME(x.address, kDevice + 4);
  SAME(x.value, 0x105);
  SAME(r.counted(), 2);
}

GUEST(mmio_both, 64, "movsd\nhlt");

// One instruction, a read that crosses into the device from RAM's last page and a write.
void mmio_crossing() {
  RIG(r, mmio_both);
  r.s.gpr[RSI] = kDevice;
  r.s.gpr[RDI] = kDevice + 0xffe;
  CHECK(r.run() == Exit::MmioRead);
  r.engine.complete_read(0x44332211);
  u64 bytes = 0;
  ExitRecord x = r.engine.run(~u64{0});
  while (x.reason == Exit::MmioWrite) {
    for (u32 n = 0; n < x.bytes; ++n) {
      bytes |= (x.value >> (8 * n) & 0xff) << (8 * (x.address + n - kDevice - 0xffe));
    }
    x = r.engine.run(~u64{0});
  }
  CHECK(x.reason == Exit::Halt);
  SAME(bytes, 0x44332211);
}

// ---- self-modifying code ------------------------------------------------------------------------
GUEST(patch_next, 64, "mov byte ptr [rip+1f+1], 9\n1: mov al, 5\nhlt");
GUEST(patch_back, 64, R"(
  xor ecx, ecx
1: mov al, 1
  add ebx, eax
  inc ecx
  mov byte ptr [rip+1b+1], 7
  cmp ecx, 3
  jb 1b
  hlt
)");
GUEST(patch_alias, 64, "mov byte ptr [rdi], 9\nmov al, 5\nhlt");

void self_modifying_code() {
  RIG(next, patch_next);
  CHECK(next.run() == Exit::Halt);
  SAME(next.s.gpr[RAX] & 0xff, 9);
  SAME(next.counted(), 3);

  RIG(back, patch_back);
  back.s.gpr[RAX] = back.s.gpr[RBX] = 0;
  CHECK(back.run() == Exit::Halt);
  SAME(back.s.gpr[RBX], 1 + 7 + 7);

  RIG(alias, patch_alias);  // through another linear page of the same physical one
  alias.put<u64>(kPt + 8 * 0x100, kCode | 7);
  alias.s.gpr[RDI] = 0x100004;
  CHECK(alias.run() == Exit::Halt);
  SAME(alias.s.gpr[RAX] & 0xff, 9);
}

GUEST(straddler, 64, "mov eax, 0x11223344\nhlt");

// An instruction across two pages, of which the second is changed by data, and then remapped.
void straddling_code() {
  Rig r;
  r.long_mode(kCode + 0xffe);
  LOAD(r, kCode + 0xffe, straddler);
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RAX], 0x11223344);
  r.put<u8>(kCode + 0x1000, 0x99);
  r.s.rip = kCode + 0xffe;
  r.s.halted = 0;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RAX], 0x11229944);
  r.put<u64>(kPt + 8 * (kCode / 4096 + 1), kUserCode | 7);
  r.put<u32>(kUserCode, 0xf4556677);
  r.s.rip = kCode + 0xffe;
  r.s.halted = 0;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RAX], 0x55667744);
}

}  // namespace

void run_positions() {
  run_tests({
      {"ordinary instruction", ordinary_instruction},
      {"branches", branches},
      {"rep iteration", rep_iteration},
      {"rep of nothing", rep_of_nothing},
      {"rep ending early", rep_ending_early},
      {"rep fault", rep_fault},
      {"exact limits", exact_limits},
      {"kicks", kicks},
      {"kicks from another thread", kicks_from_another_thread},
      {"mmio write", mmio_write},
      {"mmio read", mmio_read},
      {"mmio crossing", mmio_crossing},
      {"self-modifying code", self_modifying_code},
      {"straddling code", straddling_code},
  });
}

}  // namespace twinstep::soft::test

int main(int count, char** values) {
  using namespace twinstep::soft::test;
  take_options(count, values);
  for (const Slice how : {Slice{0, false}, {1, false}, {2, false}, {3, true}, {1, true}}) {
    slice = how;
    const int before = failures;
    run_positions();
    run_translations();
    run_links();
    if (failures == before) continue;
    printf("(in slices of %d instructions%s)\n", int(how.instructions),
           how.restore ? ", restored" : "");
  }
  printf(failures ? "%d checks failed\n" : "ok\n", failures);
  return failures != 0;
}
