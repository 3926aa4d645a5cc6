// A call's signature: as words that are compared at each call, and as text that is written once.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "objects.h"
#include "operators.h"
#include "values.h"

namespace aimatrix {

enum class Phase : uint8_t { forward, backward, optimizer };
constexpr int kPhases = 3;

inline const char* name_of(Phase phase) {
  constexpr const char* names[] = {"forward", "backward", "optimizer"};
  return names[static_cast<int>(phase)];
}

// What a call is to us.
enum class Work : uint8_t {
  physical,  // it computes
  none,      // on tensors without data (meta, fake), or a profiler's mark
  deeper,    // on a wrapper (subclass, vmap): what it does to plain tensors is called further in
  nameless,  // on nested tensors, which have no shape: only its name is told
};

// The words of one signature; memory is kept from call to call.
class Words {
 public:
  void begin(const Operator* called, Phase phase) {
    size_ = 0;
    add(reinterpret_cast<uintptr_t>(called) << 2 | static_cast<uint64_t>(phase));
  }
  void add(uint64_t word) {
    if (size_ == words_.size()) words_.resize(2 * size_);
    words_[size_++] = word;
  }
  const uint64_t* data() const { return words_.data(); }
  size_t size() const { return size_; }

  uint64_t hash() const {
    uint64_t value = 0x9E3779B97F4A7C15ULL * size_;
    for (size_t i = 0; i < size_; i++) {
      value = (value ^ words_[i]) * 0xFF51AFD7ED558CCDULL;
      value ^= value >> 32;
    }
    return value ? value : 1;  // 0 marks an empty place
  }

 private:
  std::vector<uint64_t> words_ = std::vector<uint64_t>(64);
  size_t size_ = 0;
};

// Marks that tell values of different types apart.
constexpr uint64_t kAbsent = 1ULL << 56, kTensor = 2ULL << 56, kInt = 3ULL << 56,
                   kText = 4ULL << 56, kList = 5ULL << 56, kOther = 6ULL << 56,
                   kNumber = 7ULL << 56, kObject = 8ULL << 56;

// The keys of tensors that stand for others.
constexpr c10::DispatchKeySet kWrappers(
    {c10::DispatchKey::Python, c10::DispatchKey::FuncTorchBatched,
     c10::DispatchKey::FuncTorchGradWrapper, c10::DispatchKey::Functionalize});

// Adds a tensor to the words. `recording`: fake tensors stand for real ones.
inline Work add_tensor(Words& words, const c10::IValue& value, bool recording) {
  if (!value.isTensor()) {
    words.add(value.isNone() ? kAbsent : kOther);  // a number in a tensor's place
    return Work::physical;
  }
  auto* tensor = value.unsafeToTensorImpl();
  if (is_absent(tensor)) {
    words.add(kAbsent);
    return Work::physical;
  }
  auto keys = tensor->key_set();
  if (keys.has_any(kWrappers)) {
    if (!recording) return Work::deeper;
    if (tensor->has_symbolic_sizes_strides()) return Work::none;
  }
  if (keys.has(c10::DispatchKey::NestedTensor)) return Work::nameless;
  auto device = device_type_of(tensor);
  if (device == c10::DeviceType::Meta) return Work::none;
  if (tensor->has_symbolic_sizes_strides()) return Work::nameless;
  auto sizes = tensor->sizes();
  words.add(
      kTensor | static_cast<uint64_t>(sizes.size()) << 32 |
      static_cast<uint64_t>(static_cast<uint8_t>(device)) << 16 |
      static_cast<uint64_t>(static_cast<uint8_t>(c10::typeMetaToScalarType(tensor->dtype()))));
  for (auto size : sizes) words.add(static_cast<uint64_t>(size));
  return Work::physical;
}

// Adds a tensor, or a list of them, or of such lists.
inline Work add_tensors(Words& words, const c10::IValue& value, bool recording) {
  if (!value.isList()) return add_tensor(words, value, recording);
  auto items = value.toListRef();
  words.add(kList | items.size());
  for (const auto& item : items) {
    auto work = add_tensors(words, item, recording);
    if (work != Work::physical) return work;
  }
  return Work::physical;
}

inline void add_kept(Words& words, const c10::IValue& value) {
  if (value.isInt()) {
    words.add(kInt);
    words.add(static_cast<uint64_t>(value.toInt()));
  } else if (value.isBool()) {
    words.add(kInt | (value.toBool() ? 2 : 1));
  } else if (value.isDouble()) {
    auto number = value.toDouble();
    uint64_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    words.add(kNumber);
    words.add(bits);
  } else if (value.isNone()) {
    words.add(kAbsent);
  } else if (value.isString()) {
    words.add(kText);
    words.add(std::hash<std::string_view>{}(value.toStringRef()));
  } else if (value.isList()) {
    auto items = value.toListRef();
    words.add(kList | items.size());
    for (const auto& item : items) add_kept(words, item);
  } else {
    words.add(kOther);
  }
}

// The whole signature of a call in words.
inline Work add_call(
    Words& words, const Operator& called, Phase phase, c10::ArrayRef<const c10::IValue> inputs,
    bool recording) {
  words.begin(&called, phase);
  if (called.is_mark) return Work::none;
  if (called.brings_new_objects) objects().forget_all();
  for (const auto& argument : called.arguments) {
    if (argument.index >= inputs.size()) break;
    const auto& value = inputs[argument.index];
    Work work = Work::physical;
    switch (argument.how) {
      case How::tensor:
        work = add_tensor(words, value, recording);
        break;
      case How::tensors:
        work = add_tensors(words, value, recording);
        break;
      case How::kept:
        add_kept(words, value);
        break;
      case How::object:
        words.add(kObject);
        words.add(objects().tell(value).hash);
        break;
      case How::device:
        if (value.isDevice() && value.toDevice().type() == c10::DeviceType::Meta) work = Work::none;
        break;
    }
    if (work == Work::nameless) words.begin(&called, phase);
    if (work != Work::physical) return work;
  }
  return Work::physical;
}

// ---- as text: JSON as in docs/file-formats.md, "Spool"

inline void write_tensors(std::string& out, const c10::IValue& value) {
  if (!value.isList()) return write_tensor(out, value);
  out += '[';
  const char* comma = "";
  for (const auto& item : value.toListRef()) {
    out += comma;
    write_tensors(out, item);
    comma = ",";
  }
  out += ']';
}

inline void write_argument(std::string& out, How how, const c10::IValue& value) {
  if (how == How::kept) {
    write_kept(out, value);
  } else if (how == How::object) {
    out += objects().tell(value).text;
  } else if (how == How::tensors) {
    write_tensors(out, value);
  } else {
    write_tensor(out, value);
  }
}

// The call without its slot: `"name":...,"arguments":{...}}`. Without inputs, its name alone.
inline std::string describe(
    const Operator& called, Phase phase, c10::ArrayRef<const c10::IValue> inputs) {
  std::string out = "\"name\":";
  write_text(out, called.name);
  out += ",\"overload\":";
  write_text(out, called.overload);
  out += ",\"phase\":\"";
  out += name_of(phase);
  out += "\",\"arguments\":{";
  const char* comma = "";
  for (const auto& argument : called.arguments) {
    if (argument.index >= inputs.size()) break;
    const auto& value = inputs[argument.index];
    if (argument.how == How::device) continue;
    if (argument.how == How::kept && !can_tell(value)) continue;
    out += comma;
    write_text(out, argument.name);
    out += ':';
    write_argument(out, argument.how, value);
    comma = ",";
  }
  out += "}}";
  return out;
}

// A call of an operator without arguments.
inline std::string describe(const char* name) {
  Operator called;
  called.name = name;
  return describe(called, Phase::forward, {});
}

// A described forward call, as one in `phase`.
inline std::string in_phase(std::string description, Phase phase) {
  const std::string forward = ",\"phase\":\"forward\"";  // quotes inside of names are escaped
  auto at = description.find(forward);
  description.replace(at, forward.size(), std::string(",\"phase\":\"") + name_of(phase) + "\"");
  return description;
}

}  // namespace aimatrix
