// Images that are shifted, rotated, scaled and bent, see gpunn/functions/augmentation.py. A member takes whole images.

#pragma once
#include "dropout.hpp"
#include "products.hpp"

#include <vector>

namespace gpunn {

constexpr Index AFFINE_LAYER = LAYERS - 1, NOISE_LAYER = LAYERS - 2;

// Number k of a stream, uniform between -1 and 1.
template <class Number>
static inline Number uniform(std::uint32_t stream, std::uint32_t k) {
    const std::uint32_t both = mix(mix(k / 2) ^ stream), lane = k % 2 ? both >> LANE_BITS : both & 0xFFFF;
    return (2 * Number(lane) + 1) / 65536 - 1;
}

// Where a pixel is taken from: row or column = down y + right x + start, with y and x from the image's centre.
struct Source {
    T down, right, start;
};

struct Distort {
    Index height, width, m;
    double angle, scale, shift, elastic;
    const std::int64_t* places;            // of the pass
    const T *y, *x;                        // of each pixel, from the centre
    const T *along_row, *along_column;     // matrices that smooth
    T* images;
    Index ld;

    void operator()(const Member& member, const Position& at) const {
        static thread_local std::vector<T> memory;
        const Index n = height * width, framed = (height + 3) * (width + 3);
        memory.assign(framed + 4 * n, 0);
        T *frame = memory.data(), *rows = frame + framed, *columns = rows + n, *noise = columns + n, *s = noise + n;
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++) {
            const std::uint32_t place = std::uint32_t(places[at.example + j]) * LAYERS;
            const auto stream = [&](Index layer) { return mix(at.key ^ mix(place + std::uint32_t(layer))); };
            T* image = images + j * ld;
            for (Index r = 0; r < height; r++)
                std::memcpy(frame + (r + 1) * (width + 3) + 1, image + r * width, width * sizeof(T));
            locate(stream(AFFINE_LAYER), rows, columns);
            if (elastic > 0) bend(stream(NOISE_LAYER), rows, columns, noise, s);
            sample(frame, rows, columns, image);
        }
    }

  private:
    // Compute the row and the column in the frame, which begins one pixel before the image.
    void locate(std::uint32_t stream, T* rows, T* columns) const {
        double drawn[5];
        for (int k = 0; k < 5; k++) drawn[k] = uniform<double>(stream, k);
        const double cosine = std::cos(angle * drawn[0]), sine = std::sin(angle * drawn[0]);
        const double by_height = 1 + scale * drawn[1], by_width = 1 + scale * drawn[2];
        const double down = shift * drawn[3], aside = shift * drawn[4];
        const double r[] = {cosine / by_height, sine / by_height}, c[] = {-sine / by_width, cosine / by_width};
        const T row[] = {T(r[0]), T(r[1]), T(double(height - 1) / 2 - (r[0] * down + r[1] * aside)) + 1};
        const T column[] = {T(c[0]), T(c[1]), T(double(width - 1) / 2 - (c[0] * down + c[1] * aside)) + 1};
#pragma omp simd
        for (Index i = 0; i < height * width; i++) {
            rows[i] = row[0] * y[i] + (row[1] * x[i] + row[2]);
            columns[i] = column[0] * y[i] + (column[1] * x[i] + column[2]);
        }
    }

    // Add smoothed noise to both.
    void bend(std::uint32_t stream, T* rows, T* columns, T* noise, T* s) const {
        const Index n = height * width;
        for (int lane = 0; lane < 2; lane++) {
#pragma omp simd
            for (Index i = 0; i < n; i++) {
                const std::uint32_t both = mix(mix(std::uint32_t(i)) ^ stream);
                noise[i] = (2 * T(lane ? both >> LANE_BITS : both & 0xFFFF) + 1) / 65536 - 1;
            }
            multiply(width, height, width, {along_row, 1, width}, {noise, 1, width}, s, width, {Into::SET});
            multiply(width, height, height, {s, 1, width}, {along_column, 1, height}, lane ? columns : rows, width,
                     {Into::UPDATE, T(elastic), 1});
        }
    }

    // Interpolate between four pixels of the frame.
    void sample(const T* frame, const T* rows, const T* columns, T* image) const {
        const T last_row = height + 1, last_column = width + 1;
        const std::int32_t line = width + 3;
#pragma omp simd
        for (Index i = 0; i < height * width; i++) {
            const T r = rows[i] < 0 ? T(0) : rows[i] > last_row ? last_row : rows[i];
            const T c = columns[i] < 0 ? T(0) : columns[i] > last_column ? last_column : columns[i];
            const T whole_r = std::floor(r), whole_c = std::floor(c), share_r = r - whole_r, share_c = c - whole_c;
            const std::int32_t at = std::int32_t(whole_r) * line + std::int32_t(whole_c);
            const T above = frame[at] + share_c * (frame[at + 1] - frame[at]);
            const T below = frame[at + line] + share_c * (frame[at + line + 1] - frame[at + line]);
            image[i] = above + share_r * (below - above);
        }
    }
};

}  // namespace gpunn
