// Single values of a call as text: JSON as in docs/file-formats.md, "Spool".
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cmath>
#include <locale>
#include <sstream>
#include <string>
#include <string_view>

namespace aimatrix {

inline bool is_absent(const c10::TensorImpl* tensor) {
  return tensor == nullptr || tensor == c10::UndefinedTensorImpl::singleton();
}

// The device on which a tensor is; of a fake tensor, the one that it says it is on.
inline c10::DeviceType device_type_of(const c10::TensorImpl* tensor) {
  bool is_plain = !tensor->key_set().has(c10::DispatchKey::Python);
  return is_plain ? tensor->device_type() : tensor->device().type();
}

constexpr size_t kLongestText = 64;

inline void write_text(std::string& out, std::string_view text) {
  constexpr const char* digits = "0123456789abcdef";
  out += '"';
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20 || c == 0x7f) {
      out += "\\u00";
      out += digits[c >> 4];
      out += digits[c & 15];
    } else {
      out += static_cast<char>(c);
    }
  }
  out += '"';
}

// torch's Python name of a dtype.
inline std::string dtype_name(c10::ScalarType type) {
  switch (type) {
    case c10::ScalarType::Byte: return "uint8";
    case c10::ScalarType::Char: return "int8";
    case c10::ScalarType::Short: return "int16";
    case c10::ScalarType::Int: return "int32";
    case c10::ScalarType::Long: return "int64";
    case c10::ScalarType::Half: return "float16";
    case c10::ScalarType::Float: return "float32";
    case c10::ScalarType::Double: return "float64";
    case c10::ScalarType::ComplexHalf: return "complex32";
    case c10::ScalarType::ComplexFloat: return "complex64";
    case c10::ScalarType::ComplexDouble: return "complex128";
    default: break;
  }
  std::string name = c10::toString(type);
  for (auto& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

inline void write_tensor(std::string& out, const c10::IValue& value) {
  if (!value.isTensor() || is_absent(value.unsafeToTensorImpl())) {
    out += "null";
    return;
  }
  auto* tensor = value.unsafeToTensorImpl();
  out += "{\"shape\":[";
  const char* comma = "";
  for (auto size : tensor->sizes()) {
    out += comma;
    out += std::to_string(size);
    comma = ",";
  }
  out += "],\"dtype\":";
  write_text(out, dtype_name(c10::typeMetaToScalarType(tensor->dtype())));
  out += ",\"device\":";
  write_text(out, c10::DeviceTypeName(device_type_of(tensor), /*lower_case=*/true));
  out += '}';
}

// Whether a kept value can be told: long texts stay in the process.
inline bool can_tell(const c10::IValue& value) {
  if (value.isString()) return value.toStringRef().size() <= kLongestText;
  if (value.isList()) {
    for (const auto& item : value.toListRef()) {
      if (!can_tell(item)) return false;
    }
    return true;
  }
  if (value.isDouble()) return std::isfinite(value.toDouble());
  return value.isInt() || value.isBool() || value.isNone();
}

inline void write_kept(std::string& out, const c10::IValue& value) {
  if (value.isInt()) {
    out += std::to_string(value.toInt());
  } else if (value.isBool()) {
    out += value.toBool() ? "true" : "false";
  } else if (value.isDouble()) {
    std::ostringstream text;
    text.imbue(std::locale::classic());  // the application's may have a decimal comma
    text.precision(17);
    text << value.toDouble();
    out += text.str();
  } else if (value.isString()) {
    write_text(out, value.toStringRef());
  } else if (value.isList()) {
    out += '[';
    const char* comma = "";
    for (const auto& item : value.toListRef()) {
      out += comma;
      write_kept(out, item);
      comma = ",";
    }
    out += ']';
  } else {
    out += "null";
  }
}

}  // namespace aimatrix
