#!/usr/bin/env bash
# Collects evidence on a machine with a GPU: every stage leaves its records in OUT as it goes, so whatever was interrupted
# keeps what it has. Then, anywhere: fla-conformance report OUT/own-*/records.jsonl --evidence reports/records/NAME.jsonl
#
#   reports/evidence.sh PROGRAM OUT own               our CUDA kernels: smoke, then full
#   reports/evidence.sh PROGRAM OUT fla FORM [SUITE [FILTER...]]
#                                                     fla's kernels of one form (chunk, parallel, decode, ...: the
#                                                     shim's --list); SHARDS (12) processes compile at the same time
#   reports/evidence.sh PROGRAM OUT bench [FILTER...] ours beside fla's forms (FORMS: chunk, fused_recurrent, fused and
#                                                     module), autotuned, and jla where it is installed; nothing else
#                                                     should run. SHAPES (headline) are groups of shapes
#   reports/evidence.sh PROGRAM OUT shapes [FILTER...]
#                                                     ours alone at all standard shapes
#
# fla's stages need python3 with flash-linear-attention 0.6.0, torch and triton, and conformance/python on PYTHONPATH.
# LIMIT (seconds, 3600) ends a stage.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,17s/^# \{0,1\}//p' "$0"; exit 2; }
program=$1 out=$2 stage=$3 limit=${LIMIT:-3600} shim='python3 -m fla_conformance.shims.fla'
mkdir -p "$out"
oracle="--oracle-cache $out/oracle" # what one stage has computed the next need not
# 1 is a verdict, not a failure of the stage; 124 is the limit
judged() { local status=0; timeout "$limit" "$@" || status=$?; [ "$status" -le 1 ] || { echo "stopped with status $status: $*" >&2; }; }
case $stage in
own)
  for suite in smoke full; do
    judged "$program" run --candidate cuda --suite "$suite" $oracle --out "$out/own-$suite" >"$out/own-$suite.log" 2>&1
    tail -n 1 "$out/own-$suite.log"
  done ;;
fla)
  form=$4 suite=${5:-smoke} shards=${SHARDS:-12}
  for i in $(seq "$shards"); do
    name="$out/fla-$form-$suite-$i"
    # f32 products in f32: what fla does without being asked is a finding of its own
    TRITON_F32_DEFAULT=ieee RAYON_NUM_THREADS=2 judged "$program" run --candidate "$shim --first-config --form $form" \
      --suite "$suite" "${@:6}" --shard "$i/$shards" --jobs 2 --timeout 600 $oracle --out "$name" >"$name.log" 2>&1 &
  done
  wait
  tail -qn 1 "$out"/fla-"$form-$suite"-*.log ;;
bench)
  peers=()
  for form in ${FORMS:-chunk fused_recurrent fused module}; do peers+=(--against "$shim --form $form"); done
  ! python3 -c 'import jla' 2>/dev/null || peers+=(--against 'python3 -m fla_conformance.shims.jla')
  judged "$program" bench --candidate cuda "${peers[@]}" --shapes "${SHAPES:-headline}" \
    --timeout 900 --iterations 40 --out "$out/bench" "${@:4}" 2>&1 | tee "$out/bench.log" ;;
shapes)
  judged "$program" bench --candidate cuda --shapes all --iterations 10 --seconds 0.5 --out "$out/shapes" "${@:4}" 2>&1 |
    tee "$out/shapes.log" ;;
*) echo "no stage $stage: own, fla, bench or shapes" >&2; exit 2 ;;
esac
