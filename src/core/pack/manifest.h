#pragma once
// Between a ModelFile and its two halves in the file: the manifest (JSON text) and the tensors.

#include <string>
#include <vector>

#include "core/pack/safetensors.h"
#include "quantnoise/base/error.h"
#include "quantnoise/pack/model_file.h"

namespace quantnoise::pack {

/// The metadata key of the manifest.
inline constexpr const char* kManifestKey = "quantnoise";

/// Errors: kInternal when one of the JSON texts is not an object.
std::string build_manifest(const ModelFile& file);

/// The tensors of the file, pointing into `file`, which must stay until they are written.
std::vector<OutgoingTensor> outgoing_tensors(const ModelFile& file);

/// Puts manifest and tensors together again. Errors: kFormat.
ModelFile assemble(const Container& container);

/// Checks that the content agrees with itself: names, shapes against bytes, code widths, ties. Throws `kind`.
void check_model_file(const ModelFile& file, ErrorKind kind);

/// Names in the file of a weight's parts.
std::string codes_name(const std::string& weight);
std::string centroids_name(const std::string& weight);
std::string scales_name(const std::string& weight);
std::string zero_points_name(const std::string& weight);
std::string blob_name(const std::string& blob);

/// "none", "static" or "dynamic".
const char* activation_mode_name(ActivationMode mode);

/// n rounded up to a multiple of 64: the size of a padded tensor with n bytes.
int64_t padded_bytes(int64_t num_bytes);

}  // namespace quantnoise::pack
