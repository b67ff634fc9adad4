//! What augmentation does to each site: drawn on the host as a pure function of seed, epoch and site, so that it is the
//! same in any batch, at any number of threads, and after a resume.

use std::f64::consts::{PI, TAU};

use cellshard::feed::mix;
use cellshard::training::recipe::Recipe;

/// A matrix that takes coordinates of the result to those of the source, in pixels from the middle of each, x then y.
pub type Homography = [[f64; 3]; 3];

/// What happens to one site.
#[derive(Debug, Clone, PartialEq)]
pub struct AugmentParams {
    /// Where the result's pixels come from.
    pub homography: Homography,
    /// Factor of each channel.
    pub gain: Vec<f32>,
    /// What is added to each channel, in standard deviations.
    pub offset: Vec<f32>,
    /// Seed of the salt-and-pepper mask.
    pub noise_seed: i32,
    /// The box that comes from another site: x0, y0, x1, y1 as shares of the image, x1 and y1 not included.
    pub cut: Option<[f64; 4]>,
}

/// Numbers that depend on a key and nothing else.
struct Draw {
    key: u64,
    n: u64,
}

impl Draw {
    fn bits(&mut self) -> u64 {
        self.n += 1;
        mix(self.key ^ mix(self.n))
    }

    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// In [-most, most).
    fn around(&mut self, most: f64) -> f64 {
        (2.0 * self.unit() - 1.0) * most
    }
}

impl AugmentParams {
    /// Draws for one site, which is known by `site`. `size` and `window` are height and width of image and result, in pixels.
    #[must_use]
    pub fn draw(
        recipe: &Recipe,
        n_channels: usize,
        size: [u32; 2],
        window: [u32; 2],
        seed: u64,
        epoch: u32,
        site: u64,
    ) -> Self {
        // Each kind draws from a key of its own, so that switching one on leaves the others as they are.
        let key = mix(mix(mix(seed) ^ u64::from(epoch)) ^ site);
        let draw = |kind: u64| Draw { key: mix(key ^ mix(kind)), n: 0 };
        let mut lighting = draw(1);
        let gain = (0..n_channels).map(|_| 1.0 + lighting.around(recipe.gain) as f32).collect();
        let offset = (0..n_channels).map(|_| lighting.around(recipe.offset) as f32).collect();
        let mut cut = draw(2);
        let cut = (cut.unit() < recipe.cutmix).then(|| {
            // Yun et al., "CutMix" (2019): the area is uniform, the middle anywhere, what sticks out is cut off.
            let side = cut.unit().sqrt();
            let (x, y) = (cut.unit(), cut.unit());
            [x - side / 2.0, y - side / 2.0, x + side / 2.0, y + side / 2.0].map(|edge| edge.clamp(0.0, 1.0))
        });
        Self {
            homography: homography(recipe, size, window, &mut draw(3)),
            gain,
            offset,
            noise_seed: draw(4).bits() as i32,
            cut,
        }
    }
}

/// Whether a recipe has a step that puts pixels between pixels.
pub(crate) fn interpolates(recipe: &Recipe) -> bool {
    [recipe.rotate, recipe.scale, recipe.translate, recipe.perspective].iter().any(|&strength| strength > 0.0)
}

/// Whether a recipe has a geometric step at all.
pub(crate) fn resamples(recipe: &Recipe) -> bool {
    interpolates(recipe) || recipe.flip || recipe.rotate90 || recipe.crop > 0
}

fn homography(recipe: &Recipe, size: [u32; 2], window: [u32; 2], draw: &mut Draw) -> Homography {
    let [height, width] = size.map(f64::from);
    let [window_height, window_width] = window.map(f64::from);
    // In the order in which the coordinates of the result meet them.
    let place = |draw: &mut Draw, image: f64, window: f64| {
        (draw.unit() * (image - window + 1.0)).floor().min(image - window) + (window - image) / 2.0
    };
    let crop = [place(draw, width, window_width), place(draw, height, window_height)];
    let mut matrix = shift(crop);
    if recipe.perspective > 0.0 {
        let mut corner = |x: f64, y: f64| {
            let (dx, dy) = (draw.around(recipe.perspective) * width, draw.around(recipe.perspective) * height);
            [x * width / 2.0 + dx, y * height / 2.0 + dy]
        };
        let mut corners = || [corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)];
        // Corners that fold the image over are drawn again; strengths below a quarter never give any.
        let convex = (0..64).map(|_| corners()).find(is_convex);
        matrix = convex.and_then(|to| perspective(width, height, to)).map_or(matrix, |p| product(&p, &matrix));
    }
    if recipe.translate > 0.0 {
        let by = [draw.around(recipe.translate) * width, draw.around(recipe.translate) * height];
        matrix = product(&shift(by), &matrix);
    }
    let zoom = (1.0 + recipe.scale).ln();
    let factor = draw.around(zoom).exp();
    let angle = draw.around(recipe.rotate) * PI / 180.0;
    let mut quarter = if recipe.rotate90 { draw.bits() % 4 } else { 0 };
    if height != width {
        // A quarter turn would leave the frame.
        quarter &= 2;
    }
    let (sine, cosine) = match quarter {
        // Exact, so that whole pixels stay whole.
        _ if angle != 0.0 => (angle + quarter as f64 * TAU / 4.0).sin_cos(),
        0 => (0.0, 1.0),
        1 => (1.0, 0.0),
        2 => (0.0, -1.0),
        _ => (-1.0, 0.0),
    };
    let turn = [[cosine / factor, -sine / factor, 0.0], [sine / factor, cosine / factor, 0.0], [0.0, 0.0, 1.0]];
    matrix = product(&turn, &matrix);
    let mut side = || if recipe.flip && draw.bits() % 2 == 1 { -1.0 } else { 1.0 };
    product(&[[side(), 0.0, 0.0], [0.0, side(), 0.0], [0.0, 0.0, 1.0]], &matrix)
}

fn shift([x, y]: [f64; 2]) -> Homography {
    [[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]]
}

fn product(a: &Homography, b: &Homography) -> Homography {
    std::array::from_fn(|i| std::array::from_fn(|k| (0..3).map(|j| a[i][j] * b[j][k]).sum()))
}

/// Whether four points in turn go round one way, each corner a clear bend.
fn is_convex(points: &[[f64; 2]; 4]) -> bool {
    (0..4).all(|i| {
        let [a, b, c] = [0, 1, 2].map(|k| points[(i + k) % 4]);
        (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0]) > 1e-3
    })
}

/// The map that takes the corners of a `width` x `height` rectangle around 0 (upper left, upper right, lower right,
/// lower left) to four points, by the eight equations that this gives; `None` where they have no solution.
fn perspective(width: f64, height: f64, to: [[f64; 2]; 4]) -> Option<Homography> {
    let (x, y) = (width / 2.0, height / 2.0);
    let from = [[-x, -y], [x, -y], [x, y], [-x, y]];
    let mut rows: Vec<[f64; 9]> = Vec::with_capacity(8);
    for ([x, y], [u, v]) in from.into_iter().zip(to) {
        rows.push([x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, u]);
        rows.push([0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y, v]);
    }
    for column in 0..8 {
        let pivot = (column..8).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        rows.swap(column, pivot);
        let pivot = rows[column];
        if pivot[column].abs() < 1e-9 {
            return None;
        }
        for (i, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != column) {
            let factor = row[column] / pivot[column];
            debug_assert!(i < 8);
            row.iter_mut().zip(pivot).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    let h: Vec<f64> = (0..8).map(|i| rows[i][8] / rows[i][i]).collect();
    Some([[h[0], h[1], h[2]], [h[3], h[4], h[5]], [h[6], h[7], 1.0]])
}
