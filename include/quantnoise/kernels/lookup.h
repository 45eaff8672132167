#pragma once
// Product codes times one vector by look-up tables, on the codes as the model file holds them.
//
// For every block of inputs the dot products with all centroids form a table; an output is the sum of one
// entry a block. Everything between the rounding of the input and the sums is integer arithmetic, and the
// few float operations around it are never contracted: every set gives the same bits.
//
//   1. quantize_input   a block of inputs becomes 16-bit integers with a factor of its own
//   2. plan_lookup      blocks are put in falling order of their norms and cut into chunks of similar ones
//   3. build_chunk      tables of one chunk: integers of 8 or 16 bits that share one scale
//   4. add_rows         sums of the entries, 64 rows a step
//
// Why chunks: the rounding error of an entry is a fraction of the largest table that shares its scale. With
// neighbours of similar size in a chunk a few large inputs do not drown the others, and blocks of zeros
// (after ReLU) cost nothing: they are left out. Ranges only, no threads.

#include <cstdint>

namespace quantnoise::kernels {

constexpr int kStepRows = 64;        ///< rows taken at once: the codes of a block and a step lie side by side
constexpr int kMaxChunkBlocks = 64;  ///< sums of bytes stay below 2^16, of 16-bit entries below 2^24
constexpr int kMaxPairs = 8;         ///< blocks have at most 16 elements
constexpr int kBlocksInGroup = 16;   ///< quantized inputs lie in groups of this many blocks
constexpr int kMaxLookupEntries = 256;

/// Width of the table entries: the fast arithmetic takes 8 bits, the precise one 16.
enum class EntryWidth { k8Bits, k16Bits };

/// Centroids as 16-bit integers: element j of centroid k is about factor(k) times an integer. Entries beyond
/// num_centroids repeat centroid 0. The order is that of one set: fill_codebook() and the kernels that use it
/// must have the same `lanes`. Two integers lie in one int32 (element 2p in the low half).
struct LookupCodebook {
  int block_size = 0;   ///< 1 … 16
  int num_pairs = 0;    ///< ceil(block_size / 2)
  int num_entries = 0;  ///< 16 (4-bit codes) or 256 (8-bit codes)
  float shared_factor = 0;
  int32_t* shared_pairs = nullptr;  ///< (num_entries · num_pairs): all with shared_factor
  int32_t* own_pairs = nullptr;     ///< (num_entries · num_pairs): each with its own factor
  float* own_factors = nullptr;     ///< (num_entries)
};

/// One input vector as 16-bit integers. Block b, pair p: pairs[((b / 16) · num_pairs + p) · 16 + b % 16].
struct LookupInput {
  int64_t num_blocks = 0;
  int block_size = 0;
  int num_pairs = 0;
  int32_t* pairs = nullptr;  ///< (num_blocks rounded up to 16, num_pairs)
  float* factors = nullptr;  ///< (num_blocks rounded up to 16): input ≈ factor · integer
  float* norms = nullptr;    ///< (num_blocks rounded up to 16): squared norms of the blocks
};

/// Blocks that share a scale: numbers first … first + num_blocks − 1 of the order. An output gets
/// scale · (sum of entries − center); what that leaves out of the minima of the tables is in `rest`.
struct LookupChunk {
  int32_t first = 0;
  int32_t num_blocks = 0;
  int32_t center = 0;
  float scale = 0;
  float rest = 0;
};

/// The tables of one codebook and one input vector.
struct LookupTables {
  EntryWidth width = EntryWidth::k16Bits;
  int num_entries = 0;
  int32_t* order = nullptr;       ///< (num_kept): block numbers, falling norms
  int64_t num_kept = 0;           ///< blocks that are not zero
  LookupChunk* chunks = nullptr;  ///< (num_chunks)
  int64_t num_chunks = 0;
  uint8_t* entries = nullptr;  ///< (num_kept, table_bytes()); layout private to the set
};

/// Bytes to bring into the cache meanwhile: a hint. From `begin` on, after every `run` bytes `skip` are left
/// out; of what remains numbers first … first + num_bytes − 1.
struct BytesAhead {
  const uint8_t* begin = nullptr;
  int64_t num_bytes = 0;
  int64_t run = INT64_MAX;
  int64_t skip = 0;
  int64_t first = 0;
};

/// Codes of some steps of 64 rows. steps[i]: the 64 codes of block 0, as bytes (256 entries) or nibbles (16
/// entries, low one first); those of the next block are block_stride bytes further.
struct LookupRows {
  const uint8_t* const* steps = nullptr;
  int num_steps = 0;  ///< 1 or more
  int64_t block_stride = 0;
  bool read_again = false;  ///< other vectors will look up the same codes next: a hint
};

struct LookupKernels {
  const char* name;
  int lanes;  ///< order of the codebook: groups of 128 bits in a vector; 0: entries one after the other

  /// x: (num_blocks · block_size). Fills pairs, factors and norms.
  void (*quantize_input)(const float* x, const LookupInput& input) noexcept;
  /// Writes the numbers of the blocks with least < norm <= most, rising, and returns how many they are.
  /// norms: (num_blocks rounded up to 16), the rest zeros; least >= 0; numbers: room for num_blocks.
  int64_t (*select_blocks)(const float* norms, int64_t num_blocks, float least, float most,
                           int32_t* numbers) noexcept;
  /// Fills the entries, scale, center and rest of one chunk.
  void (*build_chunk)(const LookupCodebook& codebook, const LookupInput& input, const LookupTables& tables,
                      LookupChunk& chunk, BytesAhead ahead) noexcept;
  /// out (64 · num_steps) = Σ over the chunks in their order of scale · (sum of entries − center), then
  /// + offset.
  void (*add_rows)(const LookupTables& tables, const LookupRows& rows, float offset, float* out) noexcept;
};

/// Bytes of one block's table.
int64_t table_bytes(int num_entries, EntryWidth width);

/// Writes the integers and factors of the centroids, (num_centroids, block_size) fp32 and finite, in the
/// order of a set. The sizes and pointers of `codebook` are set already; num_centroids <= num_entries.
void fill_codebook(const float* centroids, int num_centroids, int lanes, LookupCodebook& codebook);

/// Orders the blocks of a quantized input and cuts chunks for entries of tables.width: fills order and chunks
/// (room for num_blocks each), num_kept and num_chunks. False, and no chunks, when the input is not finite or
/// too large or small for this arithmetic (a block's norm beyond 1e15, or all below 1e-15, zeros too).
bool plan_lookup(const LookupInput& input, LookupTables& tables);

extern const LookupKernels kLookupPortable;
#if defined(__x86_64__)
extern const LookupKernels kLookupAvx2;
extern const LookupKernels kLookupAvx512;
extern const LookupKernels kLookupAvx512Vnni;
#elif defined(__aarch64__)
extern const LookupKernels kLookupNeon;
#endif

/// Of the set in use.
const LookupKernels& lookup_kernels();

}  // namespace quantnoise::kernels
