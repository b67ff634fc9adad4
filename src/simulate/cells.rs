//! Renders one site: light from each stained structure, before any microscope has seen it, and through
//! [`super::optics`] the grey levels of the camera. Pure: the same scene and key give the same bytes.

use super::batch::Batch;
use super::biology::{Biology, CHANNELS};
use super::dice::Dice;
use super::optics::{self, Optics};
use super::shape::{Cell, scatter};
use super::textures::{Texel, Textures};

/// Everything that shapes one site.
#[derive(Debug, Clone)]
pub(super) struct Scene<'a> {
    /// The cells.
    pub(super) biology: &'a Biology,
    /// The plate.
    pub(super) batch: &'a Batch,
    /// Pixels along a side of the image.
    pub(super) size: usize,
    /// Channels to render, from the first.
    pub(super) channels: usize,
}

/// Buffers that a thread keeps from site to site.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// `[C][H * W]` light.
    planes: Vec<Vec<f32>>,
    /// `[H * W]` how deep each pixel lies in the cell that it lies deepest in, and in the next.
    claims: Vec<[f32; 2]>,
    /// The same for each cell's own box, one after the other.
    depths: Vec<f32>,
    optics: Optics,
}

/// Images smaller than this are rendered larger, up to [`REDUCED_AT_MOST`] times, and averaged down, so that thin
/// structures blur instead of breaking up.
const RENDERED_AT_LEAST: usize = 256;
const REDUCED_AT_MOST: usize = 4;
/// How far into a neighbour's claim a cell still shows, in shares of its radius.
const OVERLAP: f32 = 0.16;

/// Renders `[C, H, W]` levels, as [`optics::expose`] gives them.
pub(super) fn render(scene: &Scene<'_>, textures: &Textures, dice: &mut Dice, scratch: &mut Scratch) -> Vec<f32> {
    let mut reduce = 1;
    while scene.size * reduce < RENDERED_AT_LEAST && reduce < REDUCED_AT_MOST {
        reduce *= 2;
    }
    let side = scene.size * reduce;
    let scale = side as f32 / 512.0;
    let cells = scatter(scene.biology, scene.batch.density, side, scale, dice);
    scratch.planes.resize_with(CHANNELS, Vec::new);
    for plane in &mut scratch.planes {
        plane.clear();
        plane.resize(side * side, 0.0);
    }
    claim(&cells, side, scratch);
    let painter = Painter {
        biology: scene.biology,
        textures,
        texels: 1.25 / (scale * scene.biology.texture_scale),
        edge: 1.0 / scale,
    };
    let mut depths = scratch.depths.iter();
    for cell in &cells {
        painter.paint(cell, side, &mut depths, &scratch.claims, &mut scratch.planes);
    }
    let mut levels = Vec::with_capacity(scene.channels * scene.size * scene.size);
    for (channel, plane) in scratch.planes[..scene.channels].iter_mut().enumerate() {
        let view = optics::View { batch: scene.batch, channel, side, reduce };
        optics::expose(&view, plane, dice, &mut scratch.optics, &mut levels);
    }
    levels
}

/// The part of the image that a cell's box covers: columns and rows.
fn span(cell: &Cell, side: usize) -> [std::ops::Range<usize>; 2] {
    let [left, right, top, bottom] = cell.reach;
    let clip = |v: f32| v.clamp(0.0, side as f32) as usize;
    let range = |centre: f32, before: f32, after: f32| clip(centre - before)..clip(centre + after + 1.0);
    [range(cell.x, left, right), range(cell.y, top, bottom)]
}

/// Lets cells compete: each pixel is claimed by the cell it lies deepest in, so that neighbours meet at a border.
fn claim(cells: &[Cell], side: usize, scratch: &mut Scratch) {
    scratch.claims.clear();
    scratch.claims.resize(side * side, [0.0; 2]);
    scratch.depths.clear();
    for cell in cells {
        let [columns, rows] = span(cell, side);
        let [nu, nv, a, b] = cell.nucleus;
        for y in rows {
            let dy = y as f32 - cell.y;
            let begin = scratch.depths.len();
            // Depths first, claims after: each loop alone is one that the compiler turns into vector code.
            scratch.depths.extend(columns.clone().map(|x| {
                let dx = x as f32 - cell.x;
                let (u, v) = (dx * cell.cos + dy * cell.sin, dy * cell.cos - dx * cell.sin);
                // A nucleus does not give way to a neighbour's rim.
                let (nx, ny) = ((u - nu) * a, (v - nv) * b);
                let firm = (1.5 - nx * nx - ny * ny).clamp(0.0, 0.5);
                (1.0 - cell.distance(u, v) + firm).min(1.0)
            }));
            let claims = &mut scratch.claims[y * side..][columns.clone()];
            for ([first, second], &depth) in claims.iter_mut().zip(&scratch.depths[begin..]) {
                *second = second.max(depth.min(*first));
                *first = first.max(depth);
            }
        }
    }
}

struct Painter<'a> {
    biology: &'a Biology,
    textures: &'a Textures,
    /// Texels to a pixel.
    texels: f32,
    /// A pixel of a field 512 wide, in rendered pixels, inverted.
    edge: f32,
}

impl Painter<'_> {
    /// Adds one cell's light. Takes this cell's share of `depths`.
    fn paint<'d>(
        &self,
        cell: &Cell,
        side: usize,
        depths: &mut impl Iterator<Item = &'d f32>,
        claims: &[[f32; 2]],
        planes: &mut [Vec<f32>],
    ) {
        let [columns, rows] = span(cell, side);
        let intensity = self.biology.intensity;
        for y in rows {
            let dy = y as f32 - cell.y;
            for x in columns.clone() {
                let depth = *depths.next().expect("a depth was pushed for every pixel of the box");
                let at = y * side + x;
                let [first, second] = claims[at];
                let rival = if depth == first { second } else { first };
                // Shares of two neighbours add up to 1; a third hardly ever matters.
                let share = 0.5 + (depth - rival) * (0.5 / OVERLAP);
                if depth <= 0.0 || share <= 0.0 {
                    continue;
                }
                let share = if rival > 0.0 { share.min(1.0) } else { 1.0 };
                let dx = x as f32 - cell.x;
                let (u, v) = (dx * cell.cos + dy * cell.sin, dy * cell.cos - dx * cell.sin);
                let light = self.light(cell, u, v, depth);
                for ((plane, light), intensity) in planes.iter_mut().zip(light).zip(intensity) {
                    plane[at] += light * intensity * share;
                }
            }
        }
    }

    /// The light of each channel at one place inside a cell, in units of the channel's intensity.
    #[inline]
    fn light(&self, cell: &Cell, u: f32, v: f32, depth: f32) -> [f32; CHANNELS] {
        let (tu, tv) = (u * self.texels + cell.texture[0], v * self.texels + cell.texture[1]);
        let broad = self.textures.cloud(tu * 0.35, tv * 0.35 + 131.0);
        // Bending the plane in which textures lie keeps fibres from being ruled lines.
        let (tu, tv) = (tu + 12.0 * broad, tv + 19.0 * broad);
        let Texel { grain, granules, fibres, threads } = self.textures.fine(tu, tv);
        let cloud = self.textures.cloud(tu * 0.9 + 77.0, tv * 0.9);
        // A second, finer sheet of fibres at another angle, as actin lies in layers.
        let mesh = self.textures.fine(0.6 * tu + 1.1 * tv, 0.9 * tv - 0.8 * tu + 4096.0).fibres;

        let [nu, nv, a, b] = cell.nucleus;
        let (nx, ny) = ((u - nu) * a, (v - nv) * b);
        let rn = (nx * nx + ny * ny).sqrt() * (0.88 + 0.24 * broad);
        // The rim of the nucleus is about two pixels wide.
        let inside = ramp((1.0 - rn) / (2.2 * self.edge * a.min(b)) + 0.5);
        // Thick around the nucleus, thin at the rim, ending in an edge a few pixels wide.
        let thick = depth * (2.0 - depth) + cell.roundness * 0.8 * depth;
        let edge = ramp(depth * 7.0);
        let outside = (rn - 1.0).max(0.0);
        let near = 1.0 / (1.0 + 0.8 * outside * outside);
        let rim = (1.0 - inside) / (1.0 + 60.0 * outside * outside);
        let body = cell.brightness.map(|brightness| edge * brightness);
        let cortex = ramp(1.0 - (depth - 0.06).abs() * 12.0);

        let mut nucleoli = 0.0;
        if inside > 0.0 {
            for &[x, y, inverse, bright] in &cell.nucleoli {
                let d2 = ((nx - x) * (nx - x) + (ny - y) * (ny - y)) * inverse;
                nucleoli += bright * (1.0 - d2).max(0.0);
            }
        }
        let [gu, gv, gs] = cell.golgi;
        let g2 = ((u - gu) * (u - gu) + (v - gv) * (v - gv)) * gs * gs;
        let golgi = (1.0 - 0.22 * g2).max(0.0) * (0.15 + 1.5 * threads + 0.5 * granules) * (1.0 - 0.8 * inside);

        let mottle = 0.40 + 1.2 * cloud * (0.3 + 1.4 * broad);
        let cytoplasm = near * thick;
        [
            cell.brightness[0] * inside * (0.62 + 0.45 * cloud + 0.35 * grain - 0.22 * nucleoli),
            body[1]
                * (1.0 - 0.66 * inside)
                * ((0.28 + 0.2 * thick + 0.9 * cytoplasm) * (0.45 + 0.9 * grain) * mottle
                    + 0.12 * rim
                    + 3.2 * granules * granules * cytoplasm * (0.2 + 1.6 * broad)),
            body[2]
                * ((0.12 + 0.5 * thick) * (0.10 + 1.1 * cloud + 0.6 * grain) * (1.0 - 0.30 * inside)
                    + 0.75 * self.biology.fibres * cell.fibres * fibres * (0.5 + 0.7 * broad)
                    + 0.5 * mesh * (0.3 + 0.7 * edge)
                    + 0.4 * cortex * (0.4 + fibres)),
            body[3]
                * ((0.06 + 0.2 * thick + 0.8 * cytoplasm) * (0.35 + 0.9 * grain) * mottle * (1.0 - 0.32 * inside)
                    + 1.2 * granules * granules * cytoplasm
                    + inside * 1.1 * nucleoli),
            body[4]
                * (1.0 - 0.62 * inside)
                * (0.06 * thick + cytoplasm * (0.25 + 1.4 * threads + 0.5 * grain) * (0.3 + 0.9 * cloud)),
            body[5]
                * ((0.15 + 0.75 * thick) * (0.20 + 0.8 * cloud + 0.7 * grain) * (1.0 + self.biology.glow * inside)
                    + 2.2 * golgi * thick
                    + 0.5 * granules * cytoplasm
                    + 0.1 * rim
                    + 0.12 * cortex),
        ]
    }
}

/// 0 below 0, 1 above 1, a straight line between.
#[inline]
fn ramp(x: f32) -> f32 {
    x.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grey levels without gain, on an offset that keeps noise off the bottom.
    const PLAIN: Batch = Batch {
        gain: [1.0; CHANNELS],
        offset: [3.0; CHANNELS],
        blur: [0.9; CHANNELS],
        haze: 0.15,
        illumination: [0.0; 3],
        density: 1.0,
        exposure: 1.0,
    };

    fn site(textures: &Textures, biology: &Biology, size: usize, channels: usize, key: u64) -> Vec<u8> {
        let scene = Scene { biology, batch: &PLAIN, size, channels };
        let mut dice = Dice::new(9, &[key]);
        let levels = render(&scene, textures, &mut dice, &mut Scratch::default());
        levels.into_iter().map(optics::level_8).collect()
    }

    fn means(textures: &Textures, biology: &Biology, size: usize) -> Vec<f32> {
        let sites: Vec<Vec<u8>> = (0..8).map(|key| site(textures, biology, size, CHANNELS, key)).collect();
        let plane = |c: usize| sites.iter().flat_map(move |site| &site[c * size * size..][..size * size]);
        let n = (sites.len() * size * size) as f32;
        (0..CHANNELS).map(|c| plane(c).map(|&p| u64::from(p)).sum::<u64>() as f32 / n - 3.0).collect()
    }

    #[test]
    fn untreated_cells_are_as_bright_as_their_type_at_any_size() {
        let textures = Textures::new();
        for (name, expected) in super::super::biology::MEANS {
            for size in [64, 256, 512] {
                let found = means(&textures, &Biology::of_cell_type(name), size);
                let near = found.iter().zip(expected).all(|(f, e)| (0.75..1.3).contains(&(f / e)));
                assert!(near, "{name} at {size}: expected {expected:?}, found {found:?}");
            }
        }
    }

    #[test]
    fn fewer_channels_are_the_first_of_more() {
        let (textures, biology) = (Textures::new(), Biology::of_cell_type("RPE"));
        assert!(site(&textures, &biology, 64, 6, 0).starts_with(&site(&textures, &biology, 64, 2, 0)));
    }
}
