//! What to say of a name that is not known: the nearest that is. A name that other frameworks have for the same thing is
//! near, and so is one with `_` for `-`.

use crate::error::Error;

/// What others call things, and what they are called here.
pub(crate) const ALIASES: [(&str, &str); 50] = [
    ("learning-rate", "lr"),
    ("base-lr", "lr"),
    ("batch-size", "batch"),
    ("bs", "batch"),
    ("per-device-train-batch-size", "batch"),
    ("n-epochs", "epochs"),
    ("num-epochs", "epochs"),
    ("num-train-epochs", "epochs"),
    ("max-epochs", "epochs"),
    ("wd", "weight-decay"),
    ("l2", "weight-decay"),
    ("optim", "optimizer"),
    ("opt", "optimizer"),
    ("optimiser", "optimizer"),
    ("scheduler", "schedule"),
    ("lr-scheduler", "schedule"),
    ("lr-schedule", "schedule"),
    ("warmup", "warmup-epochs"),
    ("arch", "model"),
    ("architecture", "model"),
    ("backbone", "model"),
    ("network", "model"),
    ("pretrained", "init-from"),
    ("weights", "init-from"),
    ("normalise", "normalize"),
    ("normalisation", "normalize"),
    ("normalization", "normalize"),
    ("amp", "precision"),
    ("dtype", "precision"),
    ("mixed-precision", "precision"),
    ("accumulate-grad-batches", "accumulate"),
    ("gradient-accumulation-steps", "accumulate"),
    ("grad-clip", "clip-norm"),
    ("clip-grad-norm", "clip-norm"),
    ("gradient-clip-val", "clip-norm"),
    ("max-grad-norm", "clip-norm"),
    ("smoothing", "label-smoothing"),
    ("random-seed", "seed"),
    ("img-size", "resize"),
    ("image-size", "resize"),
    ("val-split", "validation-share"),
    ("num-workers", "threads"),
    ("workers", "threads"),
    ("jobs", "threads"),
    ("gpu", "device"),
    ("cuda", "device"),
    ("output-dir", "run"),
    ("out-dir", "run"),
    ("outdir", "run"),
    ("log-dir", "run"),
];

/// An error for a name that is not among those that are known, with the nearest of them.
pub(crate) fn unknown<'a>(what: &str, expected: &str, found: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
    let known: Vec<&str> = known.into_iter().collect();
    let expected = match nearest(found, &known) {
        Some(name) => format!("{expected} (nearest: {name})"),
        None => format!("{expected} ({})", known.join(", ")),
    };
    Error::refused(what, expected, format!("{found:?}"))
}

/// The name among those that are known that is meant by another. A name that differs in more than a third of its letters is not.
pub(crate) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |name: &str| name.replace('_', "-").to_lowercase();
    let found = plain(found);
    let alias = ALIASES.iter().find(|(other, _)| *other == found);
    if let Some(name) = alias.and_then(|(_, own)| known.iter().find(|name| **name == *own)) {
        return Some(name);
    }
    let near = known.iter().map(|name| (strsim::damerau_levenshtein(&found, &plain(name)), *name)).min();
    near.filter(|(distance, _)| *distance <= found.chars().count().max(3) / 3).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_its_letters_and_by_what_others_call_it() {
        let known = ["lr", "batch", "batch-by", "weight-decay", "normalize", "optimizer"];
        for (found, expected) in [
            ("learning-rate", Some("lr")),
            ("learning_rate", Some("lr")),
            ("Batch_Size", Some("batch")),
            ("weight_decay", Some("weight-decay")),
            ("BATCH_BY", Some("batch-by")),
            ("normalise", Some("normalize")),
            ("optimzer", Some("optimizer")),
            // Known by others, and nothing here.
            ("num-workers", None),
            ("xyz", None),
        ] {
            assert_eq!(nearest(found, &known), expected, "{found}");
        }
    }
}
