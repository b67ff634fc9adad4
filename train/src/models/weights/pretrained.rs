//! Starting a network from weights that were trained on other images: which tensors are taken, which are adapted, which
//! are left. Guesses nothing: what fits in no foreseen way is an error.

use std::collections::BTreeSet;
use std::path::Path;

use tch::{TchError, Tensor};

use crate::models::Network;
use cellshard::error::{Error, Result};

use super::safetensors::{copy_all, describe, first_few, first_line, fits, kind_fits, read};

/// What became of each tensor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InitReport {
    /// Names of the tensors that were taken as they are (converted to the network's kind).
    pub loaded: Vec<String>,
    /// Tensors that were adapted, each as `name: how`.
    pub adapted: Vec<String>,
    /// Tensors of the network that kept their initial values, each as `name: why`.
    pub left: Vec<String>,
    /// Names of tensors of the file that the network has no place for.
    pub unused: Vec<String>,
}

impl InitReport {
    /// What to write into a log: every tensor by name.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let list = |what: &str, names: &[String]| format!("{what} {}: {}", names.len(), names.join(", "));
        let each = |what: &str, names: &[String]| names.iter().map(|name| format!("{what} {name}")).collect::<Vec<_>>();
        let mut lines = vec![list("loaded", &self.loaded)];
        lines.extend(each("adapted", &self.adapted));
        lines.extend(each("left", &self.left));
        if !self.unused.is_empty() {
            lines.push(list("not used", &self.unused));
        }
        lines
    }
}

/// What to do with one tensor of the network.
enum Plan {
    Load,
    Adapt(Tensor, String),
    Leave(String),
}

/// Starts a network from a safetensors file of the same architecture, such as torchvision's weights of `ImageNet`.
///
/// A first convolution with another number of input channels is spread over ours: its mean over the input channels,
/// times old / new, for each of ours, so that an image that is alike in all channels gets the same response. A
/// classifier of another size, or that the file lacks, is left as it is, and so are `num_batches_tracked` that the file
/// lacks (those saved by old versions of PyTorch). If it fails, the network is as before.
///
/// # Errors
/// If the file cannot be read or is malformed, if none of its tensors fits, if one is missing or of a shape that has no
/// meaning here, or if the file goes on where the network ends (a deeper one of the same family).
pub fn init_from(network: &mut Network, path: &Path) -> Result<InitReport> {
    let weights = read(path)?;
    let architecture = network.spec().architecture;
    let ours = network.tensors();
    let names: BTreeSet<&str> = ours.iter().map(|(name, _)| *name).collect();
    let expected = format!("weights of {architecture}");
    if !weights.tensors.keys().any(|name| names.contains(name.as_str())) {
        let example = weights.tensors.keys().next().map_or_else(String::new, |name| format!(" ({name}, ..)"));
        let found = format!("{} tensors, none of which it has{example}", weights.tensors.len());
        return Err(Error::malformed(path.display(), expected, found));
    }

    // A tensor beside ours in a module of ours means that this is a deeper network, half of which would do no good.
    let modules: BTreeSet<&str> = names.iter().map(|name| module(name)).collect();
    let unused: Vec<_> = weights.tensors.keys().filter(|name| !names.contains(name.as_str())).cloned().collect();
    let deeper: Vec<_> = unused.iter().filter(|name| modules.contains(module(name))).cloned().collect();
    if let Some(found) = first_few("that it lacks", &deeper) {
        return Err(Error::malformed(path.display(), expected, found));
    }

    let mut report = InitReport { unused, ..InitReport::default() };
    let mut copies: Vec<(&Tensor, Tensor)> = Vec::new();
    for &(name, to) in &ours {
        let from = weights.tensors.get(name);
        match plan(network, name, to, from).map_err(|(expected, found)| {
            Error::malformed(format!("{}: tensor {name} of {architecture}", path.display()), expected, found)
        })? {
            Plan::Load => {
                report.loaded.push(name.to_owned());
                copies.extend(from.map(|from| (to, from.shallow_clone())));
            }
            Plan::Adapt(tensor, how) => {
                report.adapted.push(format!("{name}: {how}"));
                copies.push((to, tensor));
            }
            Plan::Leave(why) => report.left.push(format!("{name}: {why}")),
        }
    }
    copy_all(copies.iter().map(|(to, from)| (*to, from)), &path.display().to_string())?;
    Ok(report)
}

/// The part of the network that a tensor belongs to: its name up to the first dot.
fn module(name: &str) -> &str {
    name.split_once('.').map_or(name, |(module, _)| module)
}

/// Decides, or says what was expected and found.
fn plan(network: &Network, name: &str, to: &Tensor, from: Option<&Tensor>) -> Result<Plan, (String, String)> {
    let is_classifier = name.strip_prefix(network.classifier()).is_some_and(|rest| rest.starts_with('.'));
    let ours = describe(to);
    let Some(from) = from else {
        return if is_classifier || name.ends_with(".num_batches_tracked") {
            Ok(Plan::Leave("the file holds none".to_owned()))
        } else {
            Err((ours.to_string(), "none".to_owned()))
        };
    };
    let theirs = describe(from);
    if fits(&ours, &theirs) {
        return Ok(Plan::Load);
    }
    let same_rank = ours.shape.len() == theirs.shape.len();
    let others_alike = |free: usize| {
        let alike = |(side, (a, b)): (usize, (&i64, &i64))| side == free || a == b;
        same_rank && ours.shape.iter().zip(&theirs.shape).enumerate().all(alike)
    };
    if kind_fits(ours.kind, theirs.kind) {
        if is_classifier && others_alike(0) {
            return Ok(Plan::Leave(format!("of {} classes in the file, of {} here", theirs.shape[0], ours.shape[0])));
        }
        // No channel at all has no mean to spread.
        if name.strip_suffix(".weight") == Some(network.first_conv()) && others_alike(1) && theirs.shape[1] > 0 {
            let (old, new) = (theirs.shape[1], ours.shape[1]);
            let spread = spread(from, old, new).map_err(|e| (ours.to_string(), first_line(&e)))?;
            return Ok(Plan::Adapt(spread, format!("{old} input channels spread over {new}")));
        }
    }
    Err((ours.to_string(), theirs.to_string()))
}

/// The weight `[O, old, kh, kw]` of a first convolution for `new` input channels, in float64.
fn spread(weight: &Tensor, old: i64, new: i64) -> Result<Tensor, TchError> {
    let mean = weight.f_to_kind(tch::Kind::Double)?.f_mean_dim([1i64].as_slice(), true, tch::Kind::Double)?;
    mean.f_mul_scalar(old as f64 / new as f64)?.f_repeat([1, new, 1, 1])
}
