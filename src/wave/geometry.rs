//! In which order pixels are coded. Of 32 rows, a band, each is a lane, which goes two pixels behind the row above it, so
//! that all that a pixel is predicted from is known when its turn comes, and 32 of them have their turn together.

/// Rows that are coded together.
pub(super) const LANES: usize = 32;
/// Steps that a lane stays behind the one above.
pub(super) const BEHIND: usize = 2;
/// Steps that the last lane stays behind the first.
pub(super) const LAG: usize = BEHIND * (LANES - 1);

/// The shape of what is coded: `[channel, y, x]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
}

impl Shape {
    /// Pixels of one channel.
    #[must_use]
    pub fn plane(self) -> usize {
        self.height * self.width
    }

    /// Pixels of all channels.
    #[must_use]
    pub fn pixels(self) -> usize {
        self.channels * self.plane()
    }

    /// Steps from a lane's row in one band to that in the next: more than a lane is behind, so that the row above a band
    /// is known.
    pub(super) fn period(self) -> usize {
        self.width.max(LAG + BEHIND)
    }

    /// Bands, of which the last may be short.
    pub(super) fn bands(self) -> usize {
        self.height.div_ceil(LANES)
    }

    /// Steps until the last lane is through.
    pub(super) fn steps(self) -> usize {
        self.bands() * self.period() + LAG
    }

    /// Where a lane stands at a step, `(y, x)`, unless it is idle; the step as `(band, phase)` of the first lane.
    pub(super) fn at(self, (band, phase): (usize, usize), lane: usize) -> Option<(usize, usize)> {
        let behind = BEHIND * lane;
        let (band, x) = match phase.checked_sub(behind) {
            Some(x) => (band, x),
            None => (band.checked_sub(1)?, phase + self.period() - behind),
        };
        let y = band * LANES + lane;
        (y < self.height && x < self.width).then_some((y, x))
    }

    /// All steps, each as `(band, phase)` of the first lane.
    pub(super) fn walk(self) -> impl DoubleEndedIterator<Item = (usize, usize)> {
        let period = self.period();
        (0..self.steps()).map(move |step| (step / period, step % period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_has_one_turn_and_all_that_it_is_predicted_from_came_before() {
        for (height, width) in [(1, 1), (1, 200), (200, 1), (31, 63), (32, 64), (33, 65), (70, 66), (64, 100)] {
            let shape = Shape { channels: 1, height, width };
            let mut turn = vec![None; shape.plane()];
            for (step, at) in shape.walk().enumerate() {
                for (y, x) in (0..LANES).filter_map(|lane| shape.at(at, lane)) {
                    assert_eq!(turn[y * width + x].replace(step), None, "{height} x {width}: two turns at {y}, {x}");
                }
            }
            let turn = |y: usize, x: usize| turn[y * width + x].expect("every pixel has a turn");
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                assert!(x == 0 || turn(y, x - 1) < turn(y, x));
                assert!(y == 0 || turn(y - 1, (x + 1).min(width - 1)) < turn(y, x), "{height} x {width}: {y}, {x}");
            }
        }
    }
}
