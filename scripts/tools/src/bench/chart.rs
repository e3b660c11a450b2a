//! A line chart as SVG, of one or more panels side by side.

use std::fmt::Write;

/// One line of a panel: its name, and its points by place on the axis and height.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points: the label on the horizontal axis, and the value.
    pub points: Vec<(u64, u64)>,
}

/// A panel: the same horizontal axis for all of its lines.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What the horizontal axis counts.
    pub axis: String,
    /// The places on it, at equal distances.
    pub places: Vec<u64>,
    /// The lines.
    pub series: Vec<Series>,
}

/// Points of the picture, in its own units.
const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 124.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 56.0;
/// Lines across, at most; they lie at round numbers.
const STEPS: u64 = 5;
/// Between two names, one below the other.
const LINE: f64 = 15.0;
/// Distinct also to those who see few colours, and dark enough on white.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#00805c", "#9a4f96"];

/// Draws the panels, all with the same vertical axis.
pub fn draw(title: &str, vertical: &str, panels: &[Panel]) -> String {
    let width = WIDTH * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" \
         width=\"{width}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" \
         fill=\"#222\">\n<title>{title}</title>\n\
         <rect width=\"{width}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{title}</text>\n\
         <text x=\"{LEFT}\" y=\"42\" fill=\"#555\">{vertical}</text>\n"
    );
    let values = panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
    let most = values.map(|(_, value)| *value).max().unwrap_or(1);
    let step = round_step(most);
    let steps = most.div_ceil(step);
    for (number, panel) in panels.iter().enumerate() {
        let _ = writeln!(svg, "<g transform=\"translate({} 0)\">", WIDTH * number as f64);
        panel.draw(&mut svg, step, steps);
        svg += "</g>\n";
    }
    svg + "</svg>\n"
}

/// The distance of the lines across: 1, 2 or 5 times a power of ten, such that a few of them reach
/// `most`.
fn round_step(most: u64) -> u64 {
    let powers = (0..18).map(|power| 10_u64.pow(power));
    let mut steps = powers.flat_map(|power| [power, 2 * power, 5 * power]);
    steps.find(|step| step * STEPS >= most).unwrap_or(u64::MAX / STEPS)
}

/// Where things are in a panel.
struct Scale<'a> {
    places: &'a [u64],
    /// Value between two lines across, and how many of these there are above the first.
    step: u64,
    steps: u64,
}

impl Scale<'_> {
    /// Width and height of the field that the lines are in.
    const FIELD: (f64, f64) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);

    fn x(&self, place: u64) -> f64 {
        let across = Self::FIELD.0 / (self.places.len().max(2) - 1) as f64;
        let index = self.places.iter().position(|one| *one == place).unwrap_or(0);
        LEFT + across * index as f64
    }

    fn y(&self, value: u64) -> f64 {
        TOP + Self::FIELD.1 * (1.0 - value as f64 / (self.step * self.steps) as f64)
    }
}

impl Panel {
    fn draw(&self, svg: &mut String, step: u64, steps: u64) {
        let scale = Scale { places: &self.places, step, steps };
        self.draw_axes(svg, &scale);
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            series.draw(svg, &scale, colour);
        }
        self.draw_names(svg, &scale);
    }

    fn draw_axes(&self, svg: &mut String, scale: &Scale) {
        let end = LEFT + Scale::FIELD.0;
        for value in (0..=scale.steps).map(|n| n * scale.step) {
            let y = scale.y(value);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{end:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
                LEFT - 8.0,
                y + 4.0
            );
        }
        for place in &self.places {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{place}</text>",
                scale.x(*place),
                HEIGHT - BOTTOM + 20.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
            LEFT + Scale::FIELD.0 / 2.0,
            HEIGHT - 12.0,
            self.axis
        );
    }

    /// Names and last values behind the lines' ends, from the lowest up, none over another.
    fn draw_names(&self, svg: &mut String, scale: &Scale) {
        let ends = self.series.iter().zip(COLOURS.iter().cycle()).filter_map(|(series, colour)| {
            series.points.last().map(|(_, value)| (*value, series.name.as_str(), colour))
        });
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable();
        let mut y = f64::INFINITY;
        for (value, name, colour) in ends {
            y = (scale.y(value) + 4.0).min(y - LINE);
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{name}, {value}</text>",
                LEFT + Scale::FIELD.0 + 8.0
            );
        }
    }
}

impl Series {
    fn draw(&self, svg: &mut String, scale: &Scale, colour: &str) {
        let points = self.points.iter().map(|(place, value)| (scale.x(*place), scale.y(*value)));
        let line: Vec<String> = points.clone().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
        for (x, y) in points {
            let _ =
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_across_lie_at_round_numbers() {
        assert_eq!(round_step(1787), 500);
        assert_eq!(round_step(2501), 1000);
        assert_eq!(round_step(8), 2);
    }

    #[test]
    fn each_series_is_a_line() {
        let series = Series { name: "hvc".into(), points: vec![(1, 10), (2, 20)] };
        let panel = Panel { axis: "VMs".into(), places: vec![1, 2], series: vec![series] };
        let svg = draw("title", "instructions", &[panel.clone(), panel]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains(">hvc, 20</text>") && svg.ends_with("</svg>\n"));
    }
}
