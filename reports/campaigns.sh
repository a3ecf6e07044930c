#!/usr/bin/env bash
# The campaigns of the zoo on a machine with many cores, all at once: every planted fault put to the full suite, and
# right answers judged; with 96 GiB of memory, what is left is put to rows beyond 2^31 elements. Needs PROGRAM and a
# C++ compiler, for the Python candidate also python3 with numpy and conformance/python on PYTHONPATH.
#
#   reports/campaigns.sh PROGRAM OUT [RUNS]
#
# Each verdict is written as it comes, and what OUT has is not asked again: call it again after LIMIT (seconds, 3600)
# has ended it, until no part says 124; then all faults have been put to all cases. In all it takes some 14 hours
# of a core. Begin with an empty OUT where the judge has changed: records know kernels only. RUNS (800) are right
# answers of the kernels, beside which the oracle draws some four times as many; CORES (all) those that are used. Then
# copy OUT/zoo-*.jsonl to reports/records and make the tables:
#   fla-conformance zoo table --write README.md && fla-conformance zoo table --write reports/ZOO.md
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 2; }
program=$1 out=$2 runs=${3:-800} limit=${LIMIT:-3600} cores=${CORES:-$(nproc)}
mkdir -p "$out"
export RAYON_NUM_THREADS=1
# a part of the cores in sixteenths; 1 says that faults are alive, 124 that the limit was reached
part() {
  local name=$1 sixteenths=$2 status=0
  timeout "$limit" "$program" zoo "${@:3}" --resume --jobs $(((cores * sixteenths + 15) / 16)) \
    --out "$out/zoo-$name.jsonl" >"$out/zoo-$name.log" 2>&1 || status=$?
  echo "zoo-$name: status $status after $SECONDS s: $(tail -n 1 "$out/zoo-$name.log")"
}
part delta 4 hunt delta --suite full &
part chunk 2 hunt chunk --suite full &
part scan 1 hunt scan --suite full &
part null 1 hunt null &
part delta-alarms 3 alarms delta --runs "$runs" &
part chunk-alarms 2 alarms chunk --runs "$runs" &
part scan-alarms 3 alarms scan --runs "$runs" &
if python3 -c 'import numpy, fla_conformance' 2>/dev/null; then part template 2 hunt template --timeout 60 & fi
wait
# what full leaves, to rows beyond 2^31 elements: one fault at a time, each of which takes some 50 GiB
if [ "$(awk '/MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)" -ge 96 ]; then
  export RAYON_NUM_THREADS=$cores
  for skeleton in delta chunk scan; do
    timeout "$limit" "$program" zoo hunt "$skeleton" --suite soak --resume --jobs 1 --timeout 400 \
      --case '*(B=3,*seed=160)' --case '*(B=3,*seed=161)' --out "$out/zoo-$skeleton.jsonl" \
      >"$out/zoo-$skeleton-soak.log" 2>&1 || true
    echo "zoo-$skeleton, soak: after $SECONDS s: $(tail -n 1 "$out/zoo-$skeleton-soak.log")"
  done
fi
