#pragma once
// Memory for torch's large CPU tensors that stays with the process. A training step frees its activations and
// gradients and asks for the same sizes again in the next one; memory that goes back to the system in between
// costs page faults, a fifth of a step's time.

#include <c10/core/Allocator.h>

#include <cstddef>
#include <list>
#include <map>
#include <mutex>
#include <unordered_map>

namespace quantnoise::train {

class TensorMemory : public c10::Allocator {
 public:
  /// Smaller requests go to torch's own allocator.
  static constexpr size_t kLeastBytes = size_t{1} << 20;

  struct Stats {
    size_t used_bytes = 0;    ///< in blocks that tensors hold
    size_t peak_bytes = 0;    ///< the most that ever was in use
    size_t kept_bytes = 0;    ///< in free blocks
    size_t num_mappings = 0;  ///< blocks the system was asked for since the start
  };

  /// The one instance: what torch frees late must still find it.
  static TensorMemory& instance();

  /// 64-byte aligned. Used and kept bytes together are never more than a quarter, and the request itself,
  /// above the peak of the used bytes. Errors: as torch's own allocator when there is no memory.
  c10::DataPtr allocate(size_t num_bytes) override;
  c10::DeleterFnPtr raw_deleter() const override;
  void copy_data(void* to, const void* from, size_t count) const override;

  Stats stats() const;

 private:
  struct Block;
  using Released = std::list<Block>;
  struct Block {
    void* data = nullptr;
    size_t num_bytes = 0;
    std::multimap<size_t, Released::iterator>::iterator place;
  };

  static void release(void* data);
  void* take(size_t num_bytes);
  bool give_back(void* data);
  void drop_kept(size_t most_kept_bytes);

  mutable std::mutex mutex_;
  std::unordered_map<void*, size_t> used_;
  Released kept_;  // the latest first
  std::multimap<size_t, Released::iterator> kept_by_size_;
  Stats stats_;
};

/// Makes torch take the memory of its CPU tensors from TensorMemory from now on, where the system is one it
/// knows (Linux).
void keep_tensor_memory();

}  // namespace quantnoise::train
