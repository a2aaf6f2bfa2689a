#!/usr/bin/env bash
# Run the records of fully connected networks on MNIST, on a GPU:
#
#     benchmarks/records.sh
#
# 1. the committee of 25 networks and the deep network, with their searches: planned for at most eight minutes on an H200
# 2. the time to 98 % and to 99 % of the test images, beside JAX and PyTorch: about two minutes
#
# Results are written to benchmarks/results, or to the folder in RESULTS. If the first part is cut off, it goes on where it
# ended when the script runs again.
#
# `benchmarks/records.sh cpu` rehearses both parts on the CPU with small networks and discards the results.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
python=${PYTHON:-python3} results=${RESULTS:-benchmarks/results} failed=0

case ${1:-cuda} in
cuda)
    "$python" -c 'from gpunn.backends import explain_cuda; import sys; sys.exit(explain_cuda() or None)' || exit 1
    "$python" -m benchmarks.reproductions --full committee-25 ciresan --output "$results" || failed=1
    "$python" -m benchmarks --gpu --targets --output "$results" || failed=1
    ;;
cpu)
    tests=(tests/benchmarks/test_records.py tests/benchmarks/test_targets.py)
    "$python" -m pytest -q -p no:benchmark "${tests[@]}" -k "not gpu" || failed=1
    ;;
*)
    echo "usage: $0 [cuda|cpu]" >&2
    exit 2
    ;;
esac
exit $failed
