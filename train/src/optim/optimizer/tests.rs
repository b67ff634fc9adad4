use crate::optim::optimizer::*;

const LR: f64 = 0.1;
const DECAY: f64 = 0.01;
/// Of the loss to the parameter, step by step.
const GRADIENTS: [f64; 3] = [0.5, -2.0, 0.25];

fn recipe(optimizer: Rule, momentum: f64) -> Recipe {
    Recipe { optimizer, momentum, weight_decay: DECAY, clip_norm: 0.0, ..Recipe::default() }
}

fn parameter(value: f64) -> Tensor {
    Tensor::from_slice(&[value, value]).set_requires_grad(true)
}

/// A parameter that starts at 1 after each step, by the optimiser.
fn stepped(recipe: &Recipe) -> Vec<f64> {
    let weight = parameter(1.0);
    let mut optimizer = Optimizer::new(recipe, &[("weight".to_owned(), weight.shallow_clone())]);
    let mut step = |&gradient: &f64| {
        (&weight * gradient).sum(Kind::Double).backward();
        optimizer.step(LR, 1.0).unwrap();
        assert!(!weight.grad().defined(), "the next gradient is not added to this one");
        let values = Vec::<f64>::try_from(&weight.detach()).unwrap();
        assert_eq!(values[0].to_bits(), values[1].to_bits());
        values[0]
    };
    GRADIENTS.iter().map(&mut step).collect()
}

/// The same by the formulas of PyTorch's documentation.
fn by_formula(rule: Rule, momentum: f64) -> Vec<f64> {
    let (beta1, beta2, epsilon) = (0.9, 0.999, 1e-8);
    let (mut weight, mut mean, mut square, mut velocity) = (1.0_f64, 0.0, 0.0, 0.0);
    let mut step = |(i, &gradient): (i32, &f64)| {
        if rule == Rule::Adamw {
            weight -= LR * DECAY * weight;
        }
        let gradient = if rule == Rule::Adamw { gradient } else { gradient + DECAY * weight };
        velocity = momentum * velocity + gradient;
        mean = beta1 * mean + (1.0 - beta1) * gradient;
        square = beta2 * square + (1.0 - beta2) * gradient * gradient;
        let mean = mean / (1.0 - f64::powi(beta1, i));
        let square: f64 = square / (1.0 - f64::powi(beta2, i));
        weight -= LR * if rule == Rule::Sgd { velocity } else { mean / (square.sqrt() + epsilon) };
        weight
    };
    (1..).zip(&GRADIENTS).map(&mut step).collect()
}

#[test]
fn each_rule_is_its_formula() {
    for (rule, momentum) in [(Rule::Sgd, 0.0), (Rule::Sgd, 0.9), (Rule::Adam, 0.9), (Rule::Adamw, 0.9)] {
        let (found, expected) = (stepped(&recipe(rule, momentum)), by_formula(rule, momentum));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-12, "{rule:?} {momentum}: {found} {expected}");
        }
    }
}

#[test]
fn a_norm_that_is_too_large_is_brought_down_over_all_parameters_together() {
    let weights = [parameter(1.0), parameter(1.0)];
    let named = [("a", 0), ("b", 1)].map(|(name, i)| (name.to_owned(), weights[i].shallow_clone()));
    let recipe = Recipe { clip_norm: 2.0, weight_decay: 0.0, ..recipe(Rule::Sgd, 0.0) };
    let mut optimizer = Optimizer::new(&recipe, &named);
    // Gradients of 1, 1, 7 and 7: a norm of 10.
    (&weights[0] + &weights[1] * 7.0).sum(Kind::Double).backward();
    optimizer.step(1.0, 1.0).unwrap();
    for (weight, expected) in weights.iter().zip([1.0 - 0.2, 1.0 - 1.4]) {
        let found = weight.detach().double_value(&[0]);
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn a_parameter_without_a_gradient_is_named() {
    let named = [("a".to_owned(), parameter(1.0)), ("b".to_owned(), parameter(1.0))];
    let mut optimizer = Optimizer::new(&recipe(Rule::Adam, 0.9), &named);
    named[0].1.sum(Kind::Double).backward();
    let error = optimizer.step(LR, 1.0).unwrap_err().to_string();
    assert!(error.contains("b: expected a gradient"), "{error}");
}

#[test]
fn biases_and_norms_decay_or_do_not_as_the_recipe_says() {
    for (optimizer, decay_bias_and_norm) in
        [(Rule::Sgd, true), (Rule::Sgd, false), (Rule::Adamw, true), (Rule::Adamw, false), (Rule::Adam, false)]
    {
        let values = |n: &[i64]| Tensor::ones(n, (Kind::Double, tch::Device::Cpu)).set_requires_grad(true);
        // A weight, a bias, and a batch norm's weight between two others, which no list may exchange.
        let named = [
            ("conv.weight", values(&[2, 2])),
            ("bn.weight", values(&[2])),
            ("fc.weight", values(&[1, 3])),
            ("fc.bias", values(&[3])),
        ];
        let named = named.map(|(name, tensor)| (name.to_owned(), tensor));
        let recipe = Recipe { decay_bias_and_norm, ..recipe(optimizer, 0.9) };
        let mut by = Optimizer::new(&recipe, &named);
        for _ in 0..2 {
            named.iter().map(|(_, tensor)| tensor.sum(Kind::Double) * 0.0).sum::<Tensor>().backward();
            by.step(LR, 1.0).unwrap();
        }
        for (name, tensor) in &named {
            let found = tensor.detach().min().double_value(&[]);
            let decays = tensor.dim() > 1 || decay_bias_and_norm;
            assert_eq!(found < 1.0, decays, "{optimizer:?} {decay_bias_and_norm} {name}: {found}");
            assert_eq!(found.to_bits(), tensor.detach().max().double_value(&[]).to_bits());
        }
    }
}

#[test]
fn a_factor_multiplies_all_gradients() {
    let recipe = Recipe { weight_decay: 0.0, ..recipe(Rule::Sgd, 0.0) };
    let (a, b) = (parameter(1.0), parameter(1.0));
    for (weight, gradient, factor) in [(&a, 0.5, 4.0), (&b, 2.0, 1.0)] {
        let mut optimizer = Optimizer::new(&recipe, &[("weight".to_owned(), weight.shallow_clone())]);
        (weight * gradient).sum(Kind::Double).backward();
        optimizer.step(LR, factor).unwrap();
        assert!((weight.detach().double_value(&[0]) - 0.8).abs() < 1e-12);
    }
}
