//! Looks at the device while candidates are timed: clocks, temperature, power, what holds the clocks back.
//!
//! A child process of the driver's own tool looks every tenth of a second; nothing runs on the device for it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use reports::record::DeviceState;

const FIELDS: &str = "clocks.sm,clocks.mem,temperature.gpu,power.draw,clocks_event_reasons.active";

/// Milliseconds between two looks.
const INTERVAL: &str = "100";

/// Bits of `clocks_event_reasons.active`, in NVML's order.
const REASONS: [&str; 9] = [
    "gpu_idle",
    "applications_clocks_setting",
    "sw_power_cap",
    "hw_slowdown",
    "sync_boost",
    "sw_thermal_slowdown",
    "hw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "display_clock_setting",
];

/// One look: four readings, and the mask of reasons.
type Look = ([Option<f64>; 4], Option<u64>);

/// Somebody who looks, or why nobody does.
#[derive(Debug)]
pub(super) struct Watch {
    child: Option<Child>,
    looks: Arc<Mutex<Vec<String>>>,
    unseen: Option<String>,
}

impl Watch {
    /// Starts to look, when there is a GPU to look at.
    pub(super) fn start(gpu: bool) -> Self {
        let looks = Arc::default();
        if !gpu {
            return Self { child: None, looks, unseen: Some("not looked at: no candidate is on a GPU".into()) };
        }
        // the driver's tool counts devices as the machine does, not as CUDA_VISIBLE_DEVICES renumbers them
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
        let device = visible.split(',').next().filter(|d| !d.is_empty()).unwrap_or("0").to_owned();
        let arguments = ["-i", &device, "--format=csv,noheader,nounits", "-lms", INTERVAL];
        let mut command = Command::new("nvidia-smi");
        command.arg(format!("--query-gpu={FIELDS}")).args(arguments);
        Self::look(command, looks)
    }

    fn look(mut command: Command, looks: Arc<Mutex<Vec<String>>>) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(e) => return Self { child: None, looks, unseen: Some(format!("{program} does not start: {e}")) },
        };
        let unseen = Some(format!("{program} printed nothing while this was timed"));
        if let Some(stdout) = child.stdout.take() {
            let shared = Arc::clone(&looks);
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    shared.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            });
        }
        Self { child: Some(child), looks, unseen }
    }

    /// What was seen since the last time this was asked, as lines.
    pub(super) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.looks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What these lines say in all.
    pub(super) fn state(&self, lines: &[String]) -> DeviceState {
        let looks: Vec<Look> = lines.iter().filter_map(|line| parse(line)).collect();
        if looks.is_empty() {
            let said = lines.first().map(|line| format!("nvidia-smi says {line:?}"));
            return DeviceState { unseen: said.or_else(|| self.unseen.clone()), ..DeviceState::default() };
        }
        let range = |which: usize| range(looks.iter().filter_map(|look| look.0[which]).collect());
        let mask = looks.iter().filter_map(|look| look.1).reduce(|a, b| a | b);
        let set = |bit: usize| mask.is_some_and(|mask| mask & (1 << bit) != 0);
        let names = ["SM clock", "memory clock", "temperature", "power"];
        let readings = [0, 1, 2, 3].map(range);
        let mut missing: Vec<&str> =
            names.iter().zip(&readings).filter(|(_, r)| r.is_none()).map(|(name, _)| *name).collect();
        missing.extend(mask.is_none().then_some("throttle reasons"));
        let [sm_mhz, memory_mhz, celsius, watts] = readings;
        DeviceState {
            samples: looks.len(),
            sm_mhz,
            memory_mhz,
            celsius,
            watts,
            throttled: (1..REASONS.len()).filter(|&bit| set(bit)).map(|bit| REASONS[bit].to_owned()).collect(),
            unseen: (!missing.is_empty()).then(|| format!("nvidia-smi does not say: {}", missing.join(", "))),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

/// One line of the tool; `None` when it is something else.
fn parse(line: &str) -> Option<Look> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    let [sm, memory, celsius, watts, reasons] = cells[..] else { return None };
    let readings = [sm, memory, celsius, watts].map(|cell| cell.parse::<f64>().ok());
    let mask = reasons.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    (mask.is_some() || readings.iter().any(Option::is_some)).then_some((readings, mask))
}

/// Least, median and greatest.
fn range(mut values: Vec<f64>) -> Option<[f64; 3]> {
    values.sort_by(f64::total_cmp);
    Some([*values.first()?, super::median(&values)?, *values.last()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Watch {
        Watch::look(Command::new("/nonexistent/tool"), Arc::default())
    }

    #[test]
    fn looks_are_summed_up() {
        let lines = ["1980, 2619, 41, 402.10, 0x0000000000000000", "1755, 2619, 47, 699.80, 0x0000000000000004"];
        let state = nobody().state(&lines.map(str::to_owned));
        assert_eq!((state.samples, state.sm_mhz), (2, Some([1755.0, 1867.5, 1980.0])));
        assert_eq!((state.celsius, state.throttled), (Some([41.0, 44.0, 47.0]), vec!["sw_power_cap".to_owned()]));
        assert_eq!(state.unseen, None);
    }

    #[test]
    fn what_cannot_be_seen_is_said() {
        let state = nobody().state(&["1980, [N/A], 41, [N/A], [N/A]".to_owned()]);
        assert_eq!((state.sm_mhz, state.watts), (Some([1980.0; 3]), None));
        assert_eq!(state.unseen.as_deref(), Some("nvidia-smi does not say: memory clock, power, throttle reasons"));
        assert!(nobody().state(&[]).unseen.is_some_and(|why| why.contains("does not start")));
        let words = nobody().state(&["Field \"x\" is not a valid field to query.".to_owned()]);
        assert!(words.unseen.is_some_and(|why| why.contains("not a valid field")));
        assert!(Watch::start(false).state(&[]).unseen.is_some());
    }

    #[test]
    fn lines_of_the_tool_arrive() {
        let mut tool = Command::new("sh");
        tool.args(["-c", "while echo '1980, 2619, 41, 402.10, 0x0'; do sleep 0.01; done"]);
        let watch = Watch::look(tool, Arc::default());
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut lines = watch.seen();
        while lines.is_empty() && std::time::Instant::now() < until {
            thread::sleep(std::time::Duration::from_millis(5));
            lines = watch.seen();
        }
        assert!(watch.state(&lines).samples > 0);
    }
}
