//! Adam, AdamW and SGD by libtorch's fused kernels, with a state that is saved and restored bit by bit.

use std::collections::BTreeMap;
use std::ops::Range;

use tch::{Kind, Tensor};

use crate::device::ffi;
use cellshard::error::{Error, Result};
use cellshard::training::recipe::{Optimizer as Rule, Recipe};

/// An optimiser of a network's parameters, which it changes in place.
pub struct Optimizer {
    rule: Rule,
    momentum: f64,
    weight_decay: f64,
    /// How many of the parameters decay; they come first.
    n_decaying: usize,
    clip_norm: f64,
    names: Vec<String>,
    parameters: Vec<Tensor>,
    /// Of each kind of state, a tensor a parameter: `mean`, `square`, `step` of Adam, `momentum` of SGD.
    state: Vec<(&'static str, Vec<Tensor>)>,
    n_steps: u64,
}

impl Optimizer {
    /// An optimiser of named parameters by a recipe, its state all zero.
    #[must_use]
    pub fn new(recipe: &Recipe, parameters: &[(String, Tensor)]) -> Self {
        let decays = |(_, parameter): &&(String, Tensor)| recipe.decay_bias_and_norm || parameter.dim() > 1;
        let (decaying, others): (Vec<_>, Vec<_>) = parameters.iter().partition(decays);
        let n_decaying = decaying.len();
        let in_order = decaying.into_iter().chain(others);
        let (names, parameters): (Vec<String>, Vec<Tensor>) =
            in_order.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).unzip();
        let zeros = || parameters.iter().map(|p| p.detach().zeros_like()).collect::<Vec<_>>();
        let state = match recipe.optimizer {
            Rule::Adam | Rule::Adamw => {
                let counts = parameters.iter().map(|p| Tensor::zeros([], (Kind::Float, p.device()))).collect();
                vec![("mean", zeros()), ("square", zeros()), ("step", counts)]
            }
            // The kernel wants none where it would not use it.
            Rule::Sgd if recipe.momentum == 0.0 => Vec::new(),
            Rule::Sgd => vec![("momentum", zeros())],
        };
        Self {
            rule: recipe.optimizer,
            momentum: recipe.momentum,
            weight_decay: recipe.weight_decay,
            n_decaying,
            clip_norm: recipe.clip_norm,
            names,
            parameters,
            state,
            n_steps: 0,
        }
    }

    /// Changes the parameters by their gradients, times a factor, and drops those.
    ///
    /// # Errors
    /// If a parameter has no gradient, or libtorch refuses.
    pub fn step(&mut self, learning_rate: f64, factor: f64) -> Result<()> {
        let gradients: Vec<Tensor> = self.parameters.iter().map(Tensor::grad).collect();
        if let Some(i) = gradients.iter().position(|gradient| !gradient.defined()) {
            return Err(Error::refused(&self.names[i], "a gradient", "none"));
        }
        #[expect(clippy::float_cmp, reason = "1 is what says that nothing is to be done")]
        if factor != 1.0 {
            tch::no_grad(|| gradients.iter().for_each(|gradient| drop(gradient.shallow_clone().g_mul_scalar_(factor))));
        }
        if self.clip_norm > 0.0 {
            ffi::clip_gradients(&gradients, self.clip_norm)?;
        }
        let n = if self.weight_decay == 0.0 { self.names.len() } else { self.n_decaying };
        self.update(&gradients, 0..n, learning_rate, self.weight_decay)?;
        if n < self.names.len() {
            self.update(&gradients, n..self.names.len(), learning_rate, 0.0)?;
        }
        self.n_steps += 1;
        ffi::drop_gradients(&self.parameters)
    }

    /// Changes some of the parameters.
    fn update(&self, gradients: &[Tensor], which: Range<usize>, learning_rate: f64, weight_decay: f64) -> Result<()> {
        let parameters = &self.parameters[which.clone()];
        let gradients = &gradients[which.clone()];
        let state: Vec<&[Tensor]> = self.state.iter().map(|(_, tensors)| &tensors[which.clone()]).collect();
        match (self.rule, state.as_slice()) {
            (Rule::Adam | Rule::Adamw, [mean, square, step]) => {
                let adam = ffi::Adam {
                    learning_rate,
                    beta1: 0.9,
                    beta2: 0.999,
                    weight_decay,
                    epsilon: 1e-8,
                    decoupled: self.rule == Rule::Adamw,
                };
                ffi::fused_adam([parameters, gradients, mean, square, step], adam)
            }
            (Rule::Sgd, momenta) => {
                let lists = [parameters, gradients, momenta.first().copied().unwrap_or_default()];
                ffi::fused_sgd(lists, learning_rate, self.momentum, weight_decay, self.n_steps == 0)
            }
            _ => unreachable!("the state is made by the same rule"),
        }
    }

    /// Steps taken.
    #[must_use]
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// The state, named by kind and parameter: `mean.conv1.weight`.
    #[must_use]
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let named = |(kind, tensors): &(&'static str, Vec<Tensor>)| {
            let each = self.names.iter().zip(tensors);
            each.map(|(name, tensor)| (format!("{kind}.{name}"), tensor.shallow_clone())).collect::<Vec<_>>()
        };
        self.state.iter().flat_map(named).collect()
    }

    /// Takes a state back; `place` names its file in errors.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape.
    pub fn restore(&mut self, n_steps: u64, state: &BTreeMap<String, Tensor>, place: &str) -> Result<()> {
        for (name, tensor) in self.state() {
            let saved = state.get(&name).ok_or_else(|| Error::malformed(place, format!("{name:?}"), "none"))?;
            if saved.size() != tensor.size() || saved.kind() != tensor.kind() {
                let shape = |t: &Tensor| format!("{:?} {:?}", t.kind(), t.size());
                return Err(Error::malformed(format!("{place}: {name}"), shape(&tensor), shape(saved)));
            }
            tch::no_grad(|| tensor.shallow_clone().copy_(saved));
        }
        self.n_steps = n_steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
