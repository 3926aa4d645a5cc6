// Counts the outermost operators that torch runs in this process, in every thread.
//
// One callback of torch's RecordFunction sees each operator at its start and end. A call at depth
// 0 is outermost: its signature is found in the thread's own table, and its slot in the mapped
// spool is raised by one. Nothing is locked and nothing allocated for a signature that is known.
// The interface is plain C, for ctypes, so that it does not depend on the version of Python.
//
// Has to be compiled with -DNDEBUG: without it, torch's headers lay RecordFunction out in another
// way than torch's libraries, and the process crashes.

#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include <exception>
#include <mutex>
#include <new>
#include <string_view>
#include <thread>
#include <type_traits>

#include "objects.h"
#include "operators.h"
#include "pairs.h"
#include "sampling.h"
#include "signature.h"
#include "spool.h"
#include "table.h"

namespace torch::autograd {
// torch/csrc/autograd/graph_task.h has it, and half of torch
TORCH_API int get_current_graph_task_id();
}  // namespace torch::autograd

namespace aimatrix {
namespace {

// Operators in place of which something else runs (a compiled model, a CUDA graph), with how often
// each runs once the region does. Its slots are of no thread: they are raised by atomic additions.
struct Region {
  struct Item {
    std::string description;
    Phase phase;
    uint64_t calls;
    uint32_t slots[kPhases];  // by the phase in which the region runs
  };
  std::vector<Item> items;
  uint64_t generations[kPhases] = {};  // of the slots
};

// Operators are listed in it instead of being counted. It hangs on torch's thread-local state, so
// that it is also that of the threads in which torch goes on with the work of the one that records:
// autograd has threads of its own for the backward pass on a GPU.
struct Recording : c10::DebugInfoBase {
  std::atomic<bool> is_over{false};
  std::mutex mutex;  // of the two below
  Table index;       // of items
  Region region;
  uint64_t generation;
  int depth_before;
  int regions_before;
};

struct Thread {
  int depth = 0;    // of open operators
  int regions = 0;  // open ones
  int steps = 0;    // of open Optimizer.step ranges
  uint64_t generation = 0;
  uint64_t counted = 0;
  Table table;
  Words words;
  OperatorCache operators;
  Windows windows;
  Recording* recording = nullptr;  // at the event that is looked at
  Look look;
  uint64_t burst = 0;              // in which it knows producers
  uint64_t next_burst = kBurstGap; // calls after which it begins one
  uint32_t timed_slot = 0;
  uint64_t timed_from = 0;

  void begin_anew(uint64_t now) {
    table.clear();
    timed_from = 0;
    depth = regions = steps = 0;
    counted = 0;
    windows = Windows();
    recording = nullptr;
    look.begin_anew();
    next_burst = kFirstBurst;
    generation = now;
  }
};

struct Process {
  std::string folder;
  uint64_t capacity = 0;
  uint64_t pid_namespace = 0;
  bool with_time = false;

  std::atomic<uint64_t> generation{1};  // raised in a forked child
  std::mutex mutex;                     // of all below
  std::unique_ptr<Spool> spool;
  uint64_t spool_generation = 0;
  pid_t spool_process = 0;
  std::atomic<bool> is_full{false};
  bool is_told = false;
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<Thread*> free_threads;
  std::vector<std::unique_ptr<Region>> regions;

  Operators operators;
  Budget budget;
  Bursts bursts;
  std::atomic<bool> is_running{false};
  std::atomic<bool> is_sampling{false};
  std::atomic<Thread*> window_of{nullptr};
  std::atomic<uint64_t> window_beat{0};  // raised by each event of the window
  std::mutex switching;                  // of torch's callbacks; taken before the other mutexes
  bool is_forking = false;
  std::atomic<uint64_t> free_since{0};   // generation in which torch's lock was seen to be free
  std::atomic<uint64_t> asked_since{0};  // and in which that was asked
  std::atomic<int> recorders{0};
  bool is_counting = false;
  at::CallbackHandle counting = 0;
  at::CallbackHandle outputs = 0;
  bool has_outputs = false;
  uint64_t outputs_since = 0;  // ns, or without them
  at::CallbackHandle steps = 0;
  at::CallbackHandle opening = 0;
  bool has_opening = false;  // in a forked child maybe the parent's
};

// Never destroyed: threads may outlive the statics.
Process& the_process = *new Process;
inline Process& process() { return the_process; }

// What torch gives as the overload of a range that is no operator: the address tells them apart,
// for names do not ("mylib::step" may be either).
const char* overload_of_a_range = nullptr;

// The file behind descriptor 2 when the capture started: an application may put one of its own there.
struct stat error_output = {};

void tell(std::string message) {
  struct stat now;
  if (fstat(2, &now) != 0 || now.st_dev != error_output.st_dev ||
      now.st_ino != error_output.st_ino) {
    return;
  }
  std::string line = "aimatrix: " + message.substr(0, message.find('\n')) + "\n";
  if (write(2, line.data(), line.size()) < 0) return;  // no one to tell
}

// ---- threads

struct Returner {
  ~Returner();
  bool is_gone = false;
};
// one word in the block of thread-locals that exists from the start: read without a call
[[gnu::tls_model("initial-exec")]] thread_local Thread* current = nullptr;
thread_local Returner returner;

void leave_last_window(Thread& thread);

Returner::~Returner() {
  is_gone = true;
  if (!current) return;
  auto& all = process();
  if (all.window_of.load() == current) leave_last_window(*current);
  std::lock_guard<std::mutex> lock(all.mutex);
  all.free_threads.push_back(current);
  current = nullptr;
}

Thread* new_thread() {
  if (returner.is_gone) return nullptr;  // a destructor of the thread's still calls operators
  auto& all = process();
  std::lock_guard<std::mutex> lock(all.mutex);
  if (all.free_threads.empty()) {
    all.threads.push_back(std::make_unique<Thread>());
    current = all.threads.back().get();
    current->generation = all.generation;
  } else {
    current = all.free_threads.back();  // with the signatures and slots of a thread that has ended
    all.free_threads.pop_back();
    current->depth = current->regions = current->steps = 0;
    current->windows = Windows();
  }
  return current;
}

Thread* this_thread() {
  Thread* thread = current ? current : new_thread();
  if (!thread) return nullptr;
  auto& all = process();
  auto generation = all.generation.load(std::memory_order_relaxed);
  // in a forked child, what was counted is the parent's
  if (thread->generation != generation) thread->begin_anew(generation);
  return thread;
}

// ---- forks

// Torch has a lock on its list of callbacks, which each thread takes at its first event and after a
// change. A child that was forked at such a moment would wait for it forever. So it is forked with
// the callback for counting on, and what it holds of the list up to date; it changes the list only
// when a thread of ours has shown that the lock is free.
bool may_switch() {
  auto& all = process();
  auto generation = all.generation.load();
  if (all.free_since == generation) return true;
  if (all.asked_since.exchange(generation) == generation) return false;
  sigset_t every, before;
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &before);  // the application's signals are for its threads
  try {
    std::thread([generation] {
      auto& all = process();
      at::reenableCallback(all.counting);  // changes nothing
      all.free_since = generation;
    }).detach();
  } catch (const std::system_error&) {
    // no thread is to be had: all calls count
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return false;
}

void settle_counting();
bool has_just_switched();

// A fork waits until all is whole: the child has no other thread that could finish it.
void before_fork() {
  auto& all = process();
  all.switching.lock();
  if (all.is_running) {
    all.is_forking = true;
    settle_counting();
    // other threads take note of changes: torch's lock gets free
    if (all.is_sampling || has_just_switched()) usleep(100);
    (void)at::getStepCallbacksUnlessEmpty(at::RecordScope::FUNCTION);  // brings it up to date
  }
  all.mutex.lock();
  all.operators.mutex().lock();
  objects().mutex().lock();
}

void unlock_after_fork() {
  objects().mutex().unlock();
  process().operators.mutex().unlock();
  process().mutex.unlock();
  process().is_forking = false;
}

void after_fork() {
  unlock_after_fork();
  if (process().is_running) settle_counting();
  process().switching.unlock();
}

void after_fork_in_child() {
  auto& all = process();
  all.generation.fetch_add(1, std::memory_order_relaxed);
  all.window_of = nullptr;  // of a thread that may not be here, as those that recorded
  all.recorders = 0;
  all.is_sampling = false;
  all.budget.reset();
  all.bursts.reset(all.bursts.is_on());
  unlock_after_fork();
  all.switching.unlock();
}

// ---- slots

// With the mutex held. Raises std::system_error where the process's files cannot be made.
Spool& open_spool() {
  auto& all = process();
  if (all.spool_generation != all.generation.load()) {
    // in the process that made it, another thread may still be counting in it
    if (all.spool_process == getpid()) (void)all.spool.release();
    all.spool = std::make_unique<Spool>(all.folder, all.capacity, all.pid_namespace);
    all.spool_generation = all.generation;
    all.spool_process = getpid();
    all.is_full = false;
  }
  return *all.spool;
}

// With the mutex held. Slot 0 (calls without their shapes) where there is no place for another.
uint32_t new_slot(const std::string& description) {
  auto& all = process();
  auto& spool = open_spool();
  try {
    if (!spool.is_full()) return spool.append(description);
    all.is_full = true;
    return 0;
  } catch (const std::system_error& error) {
    if (!all.is_told) tell(std::string("calls are counted without their shapes: ") + error.what());
    all.is_told = true;
    all.is_full = error.code() == std::errc::no_such_file_or_directory;  // it does not come back
    return 0;
  }
}

uint32_t slot_of(
    Thread& thread, const Operator& called, Phase phase, c10::ArrayRef<const c10::IValue> inputs) {
  auto hash = thread.words.hash();
  auto slot = thread.table.find(hash, thread.words);
  if (slot != Table::kUnknown) return slot;
  if (process().is_full.load(std::memory_order_relaxed)) return 0;
  auto description = describe(called, phase, inputs);
  {
    std::lock_guard<std::mutex> lock(process().mutex);
    slot = new_slot(description);
  }
  // calls beyond the capacity would fill the memory with their signatures
  if (slot) thread.table.insert(hash, thread.words, slot);
  return slot;
}

// ---- recordings

constexpr std::string_view kRecording = "aimatrix";

// Before torch 2.13, kinds were numbers, and those for tests the only ones to have.
template <typename Kind>
Kind kind_of_recordings() {
  if constexpr (std::is_enum_v<Kind>) {
    return Kind::TEST_INFO_2;
  } else {
    return Kind(&kRecording);
  }
}

const auto recordings = kind_of_recordings<c10::DebugInfoKind>();

// That of the calling thread, or of the one for which it works; null in a forked child.
Recording* recording_here() {
  auto* found = dynamic_cast<Recording*>(c10::ThreadLocalDebugInfo::get(recordings));
  if (!found || found->is_over || found->generation != process().generation) return nullptr;
  return found;
}

void record(
    Thread& thread, const Operator& called, Phase phase, c10::ArrayRef<const c10::IValue> inputs) {
  auto& recording = *thread.recording;
  std::lock_guard<std::mutex> lock(recording.mutex);
  if (recording.is_over) return;
  auto hash = thread.words.hash();
  auto at = recording.index.find(hash, thread.words);
  if (at == Table::kUnknown) {
    at = static_cast<uint32_t>(recording.region.items.size());
    recording.index.insert(hash, thread.words, at);
    recording.region.items.push_back({describe(called, phase, inputs), phase, 0, {}});
  }
  recording.region.items[at].calls++;
}

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000ULL + static_cast<uint64_t>(now.tv_nsec);
}

// Slot 0 is shared by all threads, the others are of one.
void add_to(uint32_t slot, std::atomic<uint64_t>& counter, uint64_t value) {
  if (slot == 0) {
    counter.fetch_add(value);
  } else {
    add_alone(counter, value);
  }
}

void raise_slot(Thread& thread, uint32_t slot) {
  auto& all = process();
  auto& counts = all.spool->slots()[slot];
  thread.counted++;
  if (all.is_sampling.load(std::memory_order_relaxed)) {
    add_to(slot, counts.sampled, kSampledUnit);
    thread.windows.samples.push_back({slot, 0});
  } else {
    add_to(slot, counts.calls, 1);
    if (thread.windows.gap_owed > 0) thread.windows.samples.push_back({slot, 0});
  }
  if (all.with_time && slot) {
    thread.timed_slot = slot;
    thread.timed_from = now_ns();
  }
}

void add_time(Thread& thread) {
  auto taken = now_ns() - thread.timed_from;
  add_alone(process().spool->slots()[thread.timed_slot].time_ns, taken);
  auto& samples = thread.windows.samples;
  if (!samples.empty() && samples.back().slot == thread.timed_slot) samples.back().time_ns = taken;
  thread.timed_from = 0;
}

// Has each call of the last window stand for `more` calls besides itself.
void stand_for(const Thread& thread, double more) {
  auto weight = static_cast<uint64_t>(more * kSampledUnit + 0.5);
  if (weight == 0) return;
  for (const auto& sample : thread.windows.samples) {
    auto* slots = process().spool->slots();
    add_to(sample.slot, slots[sample.slot].sampled, weight);
    add_to(sample.slot, slots[sample.slot].time_ns, sample.time_ns * weight / kSampledUnit);
  }
}

// ---- windows: how sampling switches torch's callbacks

// With the lock on switching: has the full callback on while anyone needs it.
void settle_counting() {
  auto& all = process();
  bool is_wanted = all.is_running && (!all.is_sampling || all.window_of.load() ||
                                      all.recorders > 0 || all.is_forking);
  if (is_wanted == all.is_counting || !may_switch()) return;
  all.is_counting = is_wanted;
  if (is_wanted) {
    at::reenableCallback(all.counting);
  } else {
    at::disableCallback(all.counting);
  }
}

// ---- bursts, in which torch tells what operators return

std::unique_ptr<at::ObserverContext> on_outputs(const at::RecordFunction&) { return nullptr; }

bool has_just_switched() { return now_ns() - process().outputs_since < 10'000'000; }

// With the lock on switching; whether torch tells outputs in bursts alone.
bool settle_outputs() {
  auto& all = process();
  bool is_wanted = all.is_running && all.bursts.is_on();
  if (is_wanted == all.has_outputs) return true;
  if (!may_switch()) return false;
  all.has_outputs = is_wanted;
  all.outputs_since = now_ns();
  if (is_wanted) {
    at::reenableCallback(all.outputs);
  } else {
    at::disableCallback(all.outputs);
  }
  return true;
}

// From the next call on. Not while calls are sampled: between windows, storages change hands unseen.
void begin_burst(Thread& thread) {
  auto& all = process();
  std::lock_guard<std::mutex> lock(all.switching);
  thread.next_burst = thread.counted + all.bursts.gap();
  if (!all.is_running || all.is_sampling || all.bursts.is_on()) return;
  all.bursts.begin();
  if (settle_outputs()) return;
  all.bursts.end();
  thread.next_burst = thread.counted + kBurst;  // in a forked child: it may soon
}

void end_burst(Thread& thread) {
  auto& all = process();
  std::lock_guard<std::mutex> lock(all.switching);
  all.bursts.end();
  thread.next_burst = thread.counted + (settle_outputs() ? all.bursts.gap() : kBurst);
}

Pair* open_pair(uint64_t slots) {
  std::lock_guard<std::mutex> lock(process().mutex);
  return process().spool->append_pair(slots);
}

// At the begin of a call that is counted in `slot`, and of which torch will tell the outputs.
void look_at(
    Thread& thread, const Operator& called, uint32_t slot,
    c10::ArrayRef<const c10::IValue> inputs) {
  auto& all = process();
  auto burst = all.bursts.number();
  if (thread.burst != burst) thread.look.forget_producers();
  thread.burst = burst;
  const auto& producers = thread.look.begin(called, slot, inputs);
  if (slot) {  // slot 0 is of all threads, and of many signatures
    add_alone(all.spool->slots()[slot].looked, 1);
    for (auto producer : producers) {
      if (auto* pair = thread.look.pair(producer, slot, open_pair)) add_alone(pair->seen, 1);
    }
  }
  if (all.bursts.is_last()) end_burst(thread);
}

std::unique_ptr<at::ObserverContext> on_opening(const at::RecordFunction&) {
  auto& all = process();
  auto* thread = this_thread();
  if (!thread) return nullptr;
  std::lock_guard<std::mutex> lock(all.switching);
  if (!all.is_running || !all.is_sampling) return nullptr;
  auto* owner = all.window_of.load();
  if (owner) {
    if (owner != thread) thread->windows.missed++;
    return nullptr;
  }
  all.budget.open(thread->windows);
  all.window_beat.fetch_add(1, std::memory_order_relaxed);
  all.window_of = thread;
  settle_counting();
  return nullptr;
}

void remove_opening() {
  auto& all = process();
  if (all.has_opening) at::removeCallback(all.opening);
  all.has_opening = false;
}

// In place of the one that was there.
void add_opening() {
  auto& all = process();
  remove_opening();
  all.has_opening = true;
  all.opening = at::addGlobalCallback(at::RecordFunctionCallback(&on_opening)
                                          .samplingProb(1 / all.budget.gap())
                                          .scopes({at::RecordScope::FUNCTION}));
}

void begin_sampling() {
  auto& all = process();
  std::lock_guard<std::mutex> lock(all.switching);
  if (all.is_sampling || !all.is_running || !may_switch()) return;
  all.is_sampling = true;
  all.bursts.end();
  settle_outputs();
  settle_counting();
  add_opening();
}

// With the lock on switching.
void end_sampling() {
  remove_opening();
  process().is_sampling = false;
}

// Takes the window from a thread that is not there any more, or found no boundary.
void leave_window(Thread& thread) {
  auto& all = process();
  std::lock_guard<std::mutex> lock(all.switching);
  if (all.window_of.load() == &thread) all.window_of = nullptr;
  settle_counting();
}

// Of a thread that ends in it.
void leave_last_window(Thread& thread) {
  if (thread.windows.is_counting()) {
    stand_for(thread, process().budget.end_counting(thread.windows));
  }
  leave_window(thread);
}

void give_up_window(Thread& thread) {
  auto& all = process();
  all.budget.give_up(thread.windows);
  {
    std::lock_guard<std::mutex> lock(all.switching);
    if (all.is_running && all.is_sampling) end_sampling();
  }
  leave_window(thread);
}

void close_window(Thread& thread) {
  auto& all = process();
  stand_for(thread, all.budget.end_counting(thread.windows));
  auto next = all.budget.next(thread.windows);
  std::lock_guard<std::mutex> lock(all.switching);
  if (!all.is_running || !all.is_sampling) return;
  if (next == Budget::Next::change_gap) {
    add_opening();
  } else if (next == Budget::Next::count_all) {
    end_sampling();
  }
  all.window_of = nullptr;
  settle_counting();
}

// From a thread whose events pass by: a window whose thread waits for something would keep the
// callback on and count nothing.
void take_idle_window(Windows& windows) {
  auto& all = process();
  auto beat = all.window_beat.load(std::memory_order_relaxed);
  auto now = now_ns();
  if (beat != windows.beat_seen) {
    windows.beat_seen = beat;
    windows.beat_since = now;
    return;
  }
  if (now - windows.beat_since < kIdleNs) return;
  std::lock_guard<std::mutex> lock(all.switching);
  if (all.window_beat.load() != beat) return;
  all.window_of = nullptr;
  settle_counting();
}

// The overload of an operator, null for a range that is none.
inline const char* overload_of(const at::RecordFunction& call) {
  const char* overload = call.overload_name();
  return overload == overload_of_a_range ? nullptr : overload;
}

// Whether no other operator can be open around this one, which began before the window.
bool is_boundary(Thread& thread, const at::RecordFunction& call) {
  auto* overload = overload_of(call);
  if (!overload) return std::strncmp(call.name(), "autograd::engine::", 18) == 0;
  auto* called = thread.operators.find(call, overload, process().operators);
  return called->seen_outer && !called->seen_nested;
}

// At depth 0 while sampling: whether the thread's window takes this call.
bool is_in_window(Thread& thread, const at::RecordFunction& call) {
  auto& windows = thread.windows;
  if (windows.is_armed) {
    if (!is_boundary(thread, call)) {
      if (process().budget.has_waited(windows)) give_up_window(thread);
      return false;
    }
    process().budget.begin_counting(windows);
  } else if (windows.events - windows.counting_from >= kWindow) {
    close_window(thread);
    return false;
  }
  return true;
}

// ---- the callbacks

Phase phase_of(const Thread& thread) {
  if (torch::autograd::get_current_graph_task_id() != -1) return Phase::backward;
  // a closure that an optimizer calls for new gradients runs with gradients enabled
  if (thread.steps > 0 && !at::GradMode::is_enabled()) return Phase::optimizer;
  return Phase::forward;
}

bool is_fake_mode_on() {
  // with any mode on, torch includes this key; asking the modes themselves takes longer
  if (!c10::impl::tls_local_dispatch_key_set().included_.has(c10::DispatchKey::Python)) return false;
  using c10::impl::TorchDispatchModeTLS;
  return TorchDispatchModeTLS::get_mode(c10::impl::TorchDispatchModeKey::FAKE).has_value();
}

// In a recording, a tensor may be a subclass whose sizes are told by Python, which may raise.
Work work_of(
    Thread& thread, const Operator& called, Phase phase, c10::ArrayRef<const c10::IValue> inputs) {
  try {
    return add_call(thread.words, called, phase, inputs, thread.recording != nullptr);
  } catch (const std::exception&) {
    thread.words.begin(&called, phase);
    return Work::nameless;
  }
}

void count(Thread& thread, const at::RecordFunction& call, const char* overload) {
  auto* called = thread.operators.find(call, overload, process().operators);
  bool is_recording = thread.recording != nullptr;
  auto phase = phase_of(thread);
  auto inputs = call.inputs();
  auto work = work_of(thread, *called, phase, inputs);
  if (work == Work::none || work == Work::deeper) return;
  if (!is_recording && is_fake_mode_on()) return;
  if (work == Work::nameless) inputs = {};
  if (!called->seen_outer) called->seen_outer = true;
  thread.depth = 1;
  if (is_recording) {
    record(thread, *called, phase, inputs);
  } else {
    auto slot = slot_of(thread, *called, phase, inputs);
    if (call.needsOutputs() && process().bursts.is_on()) look_at(thread, *called, slot, inputs);
    raise_slot(thread, slot);
    if (thread.counted >= thread.next_burst) begin_burst(thread);
  }
}

void stop_for(const char* reason) {
  tell(std::string("this process is watched no more: ") + reason);
  auto& all = process();
  std::lock_guard<std::mutex> lock(all.switching);
  if (!all.is_running.exchange(false)) return;
  if (all.is_sampling) end_sampling();
  settle_counting();
  all.bursts.end();
  settle_outputs();
}

// Nested calls are looked at, to learn which operators are called by others; while all is counted,
// some of them are enough.
void learn(Thread& thread, const at::RecordFunction& call) {
  auto& all = process();
  if (!all.budget.is_limited()) return;
  if (!all.is_sampling.load(std::memory_order_relaxed) && (thread.windows.events & 8191) >= 512) {
    return;
  }
  if (auto* overload = overload_of(call)) {
    thread.operators.find(call, overload, all.operators)->seen_nested = true;
  }
}

void see_nested(Thread& thread, const at::RecordFunction& call) {
  thread.depth++;
  learn(thread, call);
}

// While sampling, at depth 0: whether the call is of no concern.
bool is_passed_over(Thread& thread, const at::RecordFunction& call) {
  auto& all = process();
  if (thread.recording) return false;
  if (all.window_of.load(std::memory_order_relaxed) == &thread) {
    return !is_in_window(thread, call);
  }
  auto& windows = thread.windows;
  windows.passed++;
  if ((windows.events & 255) == 0) take_idle_window(windows);
  return true;
}

void take_note_of_block(Thread& thread) {
  auto& budget = process().budget;
  bool is_spent = budget.is_spent_by(thread.windows);
  stand_for(thread, budget.owed(thread.windows));
  if (is_spent) begin_sampling();
}

void take_note_of_event(Thread& thread) {
  auto& all = process();
  thread.recording = all.recorders.load(std::memory_order_relaxed) ? recording_here() : nullptr;
  auto events = ++thread.windows.events;
  if (all.is_sampling.load(std::memory_order_relaxed)) {
    if (all.window_of.load(std::memory_order_relaxed) == &thread) add_alone(all.window_beat, 1);
  } else if ((events & (kBlock - 1)) == 0 && all.budget.is_limited() && !thread.recording) {
    take_note_of_block(thread);
  }
}

void see(Thread& thread, const at::RecordFunction& call) {
  take_note_of_event(thread);
  if (thread.depth > 0) return see_nested(thread, call);
  if (process().is_sampling.load(std::memory_order_relaxed) && is_passed_over(thread, call)) return;
  if (thread.regions > 0) return;  // what is inside of a region was counted with it
  if (auto* overload = overload_of(call)) count(thread, call, overload);
}

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction& call) {
  if (!process().is_running.load(std::memory_order_relaxed)) return nullptr;
  try {
    if (auto* thread = this_thread()) see(*thread, call);
  } catch (const std::system_error& error) {
    bool is_over = error.code() == std::errc::no_such_file_or_directory;
    stop_for(is_over ? "the command that it belongs to has ended" : error.what());
  } catch (const std::exception& error) {
    stop_for(error.what());
  } catch (...) {
    stop_for("an unknown error");
  }
  return nullptr;
}

// Ranges end in the order in which they began, so that what ends at depth 0 was none of ours.
void on_end(const at::RecordFunction& call, at::ObserverContext*) {
  auto* thread = current;
  if (!thread || thread->depth == 0 || --thread->depth > 0) return;
  if (thread->timed_from) add_time(*thread);
  if (thread->look.is_open()) thread->look.end(call.outputs());
}

// Named ranges of Python (record_function) may end in another thread: ours carry a mark.
struct StepMark : at::ObserverContext {
  Thread* thread;
};

std::unique_ptr<at::ObserverContext> on_step(const at::RecordFunction& range) {
  if (std::strncmp(range.name(), "Optimizer.step#", 15) != 0) return nullptr;
  auto* thread = this_thread();
  if (!thread) return nullptr;
  auto mark = std::make_unique<StepMark>();
  mark->thread = thread;
  thread->steps++;
  return mark;
}

void on_step_end(const at::RecordFunction&, at::ObserverContext* context) {
  if (!context) return;
  auto* thread = static_cast<StepMark*>(context)->thread;
  if (thread == current && thread->steps > 0) thread->steps--;
}

void start(const std::string& folder, const char* attributes, uint64_t capacity,
           uint64_t pid_namespace, const Budget::Limits& limits, bool with_time) {
  auto& all = process();
  static std::once_flag once;
  std::call_once(once, [] {
    overload_of_a_range = at::RecordFunction().overload_name();
    pthread_atfork(&before_fork, &after_fork, &after_fork_in_child);
    fstat(2, &error_output);
  });
  std::lock_guard<std::mutex> lock(all.switching);
  if (all.is_running) throw std::runtime_error("the capture runs already");
  {
    std::lock_guard<std::mutex> inner(all.mutex);
    all.folder = folder;
    all.capacity = capacity;
    all.pid_namespace = pid_namespace;
    all.with_time = with_time;
    all.generation++;  // a folder of its own: no slot of an earlier start is in it
    all.free_since = all.generation.load();
  }
  all.operators.keep(parse_kept(attributes));
  all.budget.set(limits);
  all.is_sampling = false;
  all.window_of = nullptr;
  all.bursts.reset(true);
  all.outputs = at::addGlobalCallback(at::RecordFunctionCallback(&on_outputs)
                                          .needsOutputs(true)
                                          .scopes({at::RecordScope::FUNCTION}));
  all.has_outputs = true;
  all.counting = at::addGlobalCallback(at::RecordFunctionCallback(&on_start, &on_end)
                                           .needsInputs(true)
                                           .scopes({at::RecordScope::FUNCTION}));
  all.steps = at::addGlobalCallback(at::RecordFunctionCallback(&on_step, &on_step_end)
                                        .scopes({at::RecordScope::USER_SCOPE}));
  all.is_running = all.is_counting = true;
}

void stop() {
  auto& all = process();
  std::lock_guard<std::mutex> lock(all.switching);
  if (!all.is_running.exchange(false)) return;
  if (all.is_sampling) end_sampling();
  all.window_of = nullptr;
  if (!may_switch()) return;  // they see that it runs no more
  at::removeCallback(all.counting);
  at::removeCallback(all.outputs);
  at::removeCallback(all.steps);
}

// ---- regions

void begin_recording(Thread& thread) {
  auto& all = process();
  auto recording = std::make_shared<Recording>();
  recording->generation = all.generation;
  recording->depth_before = thread.depth;
  recording->regions_before = thread.regions;
  c10::ThreadLocalDebugInfo::_push(recordings, recording);
  thread.depth = thread.regions = 0;
  std::lock_guard<std::mutex> lock(all.switching);
  all.recorders++;
  if (all.is_running) settle_counting();
}

int64_t add_region(Region region) {
  auto& all = process();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.regions.push_back(std::make_unique<Region>(std::move(region)));
  return static_cast<int64_t>(all.regions.size()) - 1;
}

int64_t end_recording(Thread& thread) {
  auto& all = process();
  auto* recording = recording_here();
  if (!recording) return -1;
  thread.depth = recording->depth_before;
  thread.regions = recording->regions_before;
  Region region;
  {
    std::lock_guard<std::mutex> lock(recording->mutex);
    recording->is_over = true;
    region = std::move(recording->region);
  }
  {
    std::lock_guard<std::mutex> lock(all.switching);
    all.recorders--;
    if (all.is_running) settle_counting();
  }
  try {
    c10::ThreadLocalDebugInfo::_pop(recordings);
  } catch (const c10::Error&) {
    // below what the application has put there meanwhile: it stays, and is over
  }
  return add_region(std::move(region));
}

// With the mutex held: slots for a region that runs in `phase`. What was listed as forward is of
// that phase: a forward that a backward pass runs again, a function called by an optimizer.
void open_slots(Region& region, Phase phase) {
  for (auto& item : region.items) {
    bool follows = item.phase == Phase::forward && phase != Phase::forward;
    item.slots[static_cast<int>(phase)] =
        new_slot(follows ? in_phase(item.description, phase) : item.description);
  }
  region.generations[static_cast<int>(phase)] = process().generation;
}

// Of a region within an operator or another region, nothing is counted again.
void run_region(Thread& thread, int64_t id) {
  auto& all = process();
  if (!all.is_running || thread.depth > 0 || thread.regions > 0) return;
  auto phase = phase_of(thread);
  auto at = static_cast<int>(phase);
  auto* recording = recording_here();
  Region* region;
  {
    std::lock_guard<std::mutex> lock(all.mutex);
    region = all.regions.at(static_cast<size_t>(id)).get();
    bool is_open = region->generations[at] == all.generation.load();
    if (!is_open && !recording) open_slots(*region, phase);
  }
  if (recording) {
    std::lock_guard<std::mutex> lock(recording->mutex);
    if (recording->is_over) return;
    auto& items = recording->region.items;
    items.insert(items.end(), region->items.begin(), region->items.end());
    return;
  }
  thread.look.forget_producers();  // what compiled code writes is not seen
  auto* slots = all.spool->slots();
  for (const auto& item : region->items) {
    slots[item.slots[at]].calls.fetch_add(item.calls, std::memory_order_relaxed);
    thread.counted += item.calls;
  }
}

Region region_of_one(const char* name) {
  Region region;
  region.items.push_back({describe(name), Phase::forward, 1, {}});
  return region;
}

// Runs `work` on the calling thread's state; -1 when it failed.
template <typename Work>
int64_t on_this_thread(const Work& work) {
  try {
    auto* thread = this_thread();
    return thread ? work(*thread) : -1;
  } catch (...) {
    return -1;
  }
}

}  // namespace
}  // namespace aimatrix

// ---- the interface: its users are native.py and regions.py in monitoring/agent

extern "C" {

int aimatrix_abi() { return 2; }

// 0, or 1 when the capture could not be started.
int aimatrix_start(const char* folder, const char* attributes, uint64_t capacity,
                   uint64_t pid_namespace, double budget, double event_ns, double allowance_ns,
                   int with_time) {
  try {
    aimatrix::Budget::Limits limits{budget, event_ns, allowance_ns};
    aimatrix::start(folder, attributes, capacity, pid_namespace, limits, with_time != 0);
    return 0;
  } catch (...) {
    return 1;
  }
}

void aimatrix_stop() {
  try {
    aimatrix::stop();
  } catch (...) {
  }
}

// Operator calls that this process has counted itself, and those of regions.
int64_t aimatrix_seen() {
  auto& all = aimatrix::process();
  std::lock_guard<std::mutex> lock(all.mutex);
  uint64_t sum = 0;
  for (const auto& thread : all.threads) sum += thread->counted;
  return static_cast<int64_t>(sum);
}

// From here to the end, this thread's operators are listed instead of counted, fake ones too.
void aimatrix_record_begin() {
  aimatrix::on_this_thread([](auto& thread) -> int64_t {
    aimatrix::begin_recording(thread);
    return 0;
  });
}

// The list's id, -1 when there is none.
int64_t aimatrix_record_end() {
  return aimatrix::on_this_thread([](auto& thread) { return aimatrix::end_recording(thread); });
}

// The id of a region that is one call of an operator without arguments, -1 when there is none.
int64_t aimatrix_region_of(const char* name) {
  return aimatrix::on_this_thread(
      [name](auto&) { return aimatrix::add_region(aimatrix::region_of_one(name)); });
}

// Counts every operator of the list, as often as it is there.
void aimatrix_region_run(int64_t id) {
  aimatrix::on_this_thread([id](auto& thread) -> int64_t {
    aimatrix::run_region(thread, id);
    return 0;
  });
}

// The same, and until it is left this thread's own operators are inside of it.
void aimatrix_region_enter(int64_t id) {
  aimatrix::on_this_thread([id](auto& thread) -> int64_t {
    aimatrix::run_region(thread, id);
    thread.regions++;
    return 0;
  });
}

void aimatrix_region_leave() {
  aimatrix::on_this_thread([](auto& thread) -> int64_t {
    if (thread.regions > 0) thread.regions--;
    return 0;
  });
}

}  // extern "C"
