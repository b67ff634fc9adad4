//! The geometry of a field of view: where cells lie and how each is shaped. Pure; no pixels are touched here.

use super::biology::{Biology, CHANNELS};
use super::dice::Dice;
use super::textures::whole;

/// Directions in which an outline's radius is tabulated.
const DIRECTIONS: usize = 512;

/// One cell. Lengths are in pixels of the rendered image.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    /// Centre.
    pub(super) x: f32,
    /// Centre.
    pub(super) y: f32,
    /// Direction of the long axis.
    pub(super) cos: f32,
    /// Direction of the long axis.
    pub(super) sin: f32,
    /// How far the cell reaches from its centre to the left, right, top and bottom of the image.
    pub(super) reach: [f32; 4],
    /// One over the outline's radius, by direction in the cell's own axes.
    inverse_radius: Vec<f32>,
    /// The nucleus: centre, and one over its half axes, in the cell's own axes.
    pub(super) nucleus: [f32; 4],
    /// Nucleoli: centre in units of the nucleus, one over the squared radius, brightness.
    pub(super) nucleoli: Vec<[f32; 4]>,
    /// Golgi: centre, and one over the spread, in the cell's own axes.
    pub(super) golgi: [f32; 3],
    /// Brightness relative to other cells, `[channel]`.
    pub(super) brightness: [f32; CHANNELS],
    /// How much thicker than a spread cell: 0, or 1 for a cell that has rounded up.
    pub(super) roundness: f32,
    /// Where this cell samples the textures.
    pub(super) texture: [f32; 2],
    /// How strongly this cell's fibres show.
    pub(super) fibres: f32,
}

impl Cell {
    /// Distance from the centre as a share of the outline's radius in that direction, given the place in the cell's
    /// own axes.
    #[inline]
    pub(super) fn distance(&self, u: f32, v: f32) -> f32 {
        // The diamond angle rises with the true angle and needs no arctangent.
        let t = v / (u.abs() + v.abs() + 1e-6);
        let quarters = if u >= 0.0 { 1.0 + t } else { 3.0 - t };
        let direction = whole(quarters * (DIRECTIONS as f32 / 4.0)) & (DIRECTIONS - 1);
        (u * u + v * v).sqrt() * self.inverse_radius[direction]
    }
}

/// Scatters the cells of one field of view, `scale` being rendered pixels to a pixel of a field 512 wide.
pub(super) fn scatter(biology: &Biology, density: f32, side: usize, scale: f32, dice: &mut Dice) -> Vec<Cell> {
    // Cells that are many have less room each.
    let room = density.powf(-0.5);
    let crowded =
        Biology { radius: biology.radius * room, nucleus: biology.nucleus * room.powf(0.8), ..biology.clone() };
    let biology = &crowded;
    let margin = 0.6 * biology.radius * scale;
    let extent = side as f32 + 2.0 * margin;
    let area = (extent / side as f32).powi(2);
    let n = (biology.cells * density * dice.factor(0.10) * area).round().clamp(1.0, 2500.0) as usize;
    let clumps: Vec<[f32; 3]> = (0..3 + dice.below(3))
        .map(|_| [dice.unit() * extent, dice.unit() * extent, extent * dice.between(0.12, 0.3)])
        .collect();
    let crowding = |x: f32, y: f32| {
        let near = |&[cx, cy, r]: &[f32; 3]| (-((x - cx).powi(2) + (y - cy).powi(2)) / (2.0 * r * r)).exp();
        biology.clumping * clumps.iter().map(near).sum::<f32>().min(1.0)
    };
    // Neighbours resemble each other: where a layer is thick, all its cells are bright.
    let waves: Vec<[f32; 3]> = (0..4)
        .map(|_| {
            let wave = |dice: &mut Dice| dice.between(-9.0, 9.0) / extent;
            [wave(dice), wave(dice), dice.unit() * std::f32::consts::TAU]
        })
        .collect();
    let thickness = |x: f32, y: f32| {
        let height = |&[fx, fy, phase]: &[f32; 3]| (fx * x + fy * y + phase).sin();
        (0.13 * waves.iter().map(height).sum::<f32>()).exp()
    };
    // Long cells lie along their neighbours.
    let along = |x: f32, y: f32| {
        let turn = |&[fx, fy, phase]: &[f32; 3]| (0.6 * fx * y - 0.6 * fy * x + 2.0 * phase).sin();
        0.8 * waves.iter().map(turn).sum::<f32>()
    };
    let mut places: Vec<[f32; 3]> = Vec::with_capacity(n);
    for _ in 0..n {
        // The best of a few candidates: far from its neighbours, measured in what crowding leaves each.
        let mut best = ([0.0; 3], -1.0);
        for _ in 0..6 {
            let (x, y) = (dice.unit() * extent, dice.unit() * extent);
            let room = 1.0 - 0.55 * crowding(x, y);
            let gap = |&[px, py, _]: &[f32; 3]| (px - x).powi(2) + (py - y).powi(2);
            let gap = places.iter().map(gap).fold(f32::MAX, f32::min).min(extent * extent);
            let score = gap / room.powi(4);
            if score > best.1 {
                best = ([x, y, room], score);
            }
        }
        places.push(best.0);
    }
    places
        .iter()
        .map(|&[x, y, room]| {
            let mut cell = cell(biology, [x - margin, y - margin], along(x, y), room, scale, dice);
            let swell = thickness(x, y);
            for brightness in &mut cell.brightness[1..] {
                *brightness *= swell;
            }
            cell
        })
        .collect()
}

/// One cell at a place that leaves it this share of its usual room.
fn cell(biology: &Biology, [x, y]: [f32; 2], along: f32, room: f32, scale: f32, dice: &mut Dice) -> Cell {
    let rounded = dice.unit() < 0.035;
    let radius = biology.radius * scale * room.sqrt() * dice.factor(0.14) * if rounded { 0.42 } else { 1.0 };
    let elongation = if rounded { 1.0 } else { 1.0 + (biology.elongation - 1.0) * dice.between(0.4, 1.6) };
    let outline = outline(radius, elongation, biology.raggedness, rounded, dice);
    let loose = 0.35 / (biology.elongation - 1.0).max(0.1);
    let angle = along + loose * dice.normal();
    let reach = reach(&outline, angle);
    let nuclear_elongation = 1.0 + 0.5 * (elongation - 1.0).min(0.9) + 0.22 * dice.unit();
    let nuclear = biology.nucleus * scale * room.powf(0.35) * dice.factor(0.09) * if rounded { 0.75 } else { 1.0 };
    let nuclear = nuclear.min(0.7 * radius);
    let (long, short) = (nuclear * nuclear_elongation.sqrt(), nuclear / nuclear_elongation.sqrt());
    let (nu, nv) = (0.14 * radius * dice.normal(), 0.10 * radius * dice.normal());
    let nucleoli = (0..=dice.below(4))
        .map(|_| {
            let size = dice.between(0.13, 0.3);
            [0.38 * dice.normal(), 0.38 * dice.normal(), 1.0 / (size * size), dice.between(0.5, 1.1)]
        })
        .collect();
    let side = dice.unit() * std::f32::consts::TAU;
    let beside = 1.35 * nuclear;
    let golgi_size = 0.62 * nuclear * biology.golgi_spread * dice.factor(0.15);
    let common = dice.factor(0.22) * (1.6 - 0.6 * room) * if rounded { 2.0 } else { 1.0 };
    let mut brightness: [f32; CHANNELS] = std::array::from_fn(|_| common * dice.factor(0.14));
    brightness[0] = dice.factor(0.22) * if rounded { 2.2 } else { 1.0 };
    Cell {
        x,
        y,
        cos: angle.cos(),
        sin: angle.sin(),
        reach,
        inverse_radius: outline.iter().map(|radius| 1.0 / radius).collect(),
        nucleus: [nu, nv, 1.0 / long, 1.0 / short],
        nucleoli,
        golgi: [nu + beside * side.cos(), nv + beside * side.sin(), 1.0 / golgi_size],
        brightness,
        roundness: if rounded { 1.0 } else { 0.0 },
        texture: [dice.unit() * 512.0 + 4096.0, dice.unit() * 512.0 + 4096.0],
        fibres: dice.factor(0.5),
    }
}

/// How far an outline that is turned by `angle` reaches to the left, right, top and bottom.
fn reach(outline: &[f32], angle: f32) -> [f32; 4] {
    let mut reach = [1.0f32; 4];
    for (i, radius) in outline.iter().enumerate() {
        let (sin, cos) = (true_angle(i as f32 / DIRECTIONS as f32) + angle).sin_cos();
        for (reach, side) in reach.iter_mut().zip([-cos, cos, -sin, sin]) {
            *reach = reach.max(side * radius);
        }
    }
    reach
}

/// Radius by diamond angle: an ellipse, bent by a few waves, with some protrusions.
fn outline(radius: f32, elongation: f32, raggedness: f32, rounded: bool, dice: &mut Dice) -> Vec<f32> {
    let raggedness = if rounded { 0.04 } else { raggedness };
    let waves: Vec<[f32; 3]> = [2.0, 3.0, 4.0, 5.0, 7.0, 10.0]
        .iter()
        .map(|&n: &f32| [n, raggedness * dice.normal() * 2.6 / n.powf(1.25), dice.unit() * std::f32::consts::TAU])
        .collect();
    let n_spikes = (10.0 * raggedness * dice.unit() * dice.between(0.5, 1.8)) as usize;
    // A cell that is longer than wide is drawn out to points at its ends.
    let ends = [0.0, std::f32::consts::PI].map(|angle| {
        let height = (elongation - 1.0) * dice.between(0.0, 0.9);
        [angle + 0.15 * dice.normal(), height, dice.between(0.12, 0.3)]
    });
    let spikes: Vec<[f32; 3]> = (0..n_spikes)
        .map(|_| {
            let angle = dice.unit() * std::f32::consts::TAU;
            [angle, dice.between(0.2, 0.9), dice.between(0.08, 0.3)]
        })
        .chain(ends)
        .collect();
    let (long, short) = (elongation.sqrt(), 1.0 / elongation.sqrt());
    (0..DIRECTIONS)
        .map(|i| {
            let angle = true_angle(i as f32 / DIRECTIONS as f32);
            let ellipse = long * short / (short * angle.cos()).hypot(long * angle.sin());
            let wave: f32 = waves.iter().map(|&[n, size, phase]| size * (n * angle + phase).sin()).sum();
            let spike: f32 = spikes
                .iter()
                .map(|&[at, height, width]| height * (-(1.0 - (angle - at).cos()) / (width * width)).exp())
                .sum();
            radius * ellipse * (wave.exp() + spike).clamp(0.35, 1.9)
        })
        .collect()
}

/// The angle whose diamond angle is this share of a full turn, which begins at straight down.
fn true_angle(share: f32) -> f32 {
    let quarters = share * 4.0;
    let (u, v) = if quarters < 2.0 {
        (1.0 - (quarters - 1.0).abs(), quarters - 1.0)
    } else {
        ((quarters - 3.0).abs() - 1.0, 3.0 - quarters)
    };
    v.atan2(u)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_is_met_at_distance_1_in_every_direction() {
        let mut dice = Dice::new(5, &[]);
        let cell = &scatter(&Biology::of_cell_type("U2OS"), 1.0, 512, 1.0, &mut dice)[0];
        for (i, inverse) in cell.inverse_radius.iter().enumerate() {
            let angle = true_angle(i as f32 / DIRECTIONS as f32);
            let distance = cell.distance(angle.cos() / inverse, angle.sin() / inverse);
            assert!((distance - 1.0).abs() < 1e-3, "direction {i}: {distance}");
        }
    }
}
