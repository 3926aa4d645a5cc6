// Holds what counting costs under a budget: all calls while they fit, else windows of calls.
//
// Exact first: every block of events pays its cost into a debt, from which the budget's share of
// the time is taken off. When the debt is more than a few seconds, sampling begins. Then the full
// callback is off; a callback that torch itself runs at random events, for free in between, opens
// a window: the thread counts some ten thousand events and closes it. A call in a window stands
// for as many as a cycle (gap and window) has more events than a window, so that estimates do not
// depend on clocks, nor on how much a window slows the application.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <ctime>

#include "spool.h"

namespace aimatrix {

constexpr uint64_t kBlock = 1024;           // events between looks at the clock
constexpr uint64_t kWindow = 16384;         // events of a window
constexpr double kDebtNs = 2e9;             // what exact counting may cost beyond the budget
constexpr int kWindowsPerAdjustment = 8;

inline uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000ULL + now.tv_nsec;
}

// What a thread knows of its windows.
struct Windows {
  uint64_t events = 0;        // seen, at any depth
  uint64_t block_start = 0;   // ns
  bool is_armed = false;      // its window waits for an operator that is certainly outermost
  uint64_t opened_at = 0;     // event
  uint64_t counting_from = 0; // event
  uint64_t opened_ns = 0;
  double missed = 0;          // openings that came while another thread had a window
  double cycle_events = 0;    // running sums over past windows
  double window_events = 0;
  uint64_t weight = kSampledUnit;
};

// Shared by all threads. Decides; the capture switches torch's callbacks.
class Budget {
 public:
  // budget: share of the application's time, 0 for no limit. event_ns: cost of one event.
  void set(double budget, double event_ns) {
    budget_ = budget;
    event_ns_ = event_ns;
    reset();
  }

  void reset() {
    debt_ns_ = 0;
    gap_ = 0;
    started_ns_ = 0;
    window_ns_ = 0;
    windows_ = 0;
  }

  bool is_limited() const { return budget_ > 0; }

  // Takes note of a block of events of a thread; true when sampling has to begin.
  bool is_spent_by(Windows& thread) {
    auto now = now_ns();
    double taken = thread.block_start ? static_cast<double>(now - thread.block_start) : 0;
    thread.block_start = now;
    if (taken == 0) return false;
    double cost = kBlock * event_ns_;
    double debt = debt_ns_.load(std::memory_order_relaxed) + cost - budget_ * (taken - cost);
    debt_ns_.store(std::max(debt, 0.0), std::memory_order_relaxed);
    rate_ns_.store(taken / kBlock, std::memory_order_relaxed);
    return debt > kDebtNs;
  }

  // Events of a mean gap between windows, for torch's random choice.
  double gap() {
    if (gap_ == 0) gap_ = std::max(1.0, kWindow * (1 / duty() - 1));
    return gap_;
  }

  // Takes note of a window that has ended. Returns what to do about it.
  enum class Next { go_on, change_gap, count_all };
  Next after_window(const Windows& thread) {
    auto now = now_ns();
    auto length = now - thread.opened_ns;
    auto events = thread.events - thread.opened_at;
    double rate = static_cast<double>(length) / static_cast<double>(events);
    rate_ns_.store(0.9 * rate_ns_.load() + 0.1 * rate, std::memory_order_relaxed);
    if (started_ns_ == 0) {
      started_ns_ = now;  // what came before the first end is no whole cycle
      return Next::go_on;
    }
    window_ns_ += length;
    if (++windows_ < kWindowsPerAdjustment) return Next::go_on;
    double share = static_cast<double>(window_ns_) / static_cast<double>(now - started_ns_);
    double wanted = duty();
    started_ns_ = now;
    window_ns_ = windows_ = 0;
    if (wanted >= 1) return Next::count_all;
    double factor = std::clamp(share / wanted, 0.5, 2.0);
    if (factor > 0.8 && factor < 1.25) return Next::go_on;
    gap_ = std::max(1.0, gap_ * factor);
    return Next::change_gap;
  }

  // The weight of a call in the window of a thread that begins to count now.
  void begin_counting(Windows& thread) {
    thread.is_armed = false;
    thread.counting_from = thread.events;
    double ratio = thread.window_events > 0 ? thread.cycle_events / thread.window_events
                                            : 1 + gap_ / kWindow;
    thread.weight = static_cast<uint64_t>(ratio * kSampledUnit + 0.5);
  }

  void end_counting(Windows& thread) {
    double counted = static_cast<double>(thread.events - thread.counting_from);
    double waited = static_cast<double>(thread.counting_from - thread.opened_at);
    // old windows fade, so that the ratio follows a change of the gap
    thread.cycle_events = 0.95 * thread.cycle_events + gap_ * (1 + thread.missed) + waited + counted;
    thread.window_events = 0.95 * thread.window_events + counted;
    thread.missed = 0;
  }

 private:
  // Share of the time that may be counted: the budget over what counting all would cost.
  double duty() const {
    double own = std::max(rate_ns_.load() - event_ns_, 0.1 * event_ns_);
    return budget_ * own / event_ns_;
  }

  double budget_ = 0;
  double event_ns_ = 250;
  std::atomic<double> debt_ns_{0};
  std::atomic<double> rate_ns_{1000};  // of the application's time per event, with us
  double gap_ = 0;
  uint64_t started_ns_ = 0;
  uint64_t window_ns_ = 0;
  int windows_ = 0;
};

}  // namespace aimatrix
