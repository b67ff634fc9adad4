//! Adam, AdamW and SGD by libtorch's fused kernels, with a state that is saved and restored bit by bit.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::device::ffi;
use cellshard::error::{Error, Result};
use cellshard::training::recipe::{Optimizer as Rule, Recipe};

/// An optimiser of a network's parameters, which it changes in place.
pub struct Optimizer {
    rule: Rule,
    momentum: f64,
    weight_decay: f64,
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
        let (names, parameters): (Vec<String>, Vec<Tensor>) =
            parameters.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).unzip();
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
            clip_norm: recipe.clip_norm,
            names,
            parameters,
            state,
            n_steps: 0,
        }
    }

    /// Changes the parameters by their gradients, and drops those.
    ///
    /// # Errors
    /// If a parameter has no gradient, or libtorch refuses.
    pub fn step(&mut self, learning_rate: f64) -> Result<()> {
        let gradients: Vec<Tensor> = self.parameters.iter().map(Tensor::grad).collect();
        if let Some(i) = gradients.iter().position(|gradient| !gradient.defined()) {
            return Err(Error::refused(&self.names[i], "a gradient", "none"));
        }
        if self.clip_norm > 0.0 {
            ffi::clip_gradients(&gradients, self.clip_norm)?;
        }
        let state: Vec<&[Tensor]> = self.state.iter().map(|(_, tensors)| tensors.as_slice()).collect();
        match (self.rule, state.as_slice()) {
            (Rule::Adam | Rule::Adamw, [mean, square, step]) => {
                let adam = ffi::Adam {
                    learning_rate,
                    beta1: 0.9,
                    beta2: 0.999,
                    weight_decay: self.weight_decay,
                    epsilon: 1e-8,
                    decoupled: self.rule == Rule::Adamw,
                };
                ffi::fused_adam([&self.parameters, &gradients, mean, square, step], adam)?;
            }
            (Rule::Sgd, momenta) => {
                let lists = [&self.parameters, &gradients, momenta.first().copied().unwrap_or_default()];
                ffi::fused_sgd(lists, learning_rate, self.momentum, self.weight_decay, self.n_steps == 0)?;
            }
            _ => unreachable!("the state is made by the same rule"),
        }
        self.n_steps += 1;
        ffi::drop_gradients(&self.parameters)
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
