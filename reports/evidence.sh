#!/usr/bin/env bash
# Collects evidence on a machine with a GPU: every stage leaves its records in OUT as it goes, so whatever was
# interrupted keeps what it has. Then, anywhere:
#   fla-conformance report OUT/own-*/records.jsonl --evidence reports/records/NAME.jsonl
#
#   reports/evidence.sh PROGRAM OUT own               our CUDA kernels: smoke, then full
#   reports/evidence.sh PROGRAM OUT fla FORM [SUITE [FILTER...]]
#                                                     fla's kernels of one form (chunk, parallel, decode, ...: the
#                                                     shim's --list); SHARDS (12) processes compile at the same time
#   reports/evidence.sh PROGRAM OUT bench [OP...]     ours beside fla's forms, autotuned, and beside jla and
#                                                     cudnn-frontend where they are installed. First all of it is
#                                                     compiled, SHARDS (12) ops at the same time; then each op is
#                                                     timed, one on a GPU at a time. Nothing else should run. SHAPES
#                                                     (headline) are groups of shapes, GPUS (all) how many to use
#   reports/evidence.sh PROGRAM OUT shapes [FILTER...]
#                                                     ours alone at all standard shapes
#
# fla's stages need python3 with flash-linear-attention 0.6.0, torch and triton, and conformance/python on PYTHONPATH.
# LIMIT (seconds, 3600) ends a stage.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 2; }
program=$1 out=$2 stage=$3 limit=${LIMIT:-3600} shim='python3 -m fla_conformance.shims.fla'
mkdir -p "$out"
oracle="--oracle-cache $out/oracle" # what one stage has computed the next need not
# 1 is a verdict, not a failure of the stage; 124 is the limit
judged() {
  local status=0
  timeout "$limit" "$@" || status=$?
  [ "$status" -le 1 ] || echo "stopped with status $status: $*" >&2
}
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
  ops=("${@:4}") gpus=${GPUS:-$(nvidia-smi -L | wc -l)}
  [ ${#ops[@]} -gt 0 ] || ops=(kda gla gated_delta_rule delta_rule simple_gla normalized_linear_attn hgrn retention
    lightning_attn linear_attn short_convolution rms_norm rms_norm_gated l2_norm kda_gate gdn_gate beta_sigmoid)
  forms() {
    case $1 in
    hgrn) echo chunk fused_recurrent ;;
    *_gate | beta_sigmoid) echo fused ;;
    *_norm | *_norm_gated | short_convolution) echo module ;;
    *) echo chunk ;;
    esac
  }
  has() { python3 -c "import $1" 2>/dev/null; }
  timed() { # FOLDER OP OPTION...
    judged "$program" bench --shapes "${SHAPES:-headline}" --timeout 900 --out "$out/$1" "${@:3}" "$2(" \
      >"$out/$1.log" 2>&1
  }
  compiled() { # GPU OP: no choice is kept that was made while others ran
    for form in $(forms "$2"); do
      CUDA_VISIBLE_DEVICES=$1 FLA_CACHE_RESULTS=0 timed "warm-$2-$form" "$2" --candidate "$shim --form $form" \
        --iterations 1 --seconds 0
    done
  }
  against() { # GPU OP
    local peers=()
    for form in $(forms "$2"); do peers+=(--against "$shim --form $form"); done
    ! has jla || peers+=(--against 'python3 -m fla_conformance.shims.jla')
    ! [ "$2" = kda ] || ! has cudnn || peers+=(--against 'python3 -m fla_conformance.shims.cudnn_frontend')
    CUDA_VISIBLE_DEVICES=$1 timed "bench-$2" "$2" --candidate cuda "${peers[@]}" --iterations 40
    tail -n 3 "$out/bench-$2.log"
  }
  XDG_CACHE_HOME=$(realpath "$out")/cache # empty, so that a first call is one
  export XDG_CACHE_HOME
  for i in "${!ops[@]}"; do
    [ "$(jobs -rp | wc -l)" -lt "${SHARDS:-12}" ] || wait -n
    compiled $((i % gpus)) "${ops[$i]}" &
  done
  wait
  for gpu in $(seq 0 $((gpus - 1))); do
    for ((i = gpu; i < ${#ops[@]}; i += gpus)); do against "$gpu" "${ops[$i]}"; done &
  done
  wait ;;
shapes)
  judged "$program" bench --candidate cuda --shapes all --iterations 10 --seconds 0.5 --out "$out/shapes" "${@:4}" \
    2>&1 | tee "$out/shapes.log" ;;
*) echo "no stage $stage: own, fla, bench or shapes" >&2; exit 2 ;;
esac
