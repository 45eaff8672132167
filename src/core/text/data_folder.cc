#include "quantnoise/text/data_folder.h"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <utility>

#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/text/preprocess.h"

namespace quantnoise::text {

namespace {

constexpr const char* kPrepareHint =
    "qn preprocess --only-source --trainpref TEXT … --destdir FOLDER makes such a folder";

void check_tokens(const IndexedDataset& part, const Dictionary& dictionary) {
  const auto [smallest, largest] = part.token_range();
  if (part.num_tokens() == 0 || (smallest >= 0 && largest >= 0 && largest < dictionary.size())) return;
  const int64_t culprit = smallest < 0 ? smallest : largest;
  throw Error(ErrorKind::kData,
              str_cat(part.prefix(), ".bin does not fit the dictionary: found the token number ", culprit,
                      ", expected 0 to ", dictionary.size() - 1),
              "binarize the split again with this dictionary (--srcdict)");
}

}  // namespace

DataFolder DataFolder::open(const std::string& folder, const DataFolder* first) {
  const std::string dictionary_path = folder + "/dict.txt";
  if (!std::filesystem::is_directory(folder)) {
    throw Error(ErrorKind::kIo, str_cat("cannot read the data folder ", folder, ": there is no such folder"),
                kPrepareHint);
  }
  DataFolder data;
  data.folder_ = folder;
  const bool has_dictionary = base::file_exists(dictionary_path);
  if (!has_dictionary && first != nullptr) {
    data.tokenizer_name_ = stored_tokenizer_name(folder, first->tokenizer_name_);
    data.dictionary_ = first->dictionary_;
    return data;
  }
  if (!has_dictionary) {
    throw Error(ErrorKind::kIo,
                str_cat("cannot read ", dictionary_path, ": the data folder has no dictionary"),
                kPrepareHint);
  }
  data.tokenizer_name_ = stored_tokenizer_name(folder);
  data.dictionary_ = std::make_shared<const Dictionary>(Dictionary::load(dictionary_path));
  return data;
}

std::vector<std::string> split_folders(const std::string& list) {
  if (std::filesystem::is_directory(list)) return {list};
  std::vector<std::string> folders;
  std::istringstream stream(list);
  for (std::string folder; std::getline(stream, folder, ':');) {
    if (!folder.empty()) folders.push_back(folder);
  }
  return folders;
}

std::vector<std::string> DataFolder::splits() const {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    const std::string stem = entry.path().stem().string();
    if (entry.path().extension() == ".idx" && has_split(stem)) names.push_back(stem);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool DataFolder::has_split(const std::string& split) const {
  return IndexedDataset::exists(folder_ + "/" + split);
}

void DataFolder::require_split(const std::string& split) const {
  if (has_split(split)) return;
  const std::vector<std::string> present = splits();
  throw Error(ErrorKind::kData, str_cat("no split '", split, "' in ", folder_, ": found ",
                                        present.empty() ? "none" : join(present, ", ")));
}

std::shared_ptr<const TokenStream> DataFolder::stream(const std::string& split, bool combine) const {
  require_split(split);
  std::vector<IndexedDataset> parts;
  std::string name = split;
  for (int number = 1; has_split(name); ++number) {
    parts.push_back(IndexedDataset::open(folder_ + "/" + name));
    check_tokens(parts.back(), *dictionary_);
    if (!combine) break;
    name = str_cat(split, number);
  }
  auto stream = std::make_shared<const TokenStream>(std::move(parts));
  QN_REQUIRE(stream->num_tokens() > 0, ErrorKind::kData, "the split '", split, "' in ", folder_,
             " is empty: found no tokens, expected at least one sentence");
  return stream;
}

}  // namespace quantnoise::text
