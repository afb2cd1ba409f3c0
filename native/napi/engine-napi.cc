// Converts arguments, guards use after close, forwards to the engine. Positions cross as
// BigInt, exit facts through one Float64Array, so a run costs one call and one small number.
#include "napi/engine-napi.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "napi/arguments.h"
#include "napi/cpu-setup.h"
#include "napi/guest-memory-napi.h"
#include "vtx/probe.h"

namespace twinstep::napi {
namespace {

// Kicks come from other threads, perhaps after the engine is gone: tokens are looked up, and never
// reused.
std::mutex kick_mutex;
std::unordered_map<uint64_t, std::function<bool()>> kickable;
uint64_t last_kick_token = 0;

uint64_t big(const Napi::CallbackInfo& info, size_t index, const char* what) {
  bool exact = false;
  const Napi::Value value = info[index];
  const uint64_t result = value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&exact) : 0;
  if (exact) return result;
  throw Napi::TypeError::New(info.Env(), std::string(what) + " must be a bigint of 64 bits, >= 0");
}

// ---- state as bytes ------------------------------------------------------------------------------

// Layout versions travel with the bytes, so that a checkpoint of another build is refused in words.
struct StateHeader {
  uint32_t magic;
  uint32_t version;
  uint64_t bytes;
};
constexpr uint32_t kStateMagic = 0x54535643;  // "CVST"

// How an engine is made from its constructor's arguments, and what it is called.
template <class E>
struct Kind;

template <>
struct Kind<soft::Engine> {
  static constexpr const char* kName = "SoftEngine";
  static std::shared_ptr<soft::Engine> make(const Napi::CallbackInfo& info, memory::Mapping& m) {
    soft::Engine::Options options;
    if (info.Length() > 1 && !info[1].IsUndefined()) {
      const auto from = info[1].IsObject() ? info[1].As<Napi::Object>() : Napi::Object();
      if (from.IsEmpty() || !(from.Has("translate") || from.Has("warm"))) {
        throw Napi::TypeError::New(info.Env(), "SoftEngine needs a GuestMemory, and options if any");
      }
      const Napi::Value translate = from.Get("translate"), warm = from.Get("warm");
      if (translate.IsBoolean()) options.translate = translate.As<Napi::Boolean>();
      if (!warm.IsUndefined()) options.warm = static_cast<uint32_t>(whole(warm, "warm", 1 << 30));
    }
    return std::make_shared<soft::Engine>(m.data(), m.bytes(), options);
  }
};

template <>
struct Kind<vtx::Engine> {
  static constexpr const char* kName = "VtxEngine";
  static std::shared_ptr<vtx::Engine> make(const Napi::CallbackInfo& info, memory::Mapping& m) {
    const std::string asked = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
    if (asked == "steps") return made(info, m, vtx::Positions::Steps, nullptr);
    if (asked == "exits") return made(info, m, vtx::Positions::Exits, nullptr);
    if (asked == "branches") return made(info, m, vtx::Positions::Branches, nullptr);
    if (asked != "stepped-branches") {
      throw Napi::TypeError::New(info.Env(), "positions must be steps, exits or branches");
    }
    const uint64_t skid = whole(info[2], "skid", 1 << 20);
    const uint64_t seed = whole(info[3], "seed", kExactMax);
    return made(info, m, vtx::Positions::Branches, vtx::make_stepped_counter(skid, seed));
  }
  static std::shared_ptr<vtx::Engine> made(const Napi::CallbackInfo& info, memory::Mapping& m,
                                           vtx::Positions positions,
                                           std::unique_ptr<vtx::BranchCounter> branches) {
    try {
      return std::make_shared<vtx::Engine>(m.data(), m.bytes(), positions, std::move(branches));
    } catch (const vtx::Failure& failure) {
      throw Napi::Error::New(info.Env(), failure.what());
    }
  }
};

}  // namespace

template <class E>
template <auto Method>
auto EngineObject<E>::safe(const Napi::CallbackInfo& info) -> decltype((this->*Method)(info)) {
  try {
    return (this->*Method)(info);
  } catch (const vtx::Failure& failure) {
    throw Napi::Error::New(info.Env(), failure.what());
  }
}

template <class E>
Napi::Function EngineObject<E>::define(Napi::Env env) {
  using T = EngineObject<E>;
  std::vector<Napi::ClassPropertyDescriptor<T>> all{
      T::template InstanceMethod<&T::template safe<&T::run>>("run"),
      T::template InstanceMethod<&T::template safe<&T::complete_read>>("completeRead"),
      T::template InstanceMethod<&T::template safe<&T::set_interrupt_line>>("setInterruptLine"),
      T::template InstanceMethod<&T::template safe<&T::can_interrupt>>("canInterrupt"),
      T::template InstanceMethod<&T::template safe<&T::interrupt>>("interrupt"),
      T::template InstanceMethod<&T::template safe<&T::nmi>>("nmi"),
      T::template InstanceMethod<&T::template safe<&T::icount>>("icount"),
      T::template InstanceMethod<&T::template safe<&T::tsc>>("tsc"),
      T::template InstanceMethod<&T::template safe<&T::is_halted>>("isHalted"),
      T::template InstanceMethod<&T::template safe<&T::set_tsc>>("setTsc"),
      T::template InstanceMethod<&T::template safe<&T::seed_entropy>>("seedEntropy"),
      T::template InstanceMethod<&T::template safe<&T::reset>>("reset"),
      T::template InstanceMethod<&T::template safe<&T::setup>>("setup"),
      T::template InstanceMethod<&T::template safe<&T::get_state>>("getState"),
      T::template InstanceMethod<&T::template safe<&T::set_state>>("setState"),
      T::template InstanceMethod<&T::template safe<&T::memory_written>>("memoryWritten"),
      T::template InstanceMethod<&T::template safe<&T::take_dirty_pages>>("takeDirtyPages"),
      T::template InstanceMethod<&T::close>("close"),
      T::template InstanceAccessor<&T::exit_record>("exit"),
      T::template InstanceAccessor<&T::kick_token>("kickToken")};
  if constexpr (std::is_same_v<E, soft::Engine>) {
    all.push_back(T::template InstanceAccessor<&T::translates_not>("translatesNot"));
  }
  if constexpr (std::is_same_v<E, vtx::Engine>) {
    all.push_back(T::template InstanceAccessor<&T::counters>("counters"));
    all.push_back(T::template InstanceMethod<&T::template safe<&T::run_near>>("runNear"));
    all.push_back(T::template InstanceMethod<&T::template safe<&T::is_between>>("isBetween"));
    all.push_back(T::template InstanceMethod<&T::template safe<&T::close_slice>>("closeSlice"));
  }
  return T::DefineClass(env, Kind<E>::kName, all);
}

template <class E>
EngineObject<E>::EngineObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<EngineObject<E>>(info) {
  if (info.Length() < 1) {
    throw Napi::TypeError::New(info.Env(), std::string(Kind<E>::kName) + " needs a GuestMemory");
  }
  memory_ = GuestMemory::mapping_of(info[0]);
  engine_ = Kind<E>::make(info, *memory_);
  exit_ = Napi::Persistent(Napi::Float64Array::New(info.Env(), 4));
  std::lock_guard lock(kick_mutex);
  token_ = ++last_kick_token;
  kickable.emplace(token_, [weak = std::weak_ptr<E>(engine_)] {
    const auto engine = weak.lock();
    if (engine) engine->kick();
    return engine != nullptr;
  });
}

template <class E>
EngineObject<E>::~EngineObject() {
  forget_token();
}

template <class E>
void EngineObject<E>::forget_token() {
  std::lock_guard lock(kick_mutex);
  kickable.erase(token_);
}

Napi::Value kick_engine(const Napi::CallbackInfo& info) {
  const uint64_t token = big(info, 0, "token");
  std::function<bool()> kick;
  {
    std::lock_guard lock(kick_mutex);
    const auto found = kickable.find(token);
    if (found != kickable.end()) kick = found->second;
  }
  return Napi::Boolean::New(info.Env(), kick && kick());
}

// Reading arguments can run JavaScript (getters) that closes this engine, so every method reads
// them first and opens last.
template <class E>
E& EngineObject<E>::open(const Napi::CallbackInfo& info) const {
  if (!engine_) throw Napi::TypeError::New(info.Env(), "this engine is closed");
  return *engine_;
}

template <class E>
Napi::Value EngineObject<E>::run(const Napi::CallbackInfo& info) {
  return run_by(info, [](E& engine, uint64_t limit) -> auto& { return engine.run(limit); });
}

template <class E>
Napi::Value EngineObject<E>::run_near(const Napi::CallbackInfo& info) {
  if constexpr (std::is_same_v<E, vtx::Engine>) {
    return run_by(info, [](E& engine, uint64_t limit) -> auto& { return engine.run_near(limit); });
  }
  return info.Env().Undefined();
}

template <class E>
template <class Run>
Napi::Value EngineObject<E>::run_by(const Napi::CallbackInfo& info, Run run) {
  const uint64_t limit = big(info, 0, "limitIcount");
  auto& engine = open(info);
  auto facts = exit_.Value();
  if (facts.ElementLength() != 4) throw Napi::TypeError::New(info.Env(), "exit was taken away");
  const auto& record = run(engine, limit);
  facts[0] = record.bytes;
  facts[1] = static_cast<double>(record.address);
  facts[2] = static_cast<double>(record.value & 0xffffffff);
  facts[3] = static_cast<double>(record.value >> 32);
  return Napi::Number::New(info.Env(), static_cast<double>(record.reason));
}

template <class E>
Napi::Value EngineObject<E>::exit_record(const Napi::CallbackInfo&) { return exit_.Value(); }

template <class E>
void EngineObject<E>::complete_read(const Napi::CallbackInfo& info) {
  const uint64_t low = whole(info[0], "valueLow", 0xffffffff);
  const uint64_t high = whole(info[1], "valueHigh", 0xffffffff);
  open(info).complete_read(low | high << 32);
}

template <class E>
void EngineObject<E>::set_interrupt_line(const Napi::CallbackInfo& info) {
  if (!info[0].IsBoolean()) throw Napi::TypeError::New(info.Env(), "raised must be a boolean");
  open(info).set_interrupt_line(info[0].As<Napi::Boolean>());
}

template <class E>
Napi::Value EngineObject<E>::can_interrupt(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), open(info).can_interrupt());
}

template <class E>
void EngineObject<E>::interrupt(const Napi::CallbackInfo& info) {
  const auto vector = static_cast<uint8_t>(whole(info[0], "vector", 255));
  auto& engine = open(info);
  if (!engine.can_interrupt()) throw Napi::Error::New(info.Env(), "no interrupt can be taken now");
  engine.interrupt(vector);
}

template <class E>
void EngineObject<E>::nmi(const Napi::CallbackInfo& info) { open(info).nmi(); }

template <class E>
Napi::Value EngineObject<E>::icount(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), open(info).icount());
}

template <class E>
Napi::Value EngineObject<E>::tsc(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), open(info).tsc());
}

template <class E>
Napi::Value EngineObject<E>::is_halted(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), open(info).halted());
}

template <class E>
void EngineObject<E>::set_tsc(const Napi::CallbackInfo& info) {
  const uint64_t base = big(info, 0, "base");
  const uint64_t multiplier = big(info, 1, "multiplier");
  open(info).set_tsc(base, multiplier);
}

template <class E>
void EngineObject<E>::seed_entropy(const Napi::CallbackInfo& info) {
  const auto from = bytes(info, 0, "seed");
  if (from.ByteLength() != 32) throw Napi::RangeError::New(info.Env(), "seed: exactly 32 bytes");
  uint64_t seed[4];
  std::memcpy(seed, from.Data(), sizeof seed);
  open(info).seed_entropy(seed);
}

template <class E>
void EngineObject<E>::reset(const Napi::CallbackInfo& info) { open(info).reset(); }

// Power-on state, then what the boot protocol asks for. A refused setup leaves the power-on state.
template <class E>
void EngineObject<E>::setup(const Napi::CallbackInfo& info) {
  if (!info[0].IsObject()) throw Napi::TypeError::New(info.Env(), "setup needs a CpuSetup object");
  const CpuSetup asked = read_setup(info[0].As<Napi::Object>());
  auto& engine = open(info);
  engine.reset();
  soft::State state;
  engine.get_state(state);
  apply(asked, state);
  if (const char* why = engine.set_state(state)) throw Napi::Error::New(info.Env(), why);
}

template <class E>
Napi::Value EngineObject<E>::get_state(const Napi::CallbackInfo& info) {
  soft::State state;
  open(info).get_state(state);
  const StateHeader header{kStateMagic, soft::kStateVersion, sizeof state};
  auto out = Napi::Uint8Array::New(info.Env(), sizeof header + sizeof state);
  std::memcpy(out.Data(), &header, sizeof header);
  std::memcpy(out.Data() + sizeof header, &state, sizeof state);
  return out;
}

template <class E>
void EngineObject<E>::set_state(const Napi::CallbackInfo& info) {
  const auto from = bytes(info, 0, "state");
  StateHeader header{};
  soft::State state;
  if (from.ByteLength() >= sizeof header) std::memcpy(&header, from.Data(), sizeof header);
  if (header.magic != kStateMagic) {
    throw Napi::Error::New(info.Env(), "not the state of a software engine");
  }
  if (header.version != soft::kStateVersion) {
    throw Napi::Error::New(info.Env(), "engine state of version " +
                                           std::to_string(header.version) +
                                           ", this firmware reads version " +
                                           std::to_string(soft::kStateVersion));
  }
  if (header.bytes != sizeof state || from.ByteLength() != sizeof header + sizeof state) {
    throw Napi::Error::New(info.Env(), "engine state is cut short or too long");
  }
  std::memcpy(&state, from.Data() + sizeof header, sizeof state);
  if (const char* why = open(info).set_state(state)) throw Napi::Error::New(info.Env(), why);
}

// Outside RAM there is nothing to drop, so a range longer than RAM can only be a mistake.
template <class E>
void EngineObject<E>::memory_written(const Napi::CallbackInfo& info) {
  const uint64_t address = whole(info[0], "address", kExactMax);
  const uint64_t count = whole(info[1], "bytes", memory::kBytesMax);
  open(info).memory_written(address, count);
}

template <class E>
void EngineObject<E>::take_dirty_pages(const Napi::CallbackInfo& info) {
  auto bitmap = bytes(info, 0, "bitmap");
  auto& engine = open(info);
  const size_t pages = memory_->bytes() / memory::kPageBytes;
  const size_t used = (pages + 7) / 8;
  if (bitmap.ByteLength() < used) {
    throw Napi::RangeError::New(info.Env(), "bitmap: needs one bit a page of guest memory");
  }
  // Kept: memory anew for every call would be most of its cost where there is much RAM.
  dirty_.resize((pages + 63) / 64);
  engine.take_dirty_pages(dirty_.data(), dirty_.size());
  const auto* from = reinterpret_cast<const uint8_t*>(dirty_.data());
  auto* const to = bitmap.Data();
  for (size_t i = 0; i < used; i++) to[i] |= from[i];
}

template <class E>
Napi::Value EngineObject<E>::kick_token(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), token_);
}

// A kick that runs just now on another thread holds the engine until it is done. May be called
// twice.
template <class E>
void EngineObject<E>::close(const Napi::CallbackInfo&) {
  forget_token();
  engine_.reset();
  memory_.reset();
}

template <class E>
Napi::Value EngineObject<E>::is_between(const Napi::CallbackInfo& info) {
  bool between = false;
  if constexpr (std::is_same_v<E, vtx::Engine>) between = open(info).is_between();
  return Napi::Boolean::New(info.Env(), between);
}

template <class E>
void EngineObject<E>::close_slice(const Napi::CallbackInfo& info) {
  if constexpr (std::is_same_v<E, vtx::Engine>) open(info).close_slice();
}

template <class E>
Napi::Value EngineObject<E>::counters(const Napi::CallbackInfo& info) {
  auto out = Napi::Object::New(info.Env());
  if constexpr (std::is_same_v<E, vtx::Engine>) {
    const vtx::Engine& engine = open(info);
    const vtx::Counters& c = engine.counters();
    const vtx::Landing& l = engine.landing();
    const std::pair<const char*, uint64_t> numbers[] = {
        {"kvmRuns", c.kvm_runs},           {"hardwareSteps", c.hardware_steps},
        {"referenceSteps", c.reference_steps}, {"stepsTakenBack", c.steps_taken_back},
        {"standingSteps", c.standing_steps},
        {"exits", c.exits},                {"windows", c.windows},
        {"portExits", c.ports},            {"memoryExits", c.memory},
        {"halts", c.halts},                {"tscExits", c.tsc},
        {"msrExits", c.msrs},              {"slotsMade", engine.slots_made()},
        {"landed", l.landed()},            {"missed", l.missed()},
        {"landingSteps", l.steps()},       {"skidMax", l.skid_max()},
    };
    for (const auto& [name, value] : numbers) out.Set(name, static_cast<double>(value));
    out.Set("tellsTsc", Napi::Boolean::New(info.Env(), engine.tells_tsc()));
  }
  return out;
}

template <class E>
Napi::Value EngineObject<E>::translates_not(const Napi::CallbackInfo& info) {
  if constexpr (std::is_same_v<E, soft::Engine>) {
    const char* why = open(info).translates_not();
    if (why != nullptr) return Napi::String::New(info.Env(), why);
  }
  return info.Env().Undefined();
}

Napi::Value probe_kvm(const Napi::CallbackInfo& info) {
  const vtx::Probe found = vtx::probe(info[0].IsBoolean() && info[0].As<Napi::Boolean>());
  auto out = Napi::Object::New(info.Env());
  out.Set("isUsable", found.is_usable);
  out.Set("isLimited", found.is_limited);
  out.Set("tellsTsc", found.tells_tsc);
  out.Set("tablesFollow", found.tables_follow);
  out.Set("countsBranches", found.counts_branches);
  auto words = Napi::Array::New(info.Env(), found.words.size());
  for (uint32_t n = 0; n < found.words.size(); n++) words[n] = found.words[n];
  out.Set("words", words);
  return out;
}

template class EngineObject<soft::Engine>;
template class EngineObject<vtx::Engine>;

}  // namespace twinstep::napi
