// A thread that does one job after the other, behind everything else of this process: whoever decides goes first.
#pragma once

#include <functional>
#include <memory>

namespace twinstep::sync {

class Worker {
 public:
  Worker();
  // Does not wait: a job that hangs on a disk ends in its own time, and with it the thread.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void give(std::function<void()> job);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace twinstep::sync
