// Converts arguments, guards lifetime, forwards to sync/. A job has copies of all it reads and shares the room it
// writes into; what it found is there until the next job begins.
#include "napi/sync-worker-napi.h"

#include <uv.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "napi/arguments.h"
#include "napi/guest-memory-napi.h"
#include "napi/memory-digest-napi.h"
#include "sync/block-scan.h"
#include "sync/page-scan.h"
#include "sync/page-store.h"

namespace twinstep::napi {
namespace {

constexpr double kBlockMax = 4294967295.0;
constexpr size_t kRunsMax = 512;
// A message's head, whoever makes one.
constexpr uint32_t kHeadBytes = 16;
constexpr size_t kBufferBytes = (2 << 20) + kRunsMax * kHeadBytes;

std::vector<uint8_t> copy_of(const Napi::Uint8Array& array) {
  return {array.Data(), array.Data() + array.ByteLength()};
}

std::vector<uint8_t> hashes_of(const Napi::CallbackInfo& info, size_t index) {
  auto hashes = copy_of(bytes(info, index, "hashes"));
  if (hashes.size() % sync::kHashBytes != 0) throw Napi::RangeError::New(info.Env(), "hashes of 16 bytes each");
  return hashes;
}

std::array<uint8_t, sync::PageHash::kKeyBytes> page_key(const Napi::CallbackInfo& info, size_t index) {
  const auto given = bytes(info, index, "key");
  std::array<uint8_t, sync::PageHash::kKeyBytes> key;
  if (given.ByteLength() != key.size()) throw Napi::RangeError::New(info.Env(), "a key of 16 bytes");
  std::copy_n(given.Data(), key.size(), key.begin());
  return key;
}

sync::Image image(const Napi::CallbackInfo& info) {
  return {static_cast<int>(whole(info, 0, "fd", kDescriptorMax)), whole(info, 1, "bytes", kOffsetMax)};
}

sync::RunBuffer run_buffer(SyncWorker::Room& room) {
  return {room.buffer.data(), static_cast<uint32_t>(room.buffer.size()), room.runs.data(),
          static_cast<uint32_t>(room.runs.size()), kHeadBytes};
}

struct Job {
  SyncWorker::Work work;
  std::shared_ptr<SyncWorker::Room> room;
  std::shared_ptr<SyncWorker::Line> line;
  Napi::Promise::Deferred deferred;
  SyncWorker::Answer answer;
};

Napi::Value error_of(Napi::Env env, const SyncWorker::Answer& answer) {
  const bool is_short = answer.error < 0;
  const std::string code = is_short ? "E_SHORT" : uv_err_name(-answer.error);
  const std::string words = is_short ? "the file became shorter" : uv_strerror(-answer.error);
  auto error = Napi::Error::New(env, code + ": " + words + ", " + answer.doing);
  error.Value().Set("code", Napi::String::New(env, code));
  error.Value().Set("block", Napi::Number::New(env, static_cast<double>(answer.at_block)));
  return error.Value();
}

// The environment ends, before it takes the function away.
void hang_up(void* held) {
  const std::unique_ptr<std::shared_ptr<SyncWorker::Line>> line(
      static_cast<std::shared_ptr<SyncWorker::Line>*>(held));
  const std::lock_guard lock((*line)->mutex);
  (*line)->is_open = false;
}

void release(Napi::Env env, SyncWorker::Line& line) {
  {
    const std::lock_guard lock(line.mutex);
    if (!line.is_open) return;
    line.is_open = false;
    line.answers.Release();
  }
  napi_remove_env_cleanup_hook(env, hang_up, line.hook);
  delete std::exchange(line.hook, nullptr);
}

void answered(Napi::Env env, Napi::Function, Job* given) {
  const std::unique_ptr<Job> job(given);
  // The environment is being terminated: nobody waits any more.
  if (static_cast<napi_env>(env) == nullptr) return;
  job->line->is_busy = false;
  job->line->answers.Unref(env);
  if (job->line->is_closing) {
    job->room->forget();
    release(env, *job->line);
  }
  if (job->answer.error != 0) return job->deferred.Reject(error_of(env, job->answer));
  auto answer = Napi::Object::New(env);
  for (const auto& [name, number] : job->answer.numbers) answer.Set(name, Napi::Number::New(env, number));
  job->deferred.Resolve(answer);
}

template <typename Found>
SyncWorker::Answer failed(const Found& found) {
  return {{}, found.failure.error, found.failure.at_block};
}

}  // namespace

memory::Extents& SyncWorker::Room::touched_of(const std::shared_ptr<memory::Mapping>& of, uint64_t first) {
  if (first == 0 || memory != of || !touched.has_value()) {
    memory = of;
    touched.emplace(*memory);
  }
  return *touched;
}

// The room is there for as long as somebody has a view of it; the memory is not to wait for that.
void SyncWorker::Room::forget() {
  touched.reset();
  memory.reset();
}

Napi::Function SyncWorker::define(Napi::Env env) {
  return DefineClass(env, "SyncWorker",
                     {InstanceAccessor<&SyncWorker::buffer>("buffer"),
                      InstanceAccessor<&SyncWorker::runs>("runs"),
                      InstanceMethod<&SyncWorker::survey>("survey"),
                      InstanceMethod<&SyncWorker::compare>("compare"),
                      InstanceMethod<&SyncWorker::scan_pages>("scanPages"),
                      InstanceMethod<&SyncWorker::survey_pages>("surveyPages"),
                      InstanceMethod<&SyncWorker::compare_pages>("comparePages"),
                      InstanceMethod<&SyncWorker::digest_pages>("digestPages"),
                      InstanceMethod<&SyncWorker::store_pages>("storePages"),
                      InstanceMethod<&SyncWorker::close>("close")});
}

SyncWorker::SyncWorker(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<SyncWorker>(info), room_(std::make_shared<Room>()) {
  const Napi::Env env = info.Env();
  room_->buffer.resize(kBufferBytes);
  room_->runs.resize(kRunsMax);
  // SAFETY: the finalizers' copies keep the room for as long as the engine may reach the bytes.
  const auto view = [&](void* data, size_t length) {
    return Napi::Persistent(Napi::ArrayBuffer::New(
        env, data, length, [](Napi::Env, void*, std::shared_ptr<Room>* held) { delete held; },
        new std::shared_ptr<Room>(room_)));
  };
  buffer_ = view(room_->buffer.data(), kBufferBytes);
  runs_ = view(room_->runs.data(), kRunsMax * sizeof(sync::Run));
  line_->answers = Napi::ThreadSafeFunction::New(env, Napi::Function(), "twinstep:sync", 0, 1);
  // Only a job under way keeps the loop alive.
  line_->answers.Unref(env);
  // Hooks run the newest first: this one before that of the function.
  line_->hook = new std::shared_ptr<Line>(line_);
  napi_add_env_cleanup_hook(env, hang_up, line_->hook);
  worker_ = std::make_unique<sync::Worker>();
}

SyncWorker::~SyncWorker() { end(); }

void SyncWorker::end() {
  if (!worker_) return;
  worker_.reset();
  line_->is_closing = true;
  if (line_->is_busy) return;
  room_->forget();
  release(Env(), *line_);
}

// May be called twice, and while a job is under way: that one is still answered.
void SyncWorker::close(const Napi::CallbackInfo&) { end(); }

Napi::Value SyncWorker::buffer(const Napi::CallbackInfo&) { return buffer_.Value(); }
Napi::Value SyncWorker::runs(const Napi::CallbackInfo&) { return runs_.Value(); }

Napi::Value SyncWorker::start(Napi::Env env, Work work) {
  if (!worker_) throw Napi::TypeError::New(env, "this SyncWorker is closed");
  if (line_->is_busy) throw Napi::Error::New(env, "this SyncWorker has a job under way");
  auto* job = new Job{std::move(work), room_, line_, Napi::Promise::Deferred::New(env), {}};
  const auto promise = job->deferred.Promise();
  line_->is_busy = true;
  line_->answers.Ref(env);
  worker_->give([job] {
    job->answer = job->work(*job->room);
    // The job is the loop's from the call on.
    const auto line = job->line;
    const std::lock_guard lock(line->mutex);
    // SAFETY: a job that nobody is there for any more is left: what it holds is of that environment.
    if (line->is_open) line->answers.NonBlockingCall(job, answered);
  });
  return promise;
}

// survey(fd, bytes, first, end): { zeros, hashed, bytesRead }, the hashes at the start of the buffer.
Napi::Value SyncWorker::survey(const Napi::CallbackInfo& info) {
  const auto of = image(info);
  const uint64_t first = whole(info, 2, "first", kBlockMax);
  const uint64_t end = whole(info, 3, "end", kBlockMax);
  return start(info.Env(), [=](Room& room) -> Answer {
    const auto found = sync::survey(of, first, end, room.buffer.data());
    if (found.failure.error != 0) return failed(found);
    return {{{"zeros", static_cast<double>(found.zeros)},
             {"hashed", found.hashed},
             {"bytesRead", static_cast<double>(found.bytes_read)}}};
  });
}

// compare(fd, bytes, first, zeros, hashes): { next, runs, bytesRead }.
Napi::Value SyncWorker::compare(const Napi::CallbackInfo& info) {
  const auto of = image(info);
  const uint64_t first = whole(info, 2, "first", kBlockMax);
  const uint64_t zeros = whole(info, 3, "zeros", kBlockMax);
  auto hashes = hashes_of(info, 4);
  return start(info.Env(), [=, hashes = std::move(hashes)](Room& room) -> Answer {
    auto runs = run_buffer(room);
    const auto hashed = static_cast<uint32_t>(hashes.size() / sync::kHashBytes);
    const auto done = sync::compare(of, first, hashes.data(), zeros, hashed, runs);
    if (done.failure.error != 0) return failed(done);
    return {{{"next", static_cast<double>(done.next)},
             {"runs", runs.count()},
             {"bytesRead", static_cast<double>(done.bytes_read)}}};
  });
}

// scanPages(memory, first, bitmap): { next, runs, lookedAt }.
Napi::Value SyncWorker::scan_pages(const Napi::CallbackInfo& info) {
  auto memory = GuestMemory::mapping_of(info[0]);
  const uint64_t first = whole(info, 1, "first", kBlockMax);
  auto bitmap = copy_of(bytes(info, 2, "bitmap"));
  return start(info.Env(), [=, memory = std::move(memory), bitmap = std::move(bitmap)](Room& room) -> Answer {
    auto runs = run_buffer(room);
    auto& touched = room.touched_of(memory, first);
    const auto scan = sync::scan_pages(*memory, touched, first, bitmap.data(), bitmap.size(), runs);
    return {{{"next", static_cast<double>(scan.next)},
             {"runs", runs.count()},
             {"lookedAt", static_cast<double>(scan.looked_at)}}};
  });
}

// surveyPages(memory, first, key): { zeros, hashed }, the hashes at the start of the buffer.
Napi::Value SyncWorker::survey_pages(const Napi::CallbackInfo& info) {
  auto memory = GuestMemory::mapping_of(info[0]);
  const uint64_t first = whole(info, 1, "first", kBlockMax);
  const auto key = page_key(info, 2);
  return start(info.Env(), [=, memory = std::move(memory)](Room& room) -> Answer {
    sync::PageHash hash(key.data());
    const auto found = sync::survey_pages(*memory, room.touched_of(memory, first), first, hash, room.buffer.data());
    if (found.is_cut) return {{}, ECANCELED, first};
    return {{{"zeros", static_cast<double>(found.zeros)}, {"hashed", found.hashed}}};
  });
}

// comparePages(memory, first, zeros, hashes, key): { next, runs, compared }.
Napi::Value SyncWorker::compare_pages(const Napi::CallbackInfo& info) {
  auto memory = GuestMemory::mapping_of(info[0]);
  const uint64_t first = whole(info, 1, "first", kBlockMax);
  const uint64_t zeros = whole(info, 2, "zeros", kBlockMax);
  auto hashes = hashes_of(info, 3);
  const auto key = page_key(info, 4);
  return start(info.Env(), [=, memory = std::move(memory), hashes = std::move(hashes)](Room& room) -> Answer {
    auto runs = run_buffer(room);
    sync::PageHash hash(key.data());
    const auto hashed = static_cast<uint32_t>(hashes.size() / sync::kHashBytes);
    auto& touched = room.touched_of(memory, first);
    const auto done =
        sync::compare_pages(*memory, touched, first, hashes.data(), zeros, hashed, hash, runs);
    if (done.is_cut) return {{}, ECANCELED, done.next};
    return {{{"next", static_cast<double>(done.next)},
             {"runs", runs.count()},
             {"compared", static_cast<double>(done.compared)}}};
  });
}

// digestPages(digest, bitmap): {}.
Napi::Value SyncWorker::digest_pages(const Napi::CallbackInfo& info) {
  auto of = MemoryDigest::shared_of(info[0]);
  const auto bitmap = bytes(info, 1, "bitmap");
  if (bitmap.ByteLength() % 8 != 0 || bitmap.ByteLength() * 8 < of.digest->pages()) {
    throw Napi::RangeError::New(info.Env(), "bitmap: one bit a page, in whole 64-bit words");
  }
  std::vector<uint64_t> words(bitmap.ByteLength() / 8);
  std::memcpy(words.data(), bitmap.Data(), bitmap.ByteLength());
  return start(info.Env(), [of = std::move(of), words = std::move(words)](Room&) -> Answer {
    memory::Extents real(*of.memory);
    of.digest->update(of.memory->data(), words.data(), words.size(), real);
    return {};
  });
}

// storePages(digest, bytes): {}. Of the buffer.
Napi::Value SyncWorker::store_pages(const Napi::CallbackInfo& info) {
  auto of = MemoryDigest::shared_of(info[0]);
  const auto length = whole(info, 1, "bytes", static_cast<double>(room_->buffer.size()));
  return start(info.Env(), [of = std::move(of), length](Room& room) -> Answer {
    const int error = sync::store_pages(*of.memory, *of.digest, room.buffer.data(), length);
    return {{}, error, 0, "write"};
  });
}

}  // namespace twinstep::napi
