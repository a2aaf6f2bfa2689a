#!/usr/bin/env bash
# Run every check that needs a GPU, in at most eight minutes:
#
#     benchmarks/gpu_check.sh
#
# 1. compare the GPU's training trajectory with the CPU's
# 2. run the test suite on CUDA
# 3. run the benchmark beside JAX and PyTorch
# 4. run a short fit under compute-sanitizer's racecheck and memcheck
#
# Each part has a deadline, in seconds from the start; time that a part does not use is left for later parts. A part
# that fails or times out is reported at the end and does not stop the others. If the benchmark times out, the results
# so far are kept. Results are written to benchmarks/results, or to the folder in RESULTS, under the GPU's name.
#
# `benchmarks/gpu_check.sh cpu` rehearses the same parts on the CPU with small workloads and discards the results.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
device=${1:-cuda}
python=${PYTHON:-python3}
failed=()

case $device in
cuda)
    tests=(-k "cuda and not emulated" --timeout 30 --maxfail 15 --tb short)
    results=${RESULTS:-benchmarks/results} patience=1
    benchmark=(--gpu)
    export GPUNN_NEEDS_CUDA=1 PATH=$PATH:/usr/local/cuda/bin
    ;;
cpu)
    tests=(tests/core/test_parity.py -k "cpu and sigmoid-softmax") results=$(mktemp -d) patience=10
    benchmark=(--quick --nets 784-30 --only gpunn floor)
    trap 'rm -rf "$results"' EXIT
    ;;
*)
    echo "usage: $0 [cuda|cpu]" >&2
    exit 2
    ;;
esac

# With workers, pytest-benchmark warns that it is disabled, and warnings are errors. It is not used here.
tests+=(-p no:benchmark)
if "$python" -c 'import xdist' 2>/dev/null; then
    tests+=(-n "$(nproc)") # the tests spend most of their time in the compiler
fi

part() { # part NAME DEADLINE COMMAND…
    local name=$1 limit=$(($2 * patience - SECONDS))
    shift 2
    printf '\n== %s (at most %s s)\n' "$name" "$limit"
    timeout --kill-after=10 "$limit" "$@"
    local status=$?
    if [ $status -eq 124 ]; then
        failed+=("$name: timed out after $limit s")
    elif [ $status -ne 0 ]; then
        failed+=("$name: exit status $status")
    fi
}

sanitized() { # sanitized TOOL DEADLINE OPTION…: run a short fit under compute-sanitizer
    local tool=$1 deadline=$2
    shift 2
    if [ "$device" = cpu ]; then
        part "short fit, without $tool" "$deadline" "$python" -m benchmarks.gpu_check fit --device cpu
    elif command -v compute-sanitizer >/dev/null; then
        part "$tool" "$deadline" compute-sanitizer --tool "$tool" --error-exitcode 9 "$@" \
            "$python" -m benchmarks.gpu_check fit --device "$device"
    else
        failed+=("$tool: compute-sanitizer is not installed")
    fi
}

if [ "$device" = cuda ]; then
    "$python" -c 'from gpunn.backends import explain_cuda; import sys; sys.exit(explain_cuda() or None)' || exit 1
fi
part "trajectories" 50 "$python" -m benchmarks.gpu_check compare --device "$device" --output "$results"
part "tests" 130 "$python" -m pytest -q "${tests[@]}"
part "benchmark" 360 "$python" -m benchmarks "${benchmark[@]}" --output "$results"
# CUDA's own libraries probe for driver features that may be missing, and their kernels are not under test.
excluded=()
for name in gemm gemv splitK nvjet; do excluded+=(--kernel-name-exclude "kns=$name"); done
sanitized racecheck 410 --racecheck-detect-level error "${excluded[@]}"
sanitized memcheck 460 --report-api-errors no

printf '\n== finished in %s s\n' "$SECONDS"
if [ ${#failed[@]} -gt 0 ]; then
    printf '%s\n' "${failed[@]}"
    exit 1
fi
echo "all checks passed"
