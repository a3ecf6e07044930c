#!/usr/bin/env bash
# Six planted faults in a Python candidate must each be found, with a reproducer; the same candidate without a fault
# must pass. usage: faults.sh PYTHON FLA_CONFORMANCE
set -euo pipefail
python=$1 judge=$2 out=target/ci/faults
rm -rf "$out"

candidate() { echo "$python conformance/python/faults.py --fault $1"; }
# the same cases each time: what the oracle says of them is kept
judged() {
  "$judge" run --candidate "$(candidate "$1")" --suite smoke --oracle-cache "$out/oracle" --out "$out/$1" \
    gated_delta_rule
}

judged none
for fault in no_decay no_delta beta_0999 h0_ignored last_chunk dg_1pct; do
  status=0 log="$out-$fault.log"
  judged "$fault" >"$log" 2>&1 || status=$?
  [ "$status" = 1 ] || { echo "fault $fault: exit status $status instead of 1"; tail "$log"; exit 1; }
  grep -q 'fla-conformance replay' "$log" || { echo "fault $fault: no reproducer"; exit 1; }
  echo "found $fault: $(tail -n 1 "$log")"
done
