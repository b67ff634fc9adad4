//! Which outputs a network has. Pure.

use crate::error::{Error, Result};
use crate::site::Population;
use crate::store::Store;
use crate::training::recipe::{Controls, Recipe};

use super::split::Split;

/// The outputs of a network: the classes of all treatments in order, then, where controls are trained on, theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassMap {
    classes: Vec<u32>,
    n_treatments: usize,
}

impl ClassMap {
    /// The outputs that a recipe needs on a store.
    ///
    /// # Errors
    /// If the store has fewer than two classes of treatments.
    pub fn new(store: &Store, recipe: &Recipe) -> Result<Self> {
        let of = |wanted: fn(Population) -> bool| {
            let rows = store.classes().rows().iter().filter(move |row| wanted(row.population));
            rows.map(|row| row.class).collect::<Vec<u32>>()
        };
        let mut classes = of(|population| matches!(population, Population::Treatment | Population::Unknown));
        let n_treatments = classes.len();
        if n_treatments < 2 {
            let expected = "two classes of treatments or more";
            return Err(Error::refused(store.root().display(), expected, n_treatments));
        }
        if recipe.controls != Controls::None {
            classes.extend(of(Population::is_control));
        }
        Ok(Self { classes, n_treatments })
    }

    /// Outputs as a run began with them, also where its store has got more classes since: the classes of treatments,
    /// then of controls, each in order.
    #[must_use]
    pub fn of_outputs(classes: Vec<u32>, n_treatments: usize) -> Self {
        Self { classes, n_treatments }
    }

    /// The class of each output.
    #[must_use]
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// Checks that every treatment of a split has an output among the treatments.
    ///
    /// # Errors
    /// If one has the class of a control; the error names its site.
    pub fn check(&self, store: &Store, split: &Split) -> Result<()> {
        let rows = split.train.iter().chain(&split.validation).map(|&i| &store.sites()[i]);
        for row in rows.filter(|row| !row.label.population.is_control()) {
            if row.label.class.and_then(|class| self.output(class)).is_none_or(|output| output >= self.n_treatments) {
                let found = row.label.class.map_or("none".to_owned(), |class| class.to_string());
                return Err(Error::malformed(format!("site {}", row.id.shown()), "the class of a treatment", found));
            }
        }
        Ok(())
    }

    /// How many outputs are treatments; they come first.
    #[must_use]
    pub fn n_treatments(&self) -> usize {
        self.n_treatments
    }

    /// The output of a class.
    #[must_use]
    pub fn output(&self, class: u32) -> Option<usize> {
        let (treatments, controls) = self.classes.split_at(self.n_treatments);
        let control = || controls.binary_search(&class).ok().map(|i| i + self.n_treatments);
        treatments.binary_search(&class).ok().or_else(control)
    }
}
