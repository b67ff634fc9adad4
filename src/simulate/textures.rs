//! Texture tiles that wrap around, made once a run: what cytoplasm, vesicles, actin fibres and mitochondria look
//! like up close. Cells sample them at their own angle, place and scale, which costs one look-up a pixel. Knows
//! nothing of cells.

use super::dice::Dice;

/// Texels along a side; a power of two, so that wrapping is a mask.
const SIDE: usize = 512;

/// The tiles. Values are 0..=255 and stand for 0..1.
#[derive(Debug)]
pub(super) struct Textures {
    /// `[SIDE * SIDE]` of grain, granules, fibres (along x) and threads, side by side: one cache line serves all.
    fine: Vec<[u8; 4]>,
    /// `[SIDE * SIDE]`, blotches about 24 texels wide.
    cloud: Vec<u8>,
}

/// What the tiles hold at one place, each 0..1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texel {
    /// Fine grain of the endoplasmic reticulum and the cytosol.
    pub(super) grain: f32,
    /// Sparse bright vesicles.
    pub(super) granules: f32,
    /// Filaments along x.
    pub(super) fibres: f32,
    /// Winding threads.
    pub(super) threads: f32,
}

impl Textures {
    /// Draws the tiles.
    pub(super) fn new() -> Self {
        // The tiles are the same for every seed: they are the material, not the sample.
        let mut dice = Dice::new(0x7e27, &[]);
        let mut grain = noise(&mut dice, 1);
        for (g, coarse) in grain.iter_mut().zip(noise(&mut dice, 3)) {
            *g = 0.75 * *g + 0.65 * coarse;
        }
        let mut cloud = noise(&mut dice, 11);
        standardise(&mut grain, 0.21);
        standardise(&mut cloud, 0.22);
        let granules = granules(&mut dice);
        let fibres = fibres(&mut dice);
        let threads = threads(&mut dice);
        let byte = |x: f32| (x.clamp(0.0, 1.0) * 255.0) as u8;
        let fine = (0..SIDE * SIDE).map(|i| [grain[i], granules[i], fibres[i], threads[i]].map(byte)).collect();
        let cloud = cloud.into_iter().map(byte).collect();
        Self { fine, cloud }
    }

    /// The fine tiles at a place in texels.
    #[inline]
    pub(super) fn fine(&self, x: f32, y: f32) -> Texel {
        let [grain, granules, fibres, threads] = self.fine[index(x, y)].map(|b| f32::from(b) * (1.0 / 255.0));
        Texel { grain, granules, fibres, threads }
    }

    /// The blotches at a place in texels.
    #[inline]
    pub(super) fn cloud(&self, x: f32, y: f32) -> f32 {
        f32::from(self.cloud[index(x, y)]) * (1.0 / 255.0)
    }
}

#[inline]
fn index(x: f32, y: f32) -> usize {
    (whole(y) & (SIDE - 1)) * SIDE + (whole(x) & (SIDE - 1))
}

/// The low 22 bits of a number from 0 up to four million, rounded; what lies above them is rubbish. In a float past
/// 2^23 the last bit counts whole numbers, so this costs an addition, where a cast would test for overflow.
#[inline]
pub(super) fn whole(x: f32) -> usize {
    (x + 8_388_608.0).to_bits() as usize
}

/// White noise, blurred by three passes of a box of this radius: close to a Gaussian, and it wraps around.
fn noise(dice: &mut Dice, radius: usize) -> Vec<f32> {
    let mut tile: Vec<f32> = (0..SIDE * SIDE).map(|_| dice.unit() - 0.5).collect();
    for _ in 0..3 {
        box_blur(&mut tile, radius, 1, SIDE);
        box_blur(&mut tile, radius, SIDE, 1);
    }
    standardise(&mut tile, 0.25);
    tile
}

/// A running mean along lines whose pixels are `step` apart and whose starts are `next` apart.
fn box_blur(tile: &mut [f32], radius: usize, step: usize, next: usize) {
    let scale = 1.0 / (2 * radius + 1) as f32;
    let mut line = [0.0; SIDE];
    for start in (0..SIDE).map(|i| i * next) {
        for (i, value) in line.iter_mut().enumerate() {
            *value = tile[start + i * step];
        }
        for i in 0..SIDE {
            let window = (0..=2 * radius).map(|d| line[(i + SIDE + d - radius) % SIDE]);
            tile[start + i * step] = window.sum::<f32>() * scale;
        }
    }
}

/// Moves the values to mean 0.5 and the given standard deviation.
fn standardise(tile: &mut [f32], deviation: f32) {
    let n = tile.len() as f32;
    let mean = tile.iter().sum::<f32>() / n;
    let variance = tile.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n;
    let scale = deviation / variance.sqrt();
    for value in tile {
        *value = 0.5 + (*value - mean) * scale;
    }
}

/// Spots of two or three texels, few of them bright.
fn granules(dice: &mut Dice) -> Vec<f32> {
    let mut tile = vec![0.0; SIDE * SIDE];
    for _ in 0..4800 {
        let (x, y) = (dice.unit() * SIDE as f32, dice.unit() * SIDE as f32);
        let brightness = dice.unit().powi(3);
        dab(&mut tile, x, y, dice.between(0.8, 1.6), 0.1 + 0.9 * brightness);
    }
    tile
}

/// Nearly straight filaments along x, some in bundles.
fn fibres(dice: &mut Dice) -> Vec<f32> {
    let mut tile = vec![0.0; SIDE * SIDE];
    for _ in 0..450 {
        let (mut x, mut y) = (dice.unit() * SIDE as f32, dice.unit() * SIDE as f32);
        let mut slope = 0.12 * dice.normal();
        let (width, brightness) = (dice.between(0.6, 1.1), 0.1 + 0.9 * dice.unit().powi(3));
        for _ in 0..40 + dice.below(170) {
            dab(&mut tile, x, y, width, brightness);
            slope += 0.004 * dice.normal();
            (x, y) = (x + 1.0, y + slope);
        }
    }
    tile
}

/// Winding threads, as mitochondria look where they are spread out flat.
fn threads(dice: &mut Dice) -> Vec<f32> {
    let mut tile = vec![0.0; SIDE * SIDE];
    for _ in 0..1150 {
        let (mut x, mut y) = (dice.unit() * SIDE as f32, dice.unit() * SIDE as f32);
        let mut angle = dice.unit() * std::f32::consts::TAU;
        let (width, brightness) = (dice.between(1.1, 1.9), dice.between(0.2, 0.6));
        for _ in 0..14 + dice.below(34) {
            dab(&mut tile, x, y, width, brightness);
            angle += 0.2 * dice.normal();
            (x, y) = (x + angle.cos(), y + angle.sin());
        }
    }
    tile
}

/// Lays a soft spot over what is there: the brighter stays, and a quarter of the rest shines through.
fn dab(tile: &mut [f32], x: f32, y: f32, sigma: f32, brightness: f32) {
    let reach = (2.5 * sigma).ceil() as i32;
    let (cx, cy) = (x.floor() as i32, y.floor() as i32);
    for dy in -reach..=reach {
        for dx in -reach..=reach {
            let (px, py) = (cx + dx, cy + dy);
            let d2 = (px as f32 - x).powi(2) + (py as f32 - y).powi(2);
            let value = brightness * (-d2 / (2.0 * sigma * sigma)).exp();
            let wrap = |v: i32| (v as usize) & (SIDE - 1);
            let texel = &mut tile[wrap(py) * SIDE + wrap(px)];
            *texel = texel.max(value) + 0.03 * texel.min(value);
        }
    }
}
