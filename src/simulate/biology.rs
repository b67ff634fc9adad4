//! What is true of the cells: how each cell type looks, and what each siRNA changes about it. Pure, and free of
//! everything that a microscope or a plate adds.

use super::dice::{Dice, key};

/// Channels at most: nucleus, endoplasmic reticulum, actin, nucleoli, mitochondria, golgi.
pub(super) const CHANNELS: usize = 6;

/// How cells of one type look under one siRNA. Lengths are in pixels of a field 512 pixels wide.
#[derive(Debug, Clone, PartialEq)]
pub struct Biology {
    /// Cells in a field of view.
    pub cells: f32,
    /// Radius of a cell that nothing hinders.
    pub radius: f32,
    /// Long axis over short axis.
    pub elongation: f32,
    /// Irregularity of the outline, as a share of the radius.
    pub raggedness: f32,
    /// Radius of the nucleus.
    pub nucleus: f32,
    /// How much cells gather in clumps, 0 to 1.
    pub clumping: f32,
    /// Size of grain, vesicles, fibres and threads, relative to the usual.
    pub texture_scale: f32,
    /// Strength of actin fibres.
    pub fibres: f32,
    /// How much brighter the golgi's stain is over the nucleus than beside it.
    pub glow: f32,
    /// How far the golgi spreads from its place beside the nucleus, relative to the usual.
    pub golgi_spread: f32,
    /// Brightness of the stained structures in grey levels, `[channel]`.
    pub intensity: [f32; CHANNELS],
}

/// Mean grey levels that the stained structures add to each cell type's images. They follow RxRx1's per-plate pixel
/// statistics, of experiments that are not bright ([`super::batch`]), and the means of nine sites, which are a little
/// higher.
pub(super) const MEANS: [(&str, [f32; CHANNELS]); 4] = [
    ("HEPG2", [5.5, 17.0, 11.0, 11.0, 8.0, 9.0]),
    ("HUVEC", [4.0, 18.0, 8.5, 9.5, 3.0, 8.5]),
    ("RPE", [3.0, 13.0, 13.5, 8.0, 5.0, 11.0]),
    ("U2OS", [8.0, 12.0, 11.5, 9.5, 3.5, 14.0]),
];

/// Mean light of the cytoplasm at intensity 1 in channels 2 to 6, measured over rendered sites; what fibres add to
/// actin, and nuclei to the golgi's stain.
const LIGHT: [f32; 5] = [0.87, 0.59, 0.66, 0.345, 0.97];
const FIBRES: f32 = 0.15;
const GLOW: f32 = 0.17;

impl Biology {
    /// Untreated cells of a type. A name that RxRx1 does not have gets a look of its own, derived from the name.
    pub(super) fn of_cell_type(name: &str) -> Self {
        let mut dice = Dice::new(0xce11, &[key(name)]);
        let known = MEANS.iter().find(|(known, _)| *known == name);
        let means = known
            .map_or_else(|| [3.5, 12.0, 8.0, 7.5, 4.0, 7.0].map(|mean| mean * dice.factor(0.3)), |(_, means)| *means);
        let shape = match name {
            "HEPG2" => [230.0, 32.0, 1.3, 0.20, 10.5, 0.5, 0.9, 0.4, 0.1],
            "HUVEC" => [105.0, 50.0, 2.0, 0.26, 12.5, 0.3, 1.0, 1.0, 1.0],
            "RPE" => [85.0, 55.0, 1.7, 0.22, 13.5, 0.25, 1.05, 1.5, 0.7],
            "U2OS" => [100.0, 50.0, 1.6, 0.28, 13.5, 0.3, 1.0, 0.9, 1.0],
            _ => [
                dice.between(60.0, 120.0),
                dice.between(34.0, 48.0),
                dice.between(1.2, 1.9),
                dice.between(0.14, 0.3),
                dice.between(11.0, 15.0),
                dice.between(0.1, 0.8),
                dice.between(0.85, 1.15),
                dice.between(0.6, 1.4),
                dice.between(0.1, 1.0),
            ],
        };
        let [cells, radius, elongation, raggedness, nucleus, clumping, texture_scale, fibres, glow] = shape;
        let mut biology = Self {
            cells,
            radius,
            elongation,
            raggedness,
            nucleus,
            clumping,
            texture_scale,
            fibres,
            glow,
            golgi_spread: 1.0,
            intensity: means,
        };
        let light = biology.expected_light();
        for (intensity, light) in biology.intensity.iter_mut().zip(light) {
            *intensity /= light;
        }
        biology
    }

    /// The mean signal of a field of view of these cells at intensity 1, roughly: measured over rendered sites and
    /// fitted by area, so that a cell type's mean grey levels come out as the table says.
    fn expected_light(&self) -> [f32; CHANNELS] {
        let field = 512.0 * 512.0;
        let nuclei = 0.87 * self.cells * std::f32::consts::PI * self.nucleus.powi(2) / field;
        let cytoplasm = 1.0 - (-self.cells * std::f32::consts::PI * self.radius.powi(2) / field).exp();
        let [er, actin, rna, mitochondria, golgi] = LIGHT.map(|light| light * cytoplasm);
        let actin = actin + FIBRES * self.fibres * cytoplasm;
        [nuclei, er, actin, rna, mitochondria, golgi * (1.0 + GLOW * self.glow)]
    }

    /// The same cells under a siRNA.
    #[must_use]
    pub fn under(&self, effect: &Effect) -> Self {
        let mut intensity = self.intensity;
        for (intensity, factor) in intensity.iter_mut().zip(effect.intensity) {
            *intensity *= factor;
        }
        Self {
            cells: self.cells * effect.number,
            radius: self.radius * effect.size,
            elongation: 1.0 + (self.elongation - 1.0) * effect.elongation,
            raggedness: (self.raggedness * effect.raggedness).min(0.45),
            nucleus: self.nucleus * effect.nucleus,
            clumping: self.clumping,
            texture_scale: self.texture_scale * effect.texture_scale,
            fibres: self.fibres * effect.fibres,
            glow: self.glow,
            golgi_spread: self.golgi_spread * effect.golgi_spread,
            intensity,
        }
    }
}

/// What a siRNA does, each as a factor: 1 changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// On the number of cells.
    pub number: f32,
    /// On the radius of a cell.
    pub size: f32,
    /// On how much longer than wide a cell is.
    pub elongation: f32,
    /// On the irregularity of the outline.
    pub raggedness: f32,
    /// On the radius of the nucleus.
    pub nucleus: f32,
    /// On the size of textures.
    pub texture_scale: f32,
    /// On the strength of actin fibres.
    pub fibres: f32,
    /// On the spread of the golgi.
    pub golgi_spread: f32,
    /// On the brightness of each channel.
    pub intensity: [f32; CHANNELS],
}

impl Effect {
    /// No siRNA.
    pub const NONE: Self = Self {
        number: 1.0,
        size: 1.0,
        elongation: 1.0,
        raggedness: 1.0,
        nucleus: 1.0,
        texture_scale: 1.0,
        fibres: 1.0,
        golgi_spread: 1.0,
        intensity: [1.0; CHANNELS],
    };

    /// The effect of a class in a cell type. Four to seven traits move. Most of it is common to all cell types and
    /// some is not, as with real knock-downs; positive controls are chosen for being strong.
    #[must_use]
    pub fn of_class(seed: u64, class: u32, cell_type: &str, strength: Strength) -> Self {
        let mut common = Dice::new(seed, &[0x51, u64::from(class)]);
        let mut own = Dice::new(seed, &[0x52, u64::from(class), key(cell_type)]);
        let strength = match strength {
            Strength::Treatment => common.between(0.5, 1.0),
            Strength::PositiveControl => 1.2,
        };
        let mut traits: Vec<usize> = (0..SIGMAS.len()).collect();
        common.shuffle(&mut traits);
        let mut factors = [1.0; SIGMAS.len()];
        for &i in &traits[..4 + common.below(4)] {
            let sign = if common.unit() < 0.5 { -1.0 } else { 1.0 };
            let size = common.between(0.6, 1.6) * own.factor(0.15);
            factors[i] = (sign * size * strength * SIGMAS[i]).exp();
        }
        let [number, size, elongation, raggedness, nucleus, texture_scale, fibres, golgi_spread, intensity @ ..] =
            factors;
        Self { number, size, elongation, raggedness, nucleus, texture_scale, fibres, golgi_spread, intensity }
    }
}

/// How strongly siRNAs of a population act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// As they come.
    Treatment,
    /// Chosen for a clear phenotype.
    PositiveControl,
}

/// Logarithmic size of a usual change, in the order of [`Effect`]'s fields. Those of the intensities stay well below
/// what differs between experiments (see [`super::batch`]), so that raw brightness tells the experiment, not the siRNA.
const SIGMAS: [f32; 8 + CHANNELS] =
    [0.40, 0.20, 0.60, 0.40, 0.17, 0.35, 0.50, 0.50, 0.28, 0.28, 0.28, 0.28, 0.28, 0.28];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_does_the_same_wherever_it_is_asked_for() {
        let effect = |seed, class, cell_type| Effect::of_class(seed, class, cell_type, Strength::Treatment);
        assert_eq!(effect(7, 3, "RPE"), effect(7, 3, "RPE"));
        assert_ne!(effect(7, 3, "RPE"), effect(7, 4, "RPE"));
        assert_ne!(effect(7, 3, "RPE"), effect(8, 3, "RPE"));
        assert_ne!(effect(7, 3, "RPE"), effect(7, 3, "U2OS"));
    }

    #[test]
    fn no_effect_changes_nothing() {
        let cells = Biology::of_cell_type("HUVEC");
        assert_eq!(cells.under(&Effect::NONE), cells);
    }
}
