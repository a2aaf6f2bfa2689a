// A table of operations, one for each equation of some steps, and how a team runs it.

#include "bounds.hpp"
#include "distort.hpp"
#include "dropout.hpp"
#include "examples.hpp"
#include "layers.hpp"
#include "norm.hpp"
#include "outputs.hpp"
#include "sparse.hpp"
#include "vectors.hpp"

namespace gpunn {

template <class... Operations>
struct Table {
    static void run(const Row& row, const Member& member, const Position& at) {
        Index code = 0;
        (void)((row.code == code++ && (run_as<Operations>(row, member, at), true)) || ...);
    }

  private:
    template <class Operation>
    static void run_as(const Row& row, const Member& member, const Position& at) {
        if constexpr (std::is_same_v<Operation, Gradient>)
            row.as<Gradient>()(member, &row + 1, row.followers);
        else
            row.as<Operation>()(member, at);
    }
};

typedef Table<Gather<unsigned char>, Gather<float>, Gather<double>, Labels, Forward, OutputError, ApplyWeights,
              HiddenError, Gradient, Scale, Add, Step, Count, SetRates, Measure, Drop,
              Normalise, Activate, NormError, Shrink, SumSquares, ClipNorm, SumRowSquares, BoundRows,
              SoftmaxError, WeighLosses, Collect, GatherSparse, SparseAffine, SparseGradient,
              Gather<std::int32_t>, Gather<std::int64_t>, Distort> Operations;

// While it lives, this thread's numbers below the smallest normal one become 0: processors take a hundred cycles for
// each of them, and the moments of weights that no longer learn end there.
class FlushToZero {
  public:
#if defined(__x86_64__) || defined(__i386__)
    FlushToZero() : before(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(before | 0x8040); }
    ~FlushToZero() { __builtin_ia32_ldmxcsr(before); }

  private:
    const unsigned before;
#elif defined(__aarch64__)
    FlushToZero() {
        asm volatile("mrs %0, fpcr" : "=r"(before));
        asm volatile("msr fpcr, %0" : : "r"(before | 1 << 24));
    }
    ~FlushToZero() { asm volatile("msr fpcr, %0" : : "r"(before)); }

  private:
    std::uint64_t before;
#endif
};

}  // namespace gpunn

// Run n operations by so many threads, several times over. order, etas, key: of the pass, which is at this example and
// step, and moves on by so many of them each time.
extern "C" void run(const gpunn::Row* rows, std::ptrdiff_t n, int threads, const std::int64_t* order,
                    const double* etas, std::ptrdiff_t example, std::ptrdiff_t step, std::uint32_t key,
                    std::ptrdiff_t times, std::ptrdiff_t examples, std::ptrdiff_t steps) {
    gpunn::team->run(threads, [&](const gpunn::Member& member) {
        [[maybe_unused]] const gpunn::FlushToZero flush;
        gpunn::Position at{order, example, step, etas, key};
        for (std::ptrdiff_t k = 0; k < times; k++, at.example += examples, at.step += steps)
            for (std::ptrdiff_t i = 0; i < n; i += 1 + rows[i].followers) {
                gpunn::Operations::run(rows[i], member, at);
                if (rows[i].meets) member.meet();
            }
    });
}
