// Holds what counting costs under a budget: all calls while they fit, else windows of calls.
//
// Exact first: every block of events pays its cost into a debt, from which the budget's share of
// the time is taken off. When the debt is more than the allowance, sampling begins. Then the full
// callback is off; a callback that torch itself runs at random events, for free in between, opens
// a window: its thread counts some thousand events and closes it. A call in a window stands also
// for the calls of the gap before it: for as many as the gap took longer than the window. That is
// added when the window has ended and its own time is known, so that an application that goes over
// to other work is off by one gap.
//
// Times are CPU times of the thread, so that waiting is no gap, and free of what a window costs.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <utility>
#include <vector>

#include "spool.h"

namespace aimatrix {

constexpr uint64_t kBlock = 1024;   // events between looks at the clock
constexpr uint64_t kWindow = 512;   // events of a window
constexpr double kPatienceNs = 30e6;         // that a window waits for a boundary
constexpr int kGivenUp = 8;         // times without one, after which all calls are counted for good
constexpr uint64_t kIdleNs = 20'000'000;     // after which a window is taken from an idle thread
constexpr int kWindowsPerAdjustment = 128;
constexpr int kCheapInARow = 4;     // windows within the budget, after which all calls count again;
                                    // one within half of it does, too
constexpr double kToLearn = 0.1;    // of the allowance, before sampling begins again
constexpr double kFade = 0.998;     // of what is known of past windows, at each window

// What an event costs is known in two ways: it is stated for simple operators, and more where torch
// spells out a name for each (backward passes), so that the statement is good to this part of it ...
constexpr double kStatedWithin = 0.5;
// ... and it is what an event takes longer in windows than in gaps, as good as these are alike,
// within these times what is stated.
constexpr double kCheapest = 0.1, kDearest = 8;
constexpr int kEnough = 8;  // windows and gaps, to tell how much alike they are

// The application's own time in a window is at least this part of it.
constexpr double kLeastOwn = 0.05;

// Of the budget; the rest is for what torch itself does where there are callbacks, in gaps too (2 to
// 4 % of a tiny training step), and for switching.
constexpr double kForWindows = 0.6;

// An event that only passes by costs less than one that is counted.
constexpr double kPassing = 0.7;

inline double thread_ns() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}

// A call in a window. The time is that of the operator, where that is asked for.
struct Sample {
  uint32_t slot;
  uint64_t time_ns;
};

// Time for each event, over past stretches of time, which fade.
class Rate {
 public:
  void add(double ns, double events) {
    for (double* sum : {&ns_, &events_, &squares_}) *sum *= kFade;
    ns_ += ns;
    events_ += events;
    double off = ns - mean() * events;
    squares_ += off * off;
    count_++;
  }

  double mean() const { return ns_ / events_; }

  // Of the mean, as far as one stretch differs from another.
  double variance() const {
    return count_ < kEnough ? HUGE_VAL : squares_ / (events_ * events_);
  }

 private:
  double ns_ = 0;
  double events_ = 0;
  double squares_ = 0;
  int count_ = 0;
};

// What a thread knows of its windows.
struct Windows {
  uint64_t events = 0;  // seen, at any depth
  double since = 0;     // time at the end of the last block or window

  bool is_open = false;
  bool is_armed = false;       // its window waits for an operator that is certainly outermost
  uint64_t opened_at = 0;      // event
  double opened_since = 0;
  uint64_t counting_from = 0;  // event
  double counting_since = 0;
  double gap_before = 0;  // ns, for which the window stands too
  double gap_carried = 0;  // of a window that did not end
  double gap_owed = 0;     // of one that did not begin
  double own_ns = 1;      // of the last window
  int cheap = 0;          // windows in a row within the budget
  double learned_ns = 0;  // what an event costs, from past sampling
  std::vector<Sample> samples;  // of the window, and of the last one until the next begins
  double missed = 0;   // openings that came while another thread had a window
  double passed = 0;   // events in windows of other threads
  uint64_t beat_seen = 0;   // of another thread's window
  uint64_t beat_since = 0;  // ns

  bool is_counting() const { return is_open && !is_armed; }

  Rate in_gaps;  // events as torch's random choice has them in the mean
  Rate in_windows;
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

  // Takes note of a block of events of a thread; true when sampling has to begin. The samples of the
  // block may stand for a gap: see `owed`.
  bool is_spent_by(Windows& thread) {
    auto now = thread_ns();
    double taken = thread.since > 0 ? now - thread.since : 0;
    thread.since = now;
    if (taken == 0) {
      thread.samples.clear();
      return false;
    }
    thread.in_gaps = thread.in_windows = Rate();
    double cost = kBlock * (thread.learned_ns > 0 ? thread.learned_ns : limits_.event_ns);
    double own = std::max(taken - cost, kLeastOwn * taken);
    thread.own_ns = own;
    double debt = debt_ns_.load(std::memory_order_relaxed) + cost - limits_.share * own;
    debt_ns_.store(std::max(debt, 0.0), std::memory_order_relaxed);
    if (debt <= limits_.allowance_ns) return false;
    gap_ = gap_for(own, cost);
    return true;
  }

  // For how many calls more each call of the block stands: those of a gap whose window was given up.
  double owed(Windows& thread) {
    if (thread.samples.empty()) return 0;
    return std::exchange(thread.gap_owed, 0.0) / thread.own_ns;
  }

  // Events of a mean gap between windows, for torch's random choice.
  double gap() const { return gap_; }

  void open(Windows& thread) {
    if (thread.is_counting()) {  // taken from it while it was idle: the next stands for its gap too
      thread.gap_carried = thread.gap_before;
      thread.since = thread.counting_since;
    }
    thread.is_open = thread.is_armed = true;
    thread.opened_at = thread.events;
    thread.opened_since = thread_ns();
  }

  void begin_counting(Windows& thread) {
    auto now = thread_ns();
    given_up_ = 0;
    double waited = static_cast<double>(thread.events - thread.opened_at);
    double cost = (waited + kPassing * thread.passed) * event_ns(thread);
    double gap_ns = std::max(now - thread.since - cost, 0.0);
    thread.in_gaps.add(gap_ns, gap_ * (1 + thread.missed) + waited);
    thread.gap_before = thread.gap_carried + gap_ns;
    thread.gap_carried = 0;
    thread.samples.clear();
    thread.is_armed = false;
    thread.counting_from = thread.events;
    thread.counting_since = now;
    spent_ns_ += cost;
    taken_ns_ += gap_ns;
  }

  // Whether a window has waited long enough for a boundary. Work that is not known has none: it is
  // learned while all calls count.
  bool has_waited(const Windows& thread) const {
    bool is_time_to_look = (thread.events - thread.opened_at) % 64 == 63;
    return is_time_to_look && thread_ns() - thread.opened_since > kPatienceNs;
  }

  void give_up(Windows& thread) {
    auto waited = static_cast<double>(thread.events - thread.opened_at);
    thread.gap_owed = std::max(thread_ns() - thread.since - waited * event_ns(thread), 0.0);
    thread.is_open = false;
    if (++given_up_ >= kGivenUp) limits_.share = 0;  // what cannot be sampled is counted
    count_all_again(thread);
  }

  // Takes note of a window that has ended. Returns how many calls more each of its calls stands for.
  double end_counting(Windows& thread) {
    auto now = thread_ns();
    double events = std::max(static_cast<double>(thread.events - thread.counting_from), 1.0);
    double taken = now - thread.counting_since;
    thread.in_windows.add(taken, events);
    thread.since = now;
    thread.is_open = false;
    thread.missed = thread.passed = 0;
    double cost = events * event_ns(thread);
    thread.own_ns = std::max(taken - cost, kLeastOwn * taken);
    spent_ns_ += cost;
    taken_ns_ += thread.own_ns;
    double within = limits_.share * thread.own_ns / cost;
    thread.cheap = within < 1 ? 0 : within < 2 ? thread.cheap + 1 : kCheapInARow;
    return thread.gap_before / thread.own_ns;
  }

  enum class Next { go_on, change_gap, count_all };

  // What is to be done after a window.
  Next next(Windows& thread) {
    if (thread.cheap >= kCheapInARow) {
      thread.cheap = 0;
      count_all_again(thread);
      return Next::count_all;
    }
    return ++adjusting_ < kWindowsPerAdjustment ? Next::go_on : adjusted();
  }

 private:
  // They fit, or have to be learned; they may cost a part of the allowance before sampling begins
  // anew.
  void count_all_again(Windows& thread) {
    if (is_learned(thread)) thread.learned_ns = event_ns(thread);
    thread.since = 0;  // the block that is under way is none of a whole length
    gap_ = 0;
    debt_ns_ = (1 - kToLearn) * limits_.allowance_ns;
    begin_adjustment();
  }

  bool is_learned(const Windows& thread) const {
    return std::isfinite(thread.in_gaps.variance() + thread.in_windows.variance());
  }

  // What an event costs in this application.
  double event_ns(const Windows& thread) const {
    double stated = limits_.event_ns;
    if (!is_learned(thread)) return stated;
    double variance = thread.in_gaps.variance() + thread.in_windows.variance();
    double longer = thread.in_windows.mean() - thread.in_gaps.mean();
    double stated_variance = kStatedWithin * kStatedWithin * stated * stated;
    double trust = stated_variance / (stated_variance + variance);
    return trust * std::clamp(longer, kCheapest * stated, kDearest * stated) +
           (1 - trust) * stated;
  }

  double gap_for(double own_ns, double cost_ns) const {
    double duty = kForWindows * limits_.share * own_ns / cost_ns;
    return std::max(1.0, kWindow * (1 / duty - 1));
  }

  Next adjusted() {
    double factor = spent_ns_ / (kForWindows * limits_.share * std::max(taken_ns_, 1.0));
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
  int adjusting_ = 0;
  std::atomic<int> given_up_{0};
  double spent_ns_ = 0;
  double taken_ns_ = 0;
};

}  // namespace aimatrix
