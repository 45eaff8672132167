#include "quantnoise/kernels/instruction_set.h"

#include <cstdlib>
#include <cstring>

#include "core/kernels/known_sets.h"
#include "quantnoise/base/error.h"

#if QN_KERNELS_X86
#include <cpuid.h>
#endif

namespace quantnoise::kernels {

namespace {

constexpr InstructionSet kPortable = {"portable"};

#if QN_KERNELS_X86

constexpr InstructionSet kAvx2 = {"avx2"}, kAvx512 = {"avx512"}, kAvx512Vnni = {"avx512vnni"};

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
constexpr InstructionSet kNeon = {"neon"};
std::string processor_name() { return "aarch64"; }
std::string instruction_sets() { return "neon"; }
#else
std::string processor_name() { return "not x86-64"; }
std::string instruction_sets() { return "none beyond the baseline"; }
#endif
bool machine_has_bf16() { return false; }

#endif

}  // namespace

std::span<const KnownSet> known_instruction_sets() {
#if QN_KERNELS_X86
  static const KnownSet sets[] = {{"portable", &kPortable, true},
                                  {"avx2", &kAvx2, machine_has_avx2()},
                                  {"avx512", &kAvx512, machine_has_avx512()},
                                  {"avx512vnni", &kAvx512Vnni, machine_has_avx512vnni()},
                                  {"neon", nullptr, false}};
#else
  static const KnownSet sets[] = {
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

const InstructionSet& choose_instruction_set(std::string_view name, std::span<const KnownSet> sets) {
  const InstructionSet* best = nullptr;
  std::vector<std::string_view> names;
  for (const KnownSet& set : sets) {
    names.push_back(set.name);
    if (name.empty() && set.in_build != nullptr && set.machine_has_it) best = set.in_build;
    if (set.name != name) continue;
    QN_REQUIRE(set.in_build != nullptr, ErrorKind::kUnsupported, "QN_CPU=", name,
               ": this build has no kernels for ", name);
    QN_REQUIRE(set.machine_has_it, ErrorKind::kUnsupported, "QN_CPU=", name,
               ": this machine's processor lacks ", name);
    return *set.in_build;
  }
  QN_REQUIRE(best != nullptr, ErrorKind::kUsage, "QN_CPU: found \"", name,
             "\", expected one of: ", join(names, ", "));
  return *best;
}

const InstructionSet& instruction_set() {
  static const InstructionSet& chosen = [&]() -> const InstructionSet& {
    const char* name = std::getenv("QN_CPU");
    return choose_instruction_set(name == nullptr ? "" : name, known_instruction_sets());
  }();
  return chosen;
}

std::vector<const InstructionSet*> available_instruction_sets() {
  std::vector<const InstructionSet*> sets;
  for (const KnownSet& set : known_instruction_sets()) {
    if (set.in_build != nullptr && set.machine_has_it) sets.push_back(set.in_build);
  }
  return sets;
}

bool has_bf16_products() { return machine_has_bf16(); }

std::string cpu_description() {
  return str_cat(processor_name(), "; instruction sets: ", instruction_sets(),
                 "; kernels: ", instruction_set().name);
}

}  // namespace quantnoise::kernels
