// See worker.h. Sources: setpriority(2), whose notes say that a nice value is of a thread.
#include "sync/worker.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace twinstep::sync {
namespace {

constexpr int kNice = 5;

}  // namespace

struct Worker::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> jobs;
  bool ends = false;

  void run() {
    setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNice);
    for (;;) {
      std::function<void()> job;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return ends || !jobs.empty(); });
        // What was given is done all the same: somebody waits for the answer.
        if (jobs.empty()) return;
        job = std::move(jobs.front());
        jobs.pop_front();
      }
      job();
    }
  }
};

Worker::Worker() : state_(std::make_shared<State>()) {
  std::thread([state = state_] { state->run(); }).detach();
}

Worker::~Worker() {
  const std::lock_guard lock(state_->mutex);
  state_->ends = true;
  state_->changed.notify_one();
}

void Worker::give(std::function<void()> job) {
  const std::lock_guard lock(state_->mutex);
  state_->jobs.push_back(std::move(job));
  state_->changed.notify_one();
}

}  // namespace twinstep::sync
