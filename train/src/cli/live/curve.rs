//! A curve of values as they come, drawn in a line of text. Pure.

/// Levels of a cell, from the lowest.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Values that are kept at most. Where more come, two and two become their mean.
const MOST: usize = 512;

/// A curve. Its memory is bounded, however many values come.
#[derive(Debug, Clone, Default)]
pub(super) struct Curve {
    /// Means, each of so many values as `per_point` has, but for the last.
    points: Vec<f64>,
    /// Values in the last point.
    n_last: u64,
    per_point: u64,
}

impl Curve {
    /// Adds a value; one that is not finite is no part of a curve.
    pub(super) fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        if self.points.is_empty() {
            self.per_point = 1;
        }
        match self.points.last_mut() {
            Some(last) if self.n_last < self.per_point => {
                self.n_last += 1;
                *last += (value - *last) / self.n_last as f64;
            }
            _ => {
                if self.points.len() == MOST {
                    self.points =
                        self.points.chunks(2).map(|pair| pair.iter().sum::<f64>() / pair.len() as f64).collect();
                    self.per_point *= 2;
                }
                self.points.push(value);
                self.n_last = 1;
            }
        }
    }

    /// The curve in `width` cells at most, with the least and the largest value that is drawn; `None` where there is none.
    pub(super) fn draw(&self, width: usize) -> Option<(String, f64, f64)> {
        let (n, width) = (self.points.len(), width.max(1));
        let cells = n.min(width);
        let mean = |i: usize| {
            let of = &self.points[i * n / cells..(i + 1) * n / cells];
            of.iter().sum::<f64>() / of.len() as f64
        };
        let means: Vec<f64> = (0..cells).map(mean).collect();
        let least = means.iter().copied().reduce(f64::min)?;
        let most = means.iter().copied().reduce(f64::max)?;
        let level = |value: f64| {
            let share = if most > least { (value - least) / (most - least) } else { 0.5 };
            LEVELS[((share * LEVELS.len() as f64) as usize).min(LEVELS.len() - 1)]
        };
        Some((means.iter().map(|&value| level(value)).collect(), least, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = f64>) -> Curve {
        let mut curve = Curve::default();
        values.into_iter().for_each(|value| curve.add(value));
        curve
    }

    #[test]
    fn a_curve_goes_from_its_least_value_to_its_largest() {
        assert_eq!(of([]).draw(8), None);
        assert_eq!(of([f64::NAN, f64::INFINITY]).draw(8), None);
        assert_eq!(of([3.0]).draw(8), Some(("▅".to_owned(), 3.0, 3.0)));
        assert_eq!(of((0..8).map(f64::from)).draw(8), Some(("▁▂▃▄▅▆▇█".to_owned(), 0.0, 7.0)));
        // More than there is room for: means, and the scale is that of what is drawn.
        assert_eq!(of([0.0, 2.0, 9.0, 11.0]).draw(2), Some(("▁█".to_owned(), 1.0, 10.0)));
        assert_eq!(of([1.0, 2.0]).draw(0).unwrap().0.chars().count(), 1);
    }

    #[test]
    fn however_many_values_come_it_keeps_their_means_in_order() {
        let curve = of((0..100_000).map(f64::from));
        assert!(curve.points.len() <= MOST && curve.points.is_sorted());
        let (text, least, most) = curve.draw(10).unwrap();
        assert_eq!(text.chars().count(), 10);
        assert!((4000.0..6000.0).contains(&least) && (94_000.0..96_000.0).contains(&most), "{least} {most}");
    }
}
