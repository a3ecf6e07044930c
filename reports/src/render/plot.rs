//! The accuracy plot: how close each case came to its bound.

use std::collections::BTreeMap;

use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Error;
use crate::record::Run;
use crate::verdict::{Fault, Measure, Verdict};

/// Dots drawn for each op and type: the worst, and a thinned rest.
const DOTS: usize = 240;

/// Colours that stay apart for colour-blind readers and on light and dark grounds.
pub(super) const PALETTE: [RGBColor; 8] = [
    RGBColor(0x33, 0x77, 0xcc),
    RGBColor(0xd5, 0x7a, 0x1a),
    RGBColor(0x2a, 0x9d, 0x6f),
    RGBColor(0xb0, 0x4a, 0x9c),
    RGBColor(0x88, 0x88, 0x88),
    RGBColor(0x5b, 0xb5, 0xd6),
    RGBColor(0x8a, 0x6d, 0x3b),
    RGBColor(0xc9, 0x50, 0x5f),
];

/// Axes and text; a style sheet gives them the page's own colour.
pub(super) const INK: RGBColor = RGBColor(0x80, 0x80, 0x80);

/// What drawing into memory comes to.
pub(super) type Drawn<T> = Result<T, DrawingAreaErrorKind<std::convert::Infallible>>;

/// Error over bound of every measured case, by op and storage type, as an SVG; `None` when nothing was measured.
pub(super) fn accuracy(runs: &[Run]) -> Result<Option<String>, Error> {
    let mut groups: BTreeMap<String, Vec<(usize, f64)>> = BTreeMap::new();
    for (number, run) in runs.iter().enumerate() {
        for judged in &run.judged {
            let worst = measures(&judged.verdict).iter().map(|m| m.error / m.bound).fold(f64::NAN, f64::max);
            if worst > 0.0 && worst.is_finite() {
                let name = format!("{} {}", judged.op, dtype(&judged.case));
                groups.entry(name).or_default().push((number, worst.clamp(1e-3, 1e3)));
            }
        }
    }
    if groups.is_empty() {
        return Ok(None);
    }
    let mut svg = String::new();
    draw(&groups, &mut svg).map_err(|e| Error::Plot(e.to_string()))?;
    Ok(Some(svg))
}

fn measures(verdict: &Verdict) -> &[Measure] {
    match verdict {
        Verdict::Pass { measures } => measures,
        Verdict::Fail { fault: Fault::Inaccurate { worst, .. }, .. } => std::slice::from_ref(worst),
        _ => &[],
    }
}

fn dtype(case: &str) -> &str {
    case.split("dtype=").nth(1).and_then(|rest| rest.split([',', ')']).next()).unwrap_or("")
}

fn draw(groups: &BTreeMap<String, Vec<(usize, f64)>>, svg: &mut String) -> Drawn<()> {
    let names: Vec<&String> = groups.keys().collect();
    let width = 120 + 90 * names.len() as u32;
    let layout = |_| DrawingAreaErrorKind::LayoutError;
    let area = SVGBackend::with_string(svg, (width, 340)).into_drawing_area();
    let most = names.len() as f64;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..most, (1e-3..1e3).log_scale())
        .map_err(layout)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_desc("error ÷ bound")
        .axis_style(INK)
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.2))
        .label_style(("sans-serif", 12, &INK))
        .y_label_formatter(&|y| format!("{y}"))
        .draw()
        .map_err(layout)?;
    for (i, group) in groups.values().enumerate() {
        chart.draw_series(dots(i, group)).map_err(layout)?;
    }
    chart.draw_series(LineSeries::new([(0.0, 1.0), (most, 1.0)], RED.stroke_width(1))).map_err(layout)?;
    for (i, name) in names.iter().enumerate() {
        let (op, kind) = name.rsplit_once(' ').unwrap_or((name, ""));
        let x = 76 + ((width - 88) as f64 * (i as f64 + 0.5) / most) as i32;
        for (line, text) in [op, kind].into_iter().enumerate() {
            let style = ("sans-serif", 11).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Top));
            area.draw_text(text, &style, (x, 290 + 14 * line as i32)).map_err(layout)?;
        }
    }
    area.present().map_err(layout)
}

/// The i-th group's errors, spread out to be told apart.
fn dots(i: usize, group: &[(usize, f64)]) -> Vec<Circle<(f64, f64), i32>> {
    let mut dots = group.to_vec();
    dots.sort_by(|a, b| b.1.total_cmp(&a.1));
    let step = dots.len().div_ceil(DOTS).max(1);
    let kept = dots.iter().enumerate().filter(|(k, _)| *k < DOTS / 4 || k % step == 0);
    let dot = |(k, &(run, y)): (usize, &(usize, f64))| {
        let spread = ((k as f64 * 0.618_034).fract() - 0.5) * 0.6;
        Circle::new((i as f64 + 0.5 + spread, y), 2, PALETTE[run % PALETTE.len()].mix(0.7).filled())
    };
    kept.map(dot).collect()
}
