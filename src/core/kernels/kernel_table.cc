#include "quantnoise/kernels/kernel_table.h"

#include <cstdlib>
#include <cstring>

#include "core/kernels/kernel_sets.h"
#include "quantnoise/base/error.h"

#if QN_KERNELS_X86
#include <cpuid.h>
#endif

namespace quantnoise::kernels {

namespace {

#define QN_KERNEL_TABLE(name, set)                                                                 \
  KernelTable {                                                                                    \
    name, set::assign, set::nearest_two, set::nearest_by_group, set::own_distance, set::own_limit, \
        set::select_not_above, set::accumulate, set::decode_f32, set::decode_u16, set::noise_f32,  \
        set::noise_bf16                                                                            \
  }

constexpr KernelTable kPortable = QN_KERNEL_TABLE("portable", portable);

#if QN_KERNELS_X86

constexpr KernelTable kAvx2 = QN_KERNEL_TABLE("avx2", avx2);
constexpr KernelTable kAvx512 = QN_KERNEL_TABLE("avx512", avx512);
// The loops of the codec gain nothing from VNNI and VBMI; the tables beside this one do.
constexpr KernelTable kAvx512Vnni = QN_KERNEL_TABLE("avx512vnni", avx512);

// Two features that clang 14's __builtin_cpu_supports() has no name for are asked of the processor itself;
// that the system saves the registers is known from the others.
bool processor_has_f16c() {
  unsigned int eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

bool machine_has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && processor_has_f16c();
}

bool machine_has_avx512() {
  return machine_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool machine_has_avx512vnni() {
  return machine_has_avx512() && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi");
}

std::string processor_name() {
  char text[49] = {};
  unsigned int limit = __get_cpuid_max(0x80000000u, nullptr);
  if (limit < 0x80000004u) return "x86-64";
  for (unsigned int leaf = 0; leaf < 3; ++leaf) {
    unsigned int words[4];
    __cpuid(0x80000002u + leaf, words[0], words[1], words[2], words[3]);
    std::memcpy(text + leaf * 16, words, sizeof(words));
  }
  std::string name(text);
  const size_t begin = name.find_first_not_of(' ');
  return begin == std::string::npos ? "x86-64" : name.substr(begin, name.find_last_not_of(' ') - begin + 1);
}

bool machine_has_bf16() {
  unsigned int eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned int kBf16 = 1u << 5;
  return machine_has_avx512() && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kBf16) != 0;
}

std::string instruction_sets() {
  std::vector<std::string> found;
  if (machine_has_avx2()) found.push_back("avx2");
  if (machine_has_avx512()) found.push_back("avx512");
  if (__builtin_cpu_supports("avx512vnni")) found.push_back("avx512vnni");
  if (__builtin_cpu_supports("avx512vbmi")) found.push_back("avx512vbmi");
  if (machine_has_bf16()) found.push_back("avx512bf16");
  return found.empty() ? "none beyond the baseline" : join(found, " ");
}

#else

#if QN_KERNELS_NEON
constexpr KernelTable kNeon = QN_KERNEL_TABLE("neon", neon);
std::string processor_name() { return "aarch64"; }
std::string instruction_sets() { return "neon"; }
#else
std::string processor_name() { return "not x86-64"; }
std::string instruction_sets() { return "none beyond the baseline"; }
#endif
bool machine_has_bf16() { return false; }

#endif

}  // namespace

std::span<const KernelSet> known_kernel_sets() {
#if QN_KERNELS_X86
  static const KernelSet sets[] = {{"portable", &kPortable, true},
                                   {"avx2", &kAvx2, machine_has_avx2()},
                                   {"avx512", &kAvx512, machine_has_avx512()},
                                   {"avx512vnni", &kAvx512Vnni, machine_has_avx512vnni()},
                                   {"neon", nullptr, false}};
#else
  static const KernelSet sets[] = {
    {"portable", &kPortable, true},
    {"avx2", nullptr, false},
    {"avx512", nullptr, false},
    {"avx512vnni", nullptr, false},
#if QN_KERNELS_NEON
    {"neon", &kNeon, true}
  };  // part of every aarch64 processor
#else
    {"neon", nullptr, false}
  };
#endif
#endif
  return sets;
}

const KernelTable& choose_kernel_table(std::string_view name, std::span<const KernelSet> sets) {
  const KernelTable* best = nullptr;
  std::vector<std::string_view> names;
  for (const KernelSet& set : sets) {
    names.push_back(set.name);
    if (name.empty() && set.table != nullptr && set.machine_has_it) best = set.table;
    if (set.name != name) continue;
    QN_REQUIRE(set.table != nullptr, ErrorKind::kUnsupported, "QN_CPU=", name,
               ": this build has no kernels for ", name);
    QN_REQUIRE(set.machine_has_it, ErrorKind::kUnsupported, "QN_CPU=", name,
               ": this machine's processor lacks ", name);
    return *set.table;
  }
  QN_REQUIRE(best != nullptr, ErrorKind::kUsage, "QN_CPU: found \"", name,
             "\", expected one of: ", join(names, ", "));
  return *best;
}

const KernelTable& kernel_table() {
  static const KernelTable& chosen = [&]() -> const KernelTable& {
    const char* name = std::getenv("QN_CPU");
    return choose_kernel_table(name == nullptr ? "" : name, known_kernel_sets());
  }();
  return chosen;
}

std::vector<const KernelTable*> available_kernel_tables() {
  std::vector<const KernelTable*> tables;
  for (const KernelSet& set : known_kernel_sets()) {
    if (set.table != nullptr && set.machine_has_it) tables.push_back(set.table);
  }
  return tables;
}

bool has_bf16_products() { return machine_has_bf16(); }

std::string cpu_description() {
  return str_cat(processor_name(), "; instruction sets: ", instruction_sets(),
                 "; kernels: ", kernel_table().name);
}

}  // namespace quantnoise::kernels
