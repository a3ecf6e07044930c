#!/usr/bin/env python3
"""What the hardware counts while our kernels run: the counters behind optimized/NOTES.md.

  python3 reports/counters.py measure PROGRAM OUT.jsonl [OP...]   on a machine with a GPU and Nsight Compute (ncu)
  python3 reports/counters.py table [RECORD.jsonl...] > reports/COUNTERS.md
  python3 reports/counters.py check                               does reports/COUNTERS.md show the records? (CI)

`measure` profiles both passes of the headline case of each op and keeps, of each kernel, its longest launch. ncu
empties the caches before every launch and leaves the clocks alone.
"""
import csv, datetime, io, json, pathlib, subprocess, sys

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "COUNTERS.md"
OPS = ("simple_gla retention lightning_attn linear_attn gla delta_rule gated_delta_rule kda hgrn short_convolution "
       "l2_norm rms_norm rms_norm_gated kda_gate").split()
# heading: metric, and the factor from the unit that ncu gives
METRICS = {
    "ms": ("gpu__time_duration.sum", 1e-6),
    "GB read": ("dram__bytes_read.sum", 1e-9),
    "GB written": ("dram__bytes_write.sum", 1e-9),
    "DRAM %": ("dram__throughput.avg.pct_of_peak_sustained_elapsed", 1),
    "tensor %": ("sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active", 1),
    "issue %": ("smsp__issue_active.avg.pct_of_peak_sustained_active", 1),
    "multiprocessors busy %": ("sm__cycles_active.avg.pct_of_peak_sustained_elapsed", 1),
    "warps": ("sm__warps_active.avg.per_cycle_active", 1),
    "blocks": ("launch__grid_size", 1),
    "registers": ("launch__registers_per_thread", 1),
    "waits: memory": ("smsp__average_warps_issue_stalled_long_scoreboard_per_issue_active.ratio", 1),
    "shared memory": ("smsp__average_warps_issue_stalled_short_scoreboard_per_issue_active.ratio", 1),
    "barrier": ("smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio", 1),
    "arithmetic": ("smsp__average_warps_issue_stalled_wait_per_issue_active.ratio", 1),
    "tensor queue": ("smsp__average_warps_issue_stalled_math_pipe_throttle_per_issue_active.ratio", 1),
    "shared queue": ("smsp__average_warps_issue_stalled_mio_throttle_per_issue_active.ratio", 1),
    "instructions": ("smsp__average_warps_issue_stalled_no_instruction_per_issue_active.ratio", 1),
}


def known():
    """The metrics that this ncu has for the device."""
    asked = ["ncu", "--query-metrics", "--query-metrics-mode", "all"]
    text = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    names = {line.split()[0].split(".")[0] for line in text.splitlines() if line.strip()}
    wanted = {heading: metric for heading, (metric, _) in METRICS.items()}
    return {h: m for h, m in wanted.items() if m.startswith("launch__") or not names or m.split(".")[0] in names}


def profile(program, op, metrics):
    """One row for each kernel of an op: its longest launch."""
    command = [
        "ncu", "--csv", "--target-processes", "all", "--clock-control", "none", "--print-units", "base",
        "--metrics", ",".join(metrics.values()), program, "bench", "--candidate", "cuda", "--iterations", "1",
        "--out", "/tmp/counters", f"{op}(*profile=typical,seed=0)",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), None)
    if start is None:
        sys.exit(f"ncu left no table for {op}, status {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    launches = {}
    for row in csv.DictReader(io.StringIO("\n".join(lines[start:]))):
        if row.get("Metric Name"):
            launch = launches.setdefault((row["Process ID"], row["ID"]), {"kernel": row["Kernel Name"]})
            launch[row["Metric Name"]] = float(row["Metric Value"].replace(",", ""))
    longest = {}
    for launch in launches.values():
        time = launch.get(metrics["ms"], 0.0)
        if time > longest.get(launch["kernel"], {}).get(metrics["ms"], -1.0):
            longest[launch["kernel"]] = launch
    return longest.values()


def measure(program, out, ops):
    """Writes a header line, then a line for each kernel."""
    metrics = known()
    smi = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", "--id=0"]
    device = subprocess.run(smi, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0]
    said = subprocess.run(["ncu", "--version"], capture_output=True, text=True, check=True).stdout
    version = said.strip().splitlines()[-1]
    with open(out, "w", encoding="utf-8") as file:
        head = {"kind": "counters", "device": device, "ncu": version, "date": datetime.date.today().isoformat()}
        print(json.dumps(head), file=file, flush=True)
        for op in ops or OPS:
            launches = profile(program, op, metrics)
            lines = pathlib.Path("/tmp/counters/records.jsonl").read_text(encoding="utf-8").splitlines()
            records = [json.loads(line) for line in lines]
            kernels = next(run["candidate"]["kernels"][op] for run in records if run["kind"] == "run")
            # those of the headline case; the small one that is judged first may have others
            ran = " ".join(timed.get("ran", "") for timed in records if timed["kind"] == "timed")
            for launch in (launch for launch in launches if launch["kernel"] in ran):
                values = {h: launch[m] for h, m in metrics.items() if m in launch}
                row = {"kind": "kernel", "op": op, "kernels": kernels, "kernel": launch["kernel"], "values": values}
                print(json.dumps(row), file=file, flush=True)
            print(op, file=sys.stderr, flush=True)


def number(value):
    """Three digits that say something."""
    return "–" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(records):
    """The Markdown file of these records."""
    text = __doc__.splitlines()[0] + "\n\nWritten by `reports/counters.py table`; "
    text += "`reports/counters.py` says how it was measured. The last columns are the warps that wait for one that "
    text += "issues, by what they wait for.\n"
    for record in records:
        lines = [json.loads(line) for line in pathlib.Path(record).read_text(encoding="utf-8").splitlines()]
        rows = [line for line in lines if line["kind"] == "kernel"]
        headings = [h for h in METRICS if any(h in row["values"] for row in rows)]
        head = lines[0]
        text += f"\n## {head['device']}, {head['date']}, {head['ncu']}\n\n| op | kernel | {' | '.join(headings)} |\n"
        text += "|---" * (len(headings) + 2) + "|\n"
        for row in rows:
            values = [row["values"].get(h) for h in headings]
            cells = [number(v and v * METRICS[h][1]) for h, v in zip(headings, values)]
            text += f"| `{row['op']}` | `{row['kernel']}` | {' | '.join(cells)} |\n"
    return text


def main(arguments):
    """Exit codes: 0, 1 when the table is not the records', 2 for bad usage."""
    match arguments:
        case ["measure", program, out, *ops]:
            measure(program, out, ops)
        case ["table", *records] if records or list(HERE.glob("counters/*.jsonl")):
            sys.stdout.write(table(records or sorted(HERE.glob("counters/*.jsonl"))))
        case ["check"]:
            if TABLE.read_text(encoding="utf-8") != table(sorted(HERE.glob("counters/*.jsonl"))):
                mend = "python3 reports/counters.py table > reports/COUNTERS.md"
                sys.exit(f"reports/COUNTERS.md does not show the records: {mend}")
        case _:
            print(__doc__, file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
