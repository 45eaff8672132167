#pragma once
// Memory at the boundaries of cache lines that grows and is not initialized.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace quantnoise::runtime {

template <typename T>
class AlignedBuffer {
 public:
  /// At least `count` elements; what was there before is lost when it has to grow.
  T* resize(int64_t count) {
    if (count > capacity_) {
      data_.reset(static_cast<T*>(
          ::operator new (static_cast<size_t>(count) * sizeof(T), std::align_val_t{kAlignment})));
      capacity_ = count;
    }
    return data_.get();
  }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  int64_t capacity_bytes() const { return capacity_ * static_cast<int64_t>(sizeof(T)); }

 private:
  static constexpr size_t kAlignment = 64;
  struct Release {
    void operator()(T* data) const { ::operator delete (data, std::align_val_t{kAlignment}); }
  };
  std::unique_ptr<T, Release> data_;
  int64_t capacity_ = 0;
};

}  // namespace quantnoise::runtime
