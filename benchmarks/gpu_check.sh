#!/usr/bin/env bash
# All that only a machine with a GPU can show, in one command of at most eight minutes:
#
#     benchmarks/gpu_check.sh
#
# the GPU's trajectory beside the CPU's, the test suite on CUDA, the benchmark with its peers, and
# compute-sanitizer's racecheck and memcheck over a short fit. Each part has a second by which it must be over, so
# what one leaves of its time the later ones have; one that fails or runs out of time is said so at the end, and the
# others run all the same; of a benchmark that is stopped, what it had measured is kept. What was measured goes to
# benchmarks/results, or to the folder that RESULTS names, under the GPU's name. With `cpu` as its argument it goes
# through the same parts on the CPU, in small: a rehearsal, which writes to a folder that it throws away.
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

if [ "$device" = cuda ] && "$python" -c 'import xdist' 2>/dev/null; then
    tests+=(-n 4) # most of their time is the compiler's
fi

part() { # part NAME SECOND COMMAND…
    local name=$1 limit=$(($2 * patience - SECONDS))
    shift 2
    printf '\n== %s (at most %s s)\n' "$name" "$limit"
    timeout --kill-after=10 "$limit" "$@"
    local status=$?
    if [ $status -eq 124 ]; then
        failed+=("$name: no end within $limit s")
    elif [ $status -ne 0 ]; then
        failed+=("$name: exit $status")
    fi
}

sanitized() { # sanitized TOOL SECOND OPTION…: a short fit under compute-sanitizer
    local tool=$1 second=$2
    shift 2
    if [ "$device" = cpu ]; then
        part "$tool's fit, without it" "$second" "$python" -m benchmarks.gpu_check fit --device cpu
    elif command -v compute-sanitizer >/dev/null; then
        part "$tool" "$second" compute-sanitizer --tool "$tool" --error-exitcode 9 "$@" \
            "$python" -m benchmarks.gpu_check fit --device "$device"
    else
        failed+=("$tool: there is no compute-sanitizer on this machine")
    fi
}

if [ "$device" = cuda ]; then
    "$python" -c 'from gpunn.backends import explain_cuda; import sys; sys.exit(explain_cuda() or None)' || exit 1
fi
part "trajectories" 50 "$python" -m benchmarks.gpu_check compare --device "$device" --output "$results"
part "tests" 130 "$python" -m pytest -q "${tests[@]}"
part "benchmark" 360 "$python" -m benchmarks "${benchmark[@]}" --output "$results"
# CUDA's own libraries ask for what a driver may not have, and their kernels are not what is looked at
theirs=()
for name in gemm gemv splitK nvjet; do theirs+=(--kernel-name-exclude "kns=$name"); done
sanitized racecheck 410 --racecheck-detect-level error "${theirs[@]}"
sanitized memcheck 460 --report-api-errors no

printf '\n== after %s s\n' "$SECONDS"
if [ ${#failed[@]} -gt 0 ]; then
    printf '%s\n' "${failed[@]}"
    exit 1
fi
echo "all is well"
