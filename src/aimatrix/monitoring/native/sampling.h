// Holds what counting costs under a budget: all calls while they fit, else windows of calls.
//
// Exact first: every block of events pays its cost into a debt, from which the budget's share of
// the time is taken off. When the debt is more than the allowance, sampling begins. Then the full
// callback is off; a callback that torch itself runs at random events, for free in between, opens
// a window: its thread counts some thousand events and closes it. A call in a window stands also
// for the calls of the gap before it: for as many as the gap took longer than the window.
//
// Times are CPU times of the thread, so that waiting is no gap, and free of what a window costs.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <ctime>

#include "spool.h"

namespace aimatrix {

constexpr uint64_t kBlock = 1024;   // events between looks at the clock
constexpr uint64_t kWindow = 4096;  // events of a window
constexpr uint64_t kPatience = 2 * kWindow;  // events that a window waits for a boundary
constexpr int kGivenUp = 8;         // windows without one, after which all calls are counted
constexpr uint64_t kIdleNs = 20'000'000;     // after which a window is taken from an idle thread
constexpr double kWindowsPerAdjustment = 16;
constexpr double kFade = 0.998;     // of what is known of past windows, at each window

// The application's rate is known in two ways: from windows, as good as `event_ns` is (12 % of the
// rate, on tiny operators), and from the mean length of gaps, as good as 1/sqrt of their number.
// So many gaps weigh as much as the windows.
constexpr double kTrustedGaps = 64;
constexpr double kEnoughGaps = 32;  // to tell what an event costs

// An event that only passes by costs less than one that is counted.
constexpr double kPassing = 0.7;

inline double thread_ns() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}

// What a thread knows of its windows. Sums are over past windows, and fade.
struct Windows {
  uint64_t events = 0;  // seen, at any depth
  double since = 0;     // time at the end of the last block or window

  bool is_open = false;
  bool is_armed = false;       // its window waits for an operator that is certainly outermost
  uint64_t opened_at = 0;      // event
  uint64_t counting_from = 0;  // event
  double counting_since = 0;
  uint64_t weight = kSampledUnit;
  double missed = 0;   // openings that came while another thread had a window
  double passed = 0;   // events in windows of other threads
  uint64_t beat_seen = 0;   // of another thread's window
  uint64_t beat_since = 0;  // ns

  double gaps = 0;
  double gap_ns = 0;
  double gap_events = 0;  // as torch's random choice has them in the mean
  double windows = 0;
  double window_ns = 0;
  double window_events = 0;
};

// Shared by all threads. Decides; the capture switches torch's callbacks.
class Budget {
 public:
  // share: of the application's time, 0 for no limit. event_ns: what one event costs.
  // allowance_ns: what exact counting may cost beyond the share before sampling begins.
  struct Limits {
    double share;
    double event_ns;
    double allowance_ns;
  };

  void set(const Limits& limits) {
    limits_ = limits;
    reset();
  }

  void reset() {
    debt_ns_ = 0;
    gap_ = 0;
    given_up_ = 0;
    begin_adjustment();
  }

  bool is_limited() const { return limits_.share > 0; }

  // Takes note of a block of events of a thread; true when sampling has to begin.
  bool is_spent_by(Windows& thread) {
    auto now = thread_ns();
    double taken = thread.since > 0 ? now - thread.since : 0;
    thread.since = now;
    if (taken == 0) return false;
    thread.window_ns = taken;
    thread.window_events = kBlock;
    thread.windows = static_cast<double>(kBlock) / kWindow;
    double cost = kBlock * limits_.event_ns;
    double debt = debt_ns_.load(std::memory_order_relaxed) + cost -
                  limits_.share * std::max(taken - cost, 0.0);
    debt_ns_.store(std::max(debt, 0.0), std::memory_order_relaxed);
    if (debt <= limits_.allowance_ns) return false;
    gap_ = gap_for(thread);
    return true;
  }

  // Events of a mean gap between windows, for torch's random choice.
  double gap() const { return gap_; }

  void open(Windows& thread) {
    // taken from it while it was idle: what it had counted stands for a part of the gap
    if (thread.is_open && !thread.is_armed) thread.since = thread.counting_since;
    thread.is_open = thread.is_armed = true;
    thread.opened_at = thread.events;
  }

  // The weight of a call in the window of a thread that begins to count now.
  void begin_counting(Windows& thread) {
    auto now = thread_ns();
    given_up_ = 0;
    double waited = static_cast<double>(thread.events - thread.opened_at);
    double cost = (waited + kPassing * thread.passed) * limits_.event_ns;
    double gap_ns = std::max(now - thread.since - cost, 0.0);
    thread.gaps = kFade * thread.gaps + 1;
    thread.gap_ns = kFade * thread.gap_ns + gap_ns;
    thread.gap_events = kFade * thread.gap_events + gap_ * (1 + thread.missed) + waited;
    double length = thread.windows > 0 ? thread.window_events / thread.windows : kWindow;
    double weight = 1 + gap_ns / (length * own_event_ns(thread));
    thread.weight = static_cast<uint64_t>(weight * kSampledUnit + 0.5);
    thread.is_armed = false;
    thread.counting_from = thread.events;
    thread.counting_since = now;
    spent_ns_ += cost;
    taken_ns_ += gap_ns;
  }

  // Takes note of a window that found no boundary; true when sampling is not to go on: what cannot
  // be sampled is counted, whatever it costs.
  bool give_up(Windows& thread) {
    thread.is_open = false;
    if (++given_up_ < kGivenUp) return false;
    limits_.share = 0;
    return true;
  }

  enum class Next { go_on, change_gap, count_all };

  // Takes note of a window that has ended. Returns what is to be done about it.
  Next end_counting(Windows& thread) {
    auto now = thread_ns();
    double events = static_cast<double>(thread.events - thread.counting_from);
    double taken = now - thread.counting_since;
    thread.windows = kFade * thread.windows + 1;
    thread.window_ns = kFade * thread.window_ns + taken;
    thread.window_events = kFade * thread.window_events + events;
    thread.since = now;
    thread.is_open = false;
    thread.missed = thread.passed = 0;
    spent_ns_ += events * limits_.event_ns;
    taken_ns_ += std::max(taken - events * limits_.event_ns, 0.0);
    double own = taken / std::max(events, 1.0) - limits_.event_ns;
    if (limits_.event_ns <= limits_.share * own) return Next::count_all;
    return ++adjusting_ < kWindowsPerAdjustment ? Next::go_on : adjusted(thread);
  }

  // What sampling goes over to when all calls fit again; as long as they do not pay off the debt,
  // the first block that costs too much ends it.
  void count_all_again() {
    gap_ = 0;
    begin_adjustment();
  }

 private:
  // CPU time of the application between two events, as it is without us.
  double own_event_ns(const Windows& thread) const {
    double by_gaps = thread.gap_events > 0 ? thread.gap_ns / thread.gap_events : 0;
    if (thread.window_events == 0) return std::max(by_gaps, 1.0);
    double by_windows = thread.window_ns / thread.window_events - limits_.event_ns;
    double trust = thread.gaps / (thread.gaps + kTrustedGaps);
    return std::max(trust * by_gaps + (1 - trust) * by_windows, 0.1 * limits_.event_ns);
  }

  double gap_for(const Windows& thread) const {
    double duty = limits_.share * own_event_ns(thread) / limits_.event_ns;
    return std::max(1.0, kWindow * (1 / duty - 1));
  }

  // What an event costs in this application: at least what it costs a simple one, and more where
  // torch spells out a name for each (backward passes). It is what windows take longer than gaps.
  double event_ns_here(const Windows& thread) const {
    if (thread.gaps < kEnoughGaps || thread.window_events == 0) return limits_.event_ns;
    double longer = thread.window_ns / thread.window_events - thread.gap_ns / thread.gap_events;
    return std::clamp(longer, limits_.event_ns, 8 * limits_.event_ns);
  }

  Next adjusted(const Windows& thread) {
    double factor = spent_ns_ / (limits_.share * std::max(taken_ns_, 1.0));
    factor *= event_ns_here(thread) / limits_.event_ns;
    begin_adjustment();
    if (factor > 0.8 && factor < 1.25) return Next::go_on;
    gap_ = std::max(1.0, gap_ * std::clamp(factor, 0.5, 2.0));
    return Next::change_gap;
  }

  void begin_adjustment() {
    adjusting_ = 0;
    spent_ns_ = taken_ns_ = 0;
  }

  Limits limits_{0, 250, 0};
  std::atomic<double> debt_ns_{0};
  std::atomic<double> gap_{0};
  // since the last adjustment: windows, what they cost, what the application took; of the thread
  // that has the window
  double adjusting_ = 0;
  std::atomic<int> given_up_{0};
  double spent_ns_ = 0;
  double taken_ns_ = 0;
};

}  // namespace aimatrix
