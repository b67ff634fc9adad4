//! From raw pixels to what a network gets, all on the device, in this order: grey levels in float32, salt and pepper,
//! normalisation with its clip, light, geometry in one resampling, resizing, CutMix. What the network computes with
//! comes last, and is the network's part: its kind of number and its memory format.

use std::collections::BTreeSet;

use tch::{Device, Kind, Tensor};

use cellshard::error::{Error, Result};
use cellshard::site::PlateId;
use cellshard::store::Store;
use cellshard::training::data::channel_stats::{ChannelStats, LEAST_SPREAD, MAD_TO_STD};
use cellshard::training::data::{self, PlateTable};
use cellshard::training::recipe::{Normalize, Recipe};

use super::ops::{self, Mixed, Sampling};
use super::params::{AugmentParams, interpolates, resamples};
use crate::device::batch::levels;

/// Normalised values are held within this on both sides: a speck of dust is a hundred deviations from the mean.
pub const CLIP: f64 = 10.0;

/// What happens to the pixels of one store under one recipe.
pub struct Pipeline {
    recipe: Recipe,
    /// `[2, plates, channels] f32`: centres, spreads; unused for [`Normalize::Site`].
    table: Tensor,
    /// `[2, channels] f32`: the darkest and the brightest level of each channel, which noise sets pixels to.
    ends: Tensor,
    n_channels: usize,
    store_size: [u32; 2],
    window: [u32; 2],
    input: [u32; 2],
}

/// When a batch is trained on; with what a site is known by it decides what augmentation does.
#[derive(Debug, Clone, Copy)]
pub struct AugmentSeed {
    /// The run's seed.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u32,
}

/// A batch as a network gets it.
pub struct Augmented {
    /// `[N, C, H, W] f32`.
    pub images: Tensor,
    /// How labels are mixed; `None` where they are not.
    pub mixed: Option<Mixed>,
}

impl Pipeline {
    /// The pipeline for some plates of a store. `trained` are centre and spread of each channel over what the network
    /// is trained on, for [`Normalize::Global`].
    ///
    /// # Errors
    /// If the statistics cannot be read, controls that are needed are missing, or the window does not fit.
    pub fn new(
        recipe: &Recipe,
        store: &Store,
        plates: &BTreeSet<&PlateId>,
        trained: &[[f32; 2]],
        device: Device,
    ) -> Result<Self> {
        let n_channels = store.spec().channels.len();
        let store_size = [store.spec().size.height, store.spec().size.width];
        let trained: Vec<ChannelStats> = trained
            .iter()
            .map(|&[centre, spread]| ChannelStats { centre: f64::from(centre), spread: f64::from(spread) })
            .collect();
        let PlateTable { figures, ends } = PlateTable::read(store, plates, recipe.normalize, recipe.robust, &trained)?;
        let half = |of: fn(&ChannelStats) -> f64| figures.iter().flatten().map(move |figure| of(figure) as f32);
        let table: Vec<f32> = half(|figure| figure.centre).chain(half(|figure| figure.spread)).collect();
        let table = Tensor::from_slice(&table).view([2, -1, n_channels as i64]).to_device(device);
        let ends = Tensor::from_slice2(&ends.of_channels()).to_device(device);
        let window = window(recipe, store_size)?;
        let input = Self::input_size(recipe, store_size)?;
        Ok(Self { recipe: recipe.clone(), table, ends, n_channels, store_size, window, input })
    }

    /// Height and width of what a network gets of images of a size.
    ///
    /// # Errors
    /// If the crop is larger than the image.
    pub fn input_size(recipe: &Recipe, store_size: [u32; 2]) -> Result<[u32; 2]> {
        Ok(if recipe.resize > 0 { [recipe.resize; 2] } else { window(recipe, store_size)? })
    }

    /// Centre and spread of each channel over all wells of the plates that some sites lie on: those that are trained
    /// on.
    ///
    /// # Errors
    /// If the statistics cannot be read.
    pub fn trained(recipe: &Recipe, store: &Store, sites: &[usize]) -> Result<Vec<[f32; 2]>> {
        let found = data::trained(store, sites, recipe.robust)?;
        Ok(found.into_iter().map(|figure| [figure.centre as f32, figure.spread as f32]).collect())
    }

    /// Raw pixels, `[N, C, H, W]` as [`DeviceBatch::raw`](crate::device::batch::DeviceBatch::raw) has them, as a network gets them without augmentation; `plates` is `[N] i64`.
    pub fn evaluate(&self, raw: &Tensor, plates: &Tensor) -> Tensor {
        let [height, width] = self.store_size.map(i64::from);
        let [h, w] = self.window.map(i64::from);
        let middle = |images: &Tensor| images.narrow(2, (height - h) / 2, h).narrow(3, (width - w) / 2, w);
        // What is cut off needs no normalising, unless the image is normalised by itself as a whole.
        let images = match self.recipe.normalize {
            Normalize::Site => middle(&self.normalise(raw, plates, None)),
            _ => self.normalise(&middle(raw), plates, None),
        };
        self.resize(&images)
    }

    /// The same with augmentation; `keys` are what the sites are known by, as
    /// [`site_keys`](cellshard::training::data::site_keys) has it.
    #[must_use]
    pub fn augment(&self, raw: &Tensor, plates: &Tensor, keys: &[u64], seed: AugmentSeed) -> Augmented {
        let recipe = &self.recipe;
        let draw = |&key: &u64| {
            let AugmentSeed { seed, epoch } = seed;
            AugmentParams::draw(recipe, self.n_channels, self.store_size, self.window, seed, epoch, key)
        };
        let params: Vec<AugmentParams> = keys.iter().map(draw).collect();
        let changes_intensity = recipe.gain > 0.0 || recipe.offset > 0.0;
        let intensity = changes_intensity.then(|| ops::intensity(&params, raw.device()));
        let mut images = if recipe.noise > 0.0 {
            let noisy = ops::salt_and_pepper(&levels(raw).to_kind(Kind::Float), &params, recipe.noise, &self.ends);
            self.normalise(&noisy, plates, intensity)
        } else {
            self.normalise(raw, plates, intensity)
        };
        if resamples(recipe) {
            let sampling = if interpolates(recipe) { Sampling::Bilinear } else { Sampling::Nearest };
            images = ops::warp(&images, &params, self.window, sampling);
        }
        images = self.resize(&images);
        match ops::cutmix(&images, &params) {
            Some((images, mixed)) => Augmented { images, mixed: Some(mixed) },
            None => Augmented { images, mixed: None },
        }
    }

    /// Raw pixels, or grey levels in float32, as a new tensor of float32; multiplied and shifted by `light`, gain and offset
    /// `[N, C, 1, 1]`, after the clip.
    fn normalise(&self, raw: &Tensor, plates: &Tensor, intensity: Option<(Tensor, Tensor)>) -> Tensor {
        let levels = &levels(raw);
        let (centre, spread) = if self.recipe.normalize == Normalize::Site {
            self.of_each_image(&levels.to_kind(Kind::Float))
        } else {
            let of_plate = |half: i64| self.table.get(half).index_select(0, plates).unsqueeze(-1).unsqueeze(-1);
            (of_plate(0), of_plate(1))
        };
        // Two passes over the pixels, whatever is done to them: a multiplication with an addition, in which u8 becomes
        // float32, and the clip, whose bounds gain and offset move, too.
        match intensity {
            None => {
                let factor = spread.reciprocal();
                (-centre * &factor).addcmul(levels, &factor).clamp_(-CLIP, CLIP)
            }
            Some((gain, offset)) => {
                let factor = &gain / spread;
                let [low, high] = [-CLIP, CLIP].map(|bound| &gain * bound + &offset);
                (offset - centre * &factor).addcmul(levels, &factor).clamp_tensor_(Some(low), Some(high))
            }
        }
    }

    /// Centre and spread of each image and channel by itself, `[N, C, 1, 1]`.
    fn of_each_image(&self, levels: &Tensor) -> (Tensor, Tensor) {
        let flat = levels.flatten(2, 3);
        let std = flat.std_dim(-1, false, true);
        let (centre, spread) = if self.recipe.robust {
            let (median, _) = flat.median_dim(-1, true);
            let (mad, _) = (&flat - &median).abs().median_dim(-1, true);
            let mad = mad * MAD_TO_STD;
            (median, mad.where_self(&mad.gt(0.0), &std))
        } else {
            (flat.mean_dim(-1, true, Kind::Float), std)
        };
        (centre.unsqueeze(-1), spread.clamp_min(LEAST_SPREAD).unsqueeze(-1))
    }

    /// To the side that the network gets: bilinear, over the area of a pixel where the image shrinks.
    fn resize(&self, images: &Tensor) -> Tensor {
        if self.input == self.window {
            return images.shallow_clone();
        }
        images.internal_upsample_bilinear2d_aa(self.input.map(i64::from), false, None, None)
    }
}

fn window(recipe: &Recipe, [height, width]: [u32; 2]) -> Result<[u32; 2]> {
    if recipe.crop == 0 {
        return Ok([height, width]);
    }
    if recipe.crop > height.min(width) {
        return Err(Error::refused("--crop", format!("at most the image's {height} x {width} pixels"), recipe.crop));
    }
    Ok([recipe.crop; 2])
}
