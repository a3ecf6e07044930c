//! Lines over steps or places, as SVG.

use plotters::coord::Shift;
use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Error;
use super::plot::{Drawn, INK, PALETTE};

/// Some lines.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    /// Headline.
    pub title: String,
    /// What goes to the right.
    pub x: String,
    /// What goes up.
    pub y: String,
    /// Names of x = 0, 1, …; numbers where there are none.
    pub ticks: Vec<String>,
    /// Whether y is logarithmic.
    pub log: bool,
    /// A limit to draw across.
    pub limit: Option<f64>,
    /// An x to mark.
    pub mark: Option<f64>,
    /// Names and points. What is not finite, or not positive on a logarithmic axis, is left out.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

const SIZE: (u32, u32) = (560, 320);

/// Between the axis and the names under it.
const GAP: i32 = 8;

/// Height of each row with names of lines, where it begins, and about what a letter takes of it.
const LEGEND: u32 = 22;
const INDENT: i32 = 74;
const LETTER: i32 = 7;

impl Chart {
    /// The drawing.
    ///
    /// # Errors
    /// A fault of this crate.
    pub fn svg(&self) -> Result<String, Error> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|e| Error::Plot(e.to_string()))?;
        Ok(svg)
    }

    fn seen(&self, y: f64) -> bool {
        y.is_finite() && (!self.log || y > 0.0)
    }

    /// The least and the greatest y, a little apart.
    fn range(&self) -> (f64, f64) {
        let points = self.lines.iter().flat_map(|(_, line)| line.iter().map(|p| p.1)).chain(self.limit);
        let all = || points.clone().filter(|&y| self.seen(y));
        let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        match (low.is_finite(), self.log) {
            (false, _) => (0.1, 1.0),
            (true, true) => (low / 2.0, high * 2.0),
            (true, false) => (low - 0.05 * (high - low), high + 0.05 * (high - low).max(1e-9)),
        }
    }

    fn draw(&self, svg: &mut String) -> Drawn<()> {
        let wide = SIZE.0.max(90 + 26 * self.ticks.len() as u32);
        let places = self.places(wide as i32);
        let named = LEGEND * (1 + places.last().map_or(0, |&(_, row)| row as u32));
        let high = SIZE.1 - LEGEND + named + if self.ticks.is_empty() { 0 } else { 90 };
        let whole = SVGBackend::with_string(svg, (wide, high)).into_drawing_area();
        let (legend, area) = whole.split_vertically(named);
        self.legend(&legend, &places)?;
        let (low, high) = self.range();
        if self.log {
            self.on(&area, (low..high).log_scale())?;
        } else {
            self.on(&area, low..high)?;
        }
        whole.present().map_err(|_| DrawingAreaErrorKind::LayoutError)
    }

    /// Where a logarithmic axis has its ticks: 1, 2 and 5 of each power of ten.
    fn decades(&self) -> Vec<f64> {
        let (low, high) = self.range();
        let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let step = powers.clone().count() > 6;
        let of =
            |power: i32| [1.0, 2.0, 5.0].into_iter().take(if step { 1 } else { 3 }).map(move |x| x * 10f64.powi(power));
        powers.flat_map(of).filter(|y| (low..=high).contains(y)).collect()
    }

    fn on<'a, Y>(&self, area: &DrawingArea<SVGBackend<'a>, Shift>, range: Y) -> Drawn<()>
    where
        Y: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
        Y::CoordDescType: plotters::coord::ranged1d::ValueFormatter<f64>,
    {
        let layout = |_| DrawingAreaErrorKind::LayoutError;
        let most = self.lines.iter().flat_map(|l| l.1.iter().map(|p| p.0)).fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 14, &INK))
            .margin(10)
            .x_label_area_size(if self.ticks.is_empty() { 36 } else { 126 })
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..most, range)
            .map_err(layout)?;
        let label = |y: &f64| if self.log { String::new() } else { short(*y) };
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().x_desc(&self.x).y_desc(&self.y).axis_style(INK).light_line_style(TRANSPARENT);
        mesh.bold_line_style(INK.mix(0.2)).label_style(("sans-serif", 11, &INK)).y_label_formatter(&label);
        if !self.ticks.is_empty() {
            mesh.x_labels(0);
        }
        if self.log {
            mesh.disable_y_mesh().y_labels(0);
        }
        mesh.draw().map_err(layout)?;
        for y in if self.log { self.decades() } else { Vec::new() } {
            let (x, at) = chart.backend_coord(&(0.0, y));
            let style = ("sans-serif", 11, &INK).into_text_style(area).pos(Pos::new(HPos::Right, VPos::Center));
            let (left, top) = area.get_base_pixel();
            area.draw_text(&short(y), &style, (x - left - GAP, at - top)).map_err(layout)?;
            let line = PathElement::new(vec![(0.0, y), (most, y)], INK.mix(0.2));
            chart.draw_series(std::iter::once(line)).map_err(layout)?;
        }
        let (low, high) = self.range();
        let places: Vec<_> = (0..self.ticks.len()).map(|i| chart.backend_coord(&(i as f64, low))).collect();
        self.name(area, &places)?;
        let across = self.limit.map(|y| PathElement::new(vec![(0.0, y), (most, y)], RED.stroke_width(1)));
        let up = self.mark.map(|x| PathElement::new(vec![(x, low), (x, high)], RED.mix(0.6).stroke_width(1)));
        chart.draw_series(across.into_iter().chain(up)).map_err(layout)?;
        for (i, (_, line)) in self.lines.iter().enumerate() {
            let colour = PALETTE[i % PALETTE.len()];
            let points: Vec<_> = line.iter().copied().filter(|p| self.seen(p.1)).collect();
            // a line of one point is to be seen too
            let dots = points.iter().filter(|_| !self.ticks.is_empty() || points.len() == 1);
            chart.draw_series(dots.map(|p| Circle::new(*p, 3, colour.filled()))).map_err(layout)?;
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2))).map_err(layout)?;
        }
        Ok(())
    }

    /// Where the name of each line begins, and in which row, so that all are seen.
    fn places(&self, wide: i32) -> Vec<(i32, i32)> {
        let (mut x, mut row) = (INDENT, 0);
        let place = |(name, _): &(String, _)| {
            let width = 18 + LETTER * (name.chars().count() as i32 + 2);
            if x > INDENT && x + width > wide {
                (x, row) = (INDENT, row + 1);
            }
            x += width;
            (x - width, row)
        };
        self.lines.iter().map(place).collect()
    }

    /// The names of the lines, in their colours, above everything.
    fn legend(&self, area: &DrawingArea<SVGBackend<'_>, Shift>, places: &[(i32, i32)]) -> Drawn<()> {
        for ((i, (name, _)), (x, row)) in self.lines.iter().enumerate().zip(places) {
            let colour = PALETTE[i % PALETTE.len()];
            let top = row * LEGEND as i32;
            let dash = PathElement::new(vec![(*x, top + 12), (x + 14, top + 12)], colour.stroke_width(3));
            let style = ("sans-serif", 11, &INK).into_text_style(area);
            area.draw(&dash).map_err(|_| DrawingAreaErrorKind::LayoutError)?;
            area.draw_text(name, &style, (x + 18, top + 6)).map_err(|_| DrawingAreaErrorKind::LayoutError)?;
        }
        Ok(())
    }

    /// The names of places, downwards from the axis.
    fn name(&self, area: &DrawingArea<SVGBackend<'_>, Shift>, places: &[(i32, i32)]) -> Drawn<()> {
        let (left, top) = area.get_base_pixel();
        let upright = ("sans-serif", 11, &INK).into_text_style(area).transform(FontTransform::Rotate90);
        let upright = upright.pos(Pos::new(HPos::Left, VPos::Center));
        for (name, (x, y)) in self.ticks.iter().zip(places) {
            area.draw_text(name, &upright, (x - left, y - top + GAP)).map_err(|_| DrawingAreaErrorKind::LayoutError)?;
        }
        Ok(())
    }
}

/// Few digits.
fn short(y: f64) -> String {
    let size = y.abs();
    if size > 0.0 && !(1e-2..1e4).contains(&size) { format!("{y:.0e}") } else { format!("{}", (y * 1e3).round() / 1e3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_every_line_is_within_the_drawing() {
        let lines = (0..40).map(|i| (format!("bf16, range {i}"), vec![(0.0, 1.0)])).collect();
        let chart = Chart { lines, ..Chart::default() };
        let wide = SIZE.0 as i32;
        let places = chart.places(wide);
        let end = |(x, row): &(i32, i32), name: &str| (x + 18 + LETTER * name.len() as i32, *row);
        let ends: Vec<_> = places.iter().zip(&chart.lines).map(|(place, (name, _))| end(place, name)).collect();
        assert!(ends.iter().all(|&(x, _)| x <= wide), "{ends:?}");
        assert!(places.windows(2).zip(&ends).all(|(two, &(x, row))| two[1].1 > row || two[1].0 > x), "{places:?}");
        assert!(chart.svg().expect("a drawing").contains("bf16, range 39"));
        assert_eq!(Chart::default().places(wide), []);
    }
}
