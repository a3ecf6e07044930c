//! Curves of error against length, as text and as a page.

use reports::record::{Environment, Identity};
use reports::render::curves::Chart;
use reports::render::sheet::{Row, Section, Sheet};

use super::Curve;
use crate::sheet::digits;

fn power(exponent: Option<f64>) -> String {
    exponent.map_or_else(|| "–".to_owned(), |x| format!("{x:.2}"))
}

fn last(curve: &[(f64, f64)]) -> String {
    curve.last().map_or_else(|| "–".to_owned(), |p| digits(p.1))
}

/// One curve in a line.
pub(super) fn line(c: &Curve) -> String {
    let verdict = c.wrong.as_deref().unwrap_or("explained by rounding");
    let [own, ladder] = c.exponents.map(power);
    format!(
        "{} {}: {} at last, as T^{own}; rounding {}, T^{ladder}: {verdict}",
        c.case,
        c.port,
        last(&c.error),
        last(&c.ladder)
    )
}

const HEAD: [&str; 7] = ["case", "port", "error at last", "exponent", "rounding at last", "its exponent", "verdict"];

fn row(c: &Curve) -> Row {
    let [own, ladder] = c.exponents.map(power);
    let verdict = c.wrong.clone().unwrap_or_else(|| "explained".into());
    let cells = vec![c.case.clone(), c.port.clone(), last(&c.error), own, last(&c.ladder), ladder, verdict];
    Row { cells, class: if c.wrong.is_none() { "pass" } else { "fail" } }
}

/// For a browser.
pub(super) fn page(curves: &[Curve], who: &Identity, environment: &Environment) -> Sheet {
    let mut facts = vec![
        ("candidate".to_owned(), format!("{} {} on {}", who.name, who.version, who.device)),
        ("command".to_owned(), environment.command.clone()),
        ("date".to_owned(), environment.date.clone()),
    ];
    facts.extend(environment.machine.iter().map(|(name, fact)| (name.clone(), fact.clone())));
    let chart = |c: &Curve| {
        let points = |curve: &[(f64, f64)]| curve.iter().map(|&(t, e)| (t.log2(), e)).collect::<Vec<_>>();
        let lines = vec![("candidate".to_owned(), points(&c.error)), ("rounding".to_owned(), points(&c.ladder))];
        let (title, x) = (format!("{} of {}", c.port, c.case), "log2 of the tokens".to_owned());
        Chart {
            title: title.chars().take(60).collect(),
            x,
            y: "relative error".into(),
            log: true,
            lines,
            ..Chart::default()
        }
    };
    let section = Section {
        heading: "Error against length".into(),
        note:
            "Root mean square error relative to the truth: of outputs over the second half of each length, of states \
               at its end, of gradients as a whole. Rounding is what runs of the oracle show that round as the storage \
               type declares, or as plain f32 code does. A curve is wrong when at last it is far above that of \
               rounding, or above it and steeper, or grown more, than that explains."
                .into(),
        head: HEAD.map(str::to_owned).to_vec(),
        rows: curves.iter().map(row).collect(),
        charts: curves.iter().map(chart).collect(),
    };
    let bad = curves.iter().filter(|c| c.wrong.is_some()).count();
    let verdict = format!("{} of {} curves grow faster than rounding explains", bad, curves.len());
    Sheet { title: "Error against length".into(), verdict, good: bad == 0, facts, sections: vec![section] }
}
