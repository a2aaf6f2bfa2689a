#!/usr/bin/env bash
# Run every check that needs a GPU, in at most nine minutes:
#
#     benchmarks/gpu_check.sh
#
# 1. compare the GPU's training trajectory with the CPU's
# 2. run the test suite on CUDA, with a worker for each core
# 3. run the benchmark beside JAX and PyTorch
# 4. train many networks at once, beside JAX and PyTorch
# 5. run the probes of benchmarks/probes
# 6. run a short fit under compute-sanitizer's racecheck and memcheck
#
# Each part has a deadline, in seconds from the start; time that a part does not use is left for later parts. A part
# that fails or times out does not stop the others. The last lines are the verdict: a line for each part, and whether
# all passed. If a benchmark or a probe times out, the results so far are kept. Results are written to
# benchmarks/results, or to the folder in RESULTS, under the GPU's name.
#
# `benchmarks/gpu_check.sh cpu` rehearses the same parts on the CPU with small workloads and discards the results.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
device=${1:-cuda}
python=${PYTHON:-python3}
parts=() failed=0

case $device in
cuda)
    tests=(-k "cuda and not emulated" -o faulthandler_timeout=60 --maxfail 15 --tb short) # shows where a test hangs
    results=${RESULTS:-benchmarks/results} patience=1
    benchmark=(--gpu) sweep=(--gpu --sweep --quick --only cuda)
    probes=("$python" -m benchmarks.probes --output "$results")
    export GPUNN_NEEDS_CUDA=1 PATH=$PATH:/usr/local/cuda/bin
    ;;
cpu)
    tests=(tests/core/test_parity.py -k "cpu and softmax-cross") results=$(mktemp -d) patience=10
    benchmark=(--quick --nets 784-30 --only gpunn floor)
    sweep=(--sweep --quick --nets 784-30 --only gpunn.sweep)
    probes=("$python" -m pytest -q -p no:benchmark tests/benchmarks/test_probes.py)
    export OPENBLAS_NUM_THREADS=1 # on a busy machine, threads wait for each other
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
else
    echo "pytest-xdist is not installed: the tests run one after another, and may not end in time"
fi

judge() { # judge NAME VERDICT SECONDS: note what became of a part
    [ "$2" = passed ] || failed=$((failed + 1))
    parts+=("$(printf '%-32s %5s s  %s' "$1" "$3" "$2")")
}

part() { # part NAME DEADLINE COMMAND…
    local name=$1 start=$SECONDS limit=$(($2 * patience - SECONDS)) verdict=passed
    shift 2
    if [ "$limit" -le 0 ]; then
        judge "$name" "failed: no time was left" 0
        return
    fi
    printf '\n== %s (at most %s s)\n' "$name" "$limit"
    timeout --kill-after=5 "$limit" "$@"
    local status=$?
    if [ $status -eq 124 ] || [ $status -eq 137 ]; then
        verdict="failed: timed out after $limit s"
    elif [ $status -ne 0 ]; then
        verdict="failed: exit status $status"
    fi
    judge "$name" "$verdict" $((SECONDS - start))
}

sanitized() { # sanitized TOOL DEADLINE OPTION…: run a short fit under compute-sanitizer
    local tool=$1 deadline=$2
    shift 2
    if [ "$device" = cpu ]; then
        part "short fit, without $tool" "$deadline" "$python" -m benchmarks.gpu_check fit --device cpu
    elif command -v compute-sanitizer >/dev/null; then
        # timing algorithms takes too long here
        part "$tool" "$deadline" env GPUNN_ALGORITHMS=first compute-sanitizer --tool "$tool" --error-exitcode 9 "$@" \
            "$python" -m benchmarks.gpu_check fit --device "$device"
    else
        judge "$tool" "failed: compute-sanitizer is not installed" 0
    fi
}

if [ "$device" = cuda ]; then
    "$python" -c 'from gpunn.backends import explain_cuda; import sys; sys.exit(explain_cuda() or None)' || exit 1
fi
part "trajectories" 50 "$python" -m benchmarks.gpu_check compare --device "$device" --output "$results"
part "tests" 125 "$python" -m pytest -q "${tests[@]}"
part "benchmark" 370 "$python" -m benchmarks "${benchmark[@]}" --output "$results"
part "sweep" 430 "$python" -m benchmarks "${sweep[@]}" --output "$results"
part "probes" 475 "${probes[@]}"
# CUDA's own libraries probe for driver features that may be missing, and their kernels are not under test.
excluded=()
for name in gemm gemv splitK nvjet; do excluded+=(--kernel-name-exclude "kns=$name"); done
sanitized racecheck 505 --racecheck-detect-level error "${excluded[@]}"
sanitized memcheck 532 --report-api-errors no

printf '\n== verdict\n'
printf '%s\n' "${parts[@]}"
if [ "$failed" -gt 0 ]; then
    echo "FAILED: $failed of ${#parts[@]} parts, in $SECONDS s"
    exit 1
fi
echo "PASSED: all ${#parts[@]} parts, in $SECONDS s"
