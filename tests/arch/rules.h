#pragma once
// The rules of the house (docs/architecture.md), each a function from files to a list of violations, one line
// a violation.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "source_tree.h"

namespace quantnoise::arch {

using Violations = std::vector<std::string>;

/// Which components a component may include: the arrows of docs/architecture.md, closed transitively.
const std::map<std::string, std::set<std::string>>& allowed_components();

/// Includes that go against the arrows, reach into another component's private headers, or are not written
/// from the root.
Violations arrow_violations(const std::vector<SourceFile>& files);

/// torch in the core wing; JSON in headers; YAML, the command line and the test library outside their places.
Violations dependency_violations(const std::vector<SourceFile>& files);

/// Calls that end the process or print, in the libraries.
Violations output_violations(const std::vector<SourceFile>& files);

/// Per-ISA files and every header of ours they reach include no standard-library header that brings
/// templates: a template instantiated under -mavx512f may be the copy the linker keeps for every machine.
Violations isa_violations(const std::vector<SourceFile>& files);

/// Headers that use torch and reach none of its headers (behind the precompiled header no compiler sees
/// that).
Violations torch_header_violations(const std::vector<SourceFile>& files);

/// Files of more than `limit` lines.
Violations length_violations(const std::vector<SourceFile>& files, int limit);

/// Lines that match one of the regular expressions, in the whole text.
Violations text_violations(const std::vector<SourceFile>& files, const std::vector<std::string>& patterns);

}  // namespace quantnoise::arch
