#include "quantnoise/pack/model_file.h"

#include "core/pack/manifest.h"
#include "quantnoise/base/file.h"
#include "quantnoise/base/large_memory.h"

namespace quantnoise::pack {

namespace {

struct OpenModel {
  Container container;
  ModelFile file;
};

// Runs `body`; damage it reports gets the name of the file in front.
template <typename Body>
auto naming_file(const std::string& name, const Body& body) {
  try {
    return body();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kFormat) throw;
    throw Error(ErrorKind::kFormat, str_cat("cannot read ", name, ": ", error.what()), error.hint());
  }
}

OpenModel open_bytes(const codec::ByteBlock& bytes, const std::string& name) {
  return naming_file(name, [&] {
    OpenModel model;
    model.container = parse_container(bytes, kManifestKey);
    model.file = assemble(model.container);
    model.file.num_bytes = static_cast<int64_t>(bytes.bytes.size());
    check_model_file(model.file, ErrorKind::kFormat);
    return model;
  });
}

OpenModel open_path(const std::string& path) {
  const base::MappedFile mapped = base::MappedFile::open(path);
  base::prefer_huge_pages(mapped.bytes());
  return open_bytes({mapped.bytes(), mapped.owner()}, path);
}

// Everything is counted but the padding, which is what remains.
SizeReport account(const ModelFile& file, uint64_t header_bytes, uint64_t file_bytes) {
  SizeReport report;
  report.file_bytes = file_bytes;
  report.header_bytes = header_bytes;
  for (const auto& [name, weight] : file.weights) {
    switch (weight.scheme) {
      case codec::Scheme::kDense:
        report.dense_bytes += weight.dense.bytes.size();
        break;
      case codec::Scheme::kProduct:
        report.code_bytes += weight.codes.bytes.size();
        report.centroid_bytes += weight.centroids.bytes.size();
        break;
      case codec::Scheme::kAffine:
        report.affine_bytes +=
            weight.codes.bytes.size() + weight.scales.size() * sizeof(float) + weight.zero_points.size();
        break;
    }
  }
  for (const auto& [name, tensor] : file.tensors) {
    (name.starts_with(kTrainingPrefix) ? report.training_bytes : report.dense_bytes) +=
        tensor.data.bytes.size();
  }
  for (const auto& [name, blob] : file.blobs) report.blob_bytes += blob.bytes.size();
  report.padding_bytes = file_bytes - header_bytes - report.code_bytes - report.centroid_bytes -
                         report.affine_bytes - report.dense_bytes - report.blob_bytes - report.training_bytes;
  return report;
}

}  // namespace

ModelFile read_model_file(const std::string& path) { return open_path(path).file; }

ModelFile parse_model_file(const codec::ByteBlock& bytes, const std::string& name) {
  return open_bytes(bytes, name).file;
}

SizeReport write_model_file(const std::string& path, const ModelFile& file) {
  check_model_file(file, ErrorKind::kInternal);
  const std::map<std::string, std::string> metadata = {{kManifestKey, build_manifest(file)}};
  const WrittenSizes sizes = write_container(path, outgoing_tensors(file), metadata);
  return account(file, sizes.header_bytes, sizes.file_bytes);
}

SizeReport size_report(const std::string& path) {
  const OpenModel model = open_path(path);
  return account(model.file, model.container.header_bytes, model.container.file.bytes.size());
}

std::string manifest_json(const std::string& path) {
  return open_path(path).container.metadata.at(kManifestKey);
}

}  // namespace quantnoise::pack
