#pragma once
// The values of centroids that a file holds: fp16, or int8 with one scale for the codebook.

#include <span>

#include "quantnoise/codec/affine.h"

namespace quantnoise::codec {

/// The int8 grid of a codebook: value = scale · (code − 128), code − 128 in −127 … 127.
///   scale = max |c| / 127, rounded up to 16 significant bits; 1 where all are 0
/// With these bits every product scale · k is exact, so that the grid of what was rounded to a grid is that
/// grid: a file written from a file is the same file.
/// Errors: kNumeric for centroids that are not finite, or beyond 2^126.
AffineGrid centroid_grid(std::span<const float> centroids);

/// out = the centroids as a file with centroids of this type holds them. type: kF16 or kI8. centroids and out
/// may be the same memory. Errors: kNumeric for centroids the type cannot hold (fp16: beyond 65,504).
void round_centroids(std::span<const float> centroids, ScalarType type, std::span<float> out);

}  // namespace quantnoise::codec
