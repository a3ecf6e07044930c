#!/usr/bin/env bash
# Six planted faults in a Python candidate must each be found, with a reproducer; the same candidate without a fault
# must pass. usage: faults.sh PYTHON FLA_CONFORMANCE
set -euo pipefail
python=$1 judge=$2 out=target/ci/faults
candidate() { echo "$python conformance/python/faults.py --fault $1"; }

"$judge" run --candidate "$(candidate none)" --suite smoke --out "$out/none" gated_delta_rule
for fault in no_decay no_delta beta_0999 h0_ignored last_chunk dg_1pct; do
  status=0 log="$out-$fault.log"
  "$judge" run --candidate "$(candidate "$fault")" --suite smoke --out "$out/$fault" gated_delta_rule >"$log" 2>&1 ||
    status=$?
  [ "$status" = 1 ] || { echo "fault $fault: exit status $status instead of 1"; tail "$log"; exit 1; }
  grep -q 'fla-conformance replay' "$log" || { echo "fault $fault: no reproducer"; exit 1; }
  echo "found $fault: $(tail -n 1 "$log")"
done
