//! Finding the weights that predict a channel best: least squares, over some of its rows.

use super::model::{Model, NEIGHBOURS, NO_REFERENCE, PAIRS, REFERENCES, WEIGHT_BITS, WEIGHTS_OF_PAIR};
use super::rows::Window;

/// Rows that are looked at: enough, as each of 512 pixels moves few weights by more than they are rounded by.
const ROWS: usize = 32;
/// Channels of which it is tried whether their residuals tell anything: the last before this one.
const CANDIDATES: usize = 8;
/// The most unknowns: neighbours, candidates and a constant; and what they should add up to.
const MOST: usize = NEIGHBOURS + CANDIDATES + 1;
/// What a reference must take away of the squared error to be one.
const LEAST_GAIN: f64 = 5e-4;

/// Products of all with all, summed over pixels. The last is what is to be predicted.
struct Products {
    sums: [[f64; MOST + 1]; MOST + 1],
    unknowns: usize,
}

/// The model that predicts a plane, `[y, x]`, of which `before` are the residuals of the channels before it.
pub(super) fn fit(plane: &[u8], width: usize, before: &[&[u8]]) -> Model {
    let above = (plane[..width].iter().map(|&p| u64::from(p)).sum::<u64>() / width as u64) as u8;
    let first = before.len().saturating_sub(CANDIDATES);
    let products = Products::of(plane, width, &before[first..], above);
    let constant = products.unknowns - 1;
    let mut used: Vec<usize> = (0..NEIGHBOURS).collect();
    let mut error = products.error(&[&used[..], &[constant]].concat());
    for _ in 0..REFERENCES {
        let candidates = (NEIGHBOURS..constant).filter(|candidate| !used.contains(candidate));
        let tried =
            candidates.map(|candidate| (products.error(&[&used[..], &[candidate, constant]].concat()), candidate));
        match tried.min_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((less, candidate)) if less < error * (1.0 - LEAST_GAIN) => {
                error = less;
                used.push(candidate);
            }
            _ => break,
        }
    }
    let (weights, bias) = products.rounded(&used);
    let mut model = Model {
        weights: [0; NEIGHBOURS],
        reference_weights: [0; REFERENCES],
        references: [NO_REFERENCE; REFERENCES],
        bias,
        above,
        thresholds: Default::default(),
    };
    model.weights.copy_from_slice(&weights[..NEIGHBOURS]);
    let chosen = used[NEIGHBOURS..].iter().zip(&weights[NEIGHBOURS..]).filter(|(_, weight)| **weight != 0);
    for ((reference, own), (&candidate, &weight)) in
        model.references.iter_mut().zip(&mut model.reference_weights).zip(chosen)
    {
        *reference = (first + candidate - NEIGHBOURS) as u8;
        *own = weight;
    }
    model
}

impl Products {
    fn of(plane: &[u8], width: usize, before: &[&[u8]], above: u8) -> Self {
        let height = plane.len() / width;
        let unknowns = NEIGHBOURS + before.len() + 1;
        let mut sums = [[0.0; MOST + 1]; MOST + 1];
        let every = (height / ROWS).max(1);
        let mut wide: Vec<Vec<i16>> = vec![Vec::with_capacity(width); unknowns + 1];
        for y in (every / 2..height).step_by(every) {
            let mut window = Window::new(width, above);
            for y in y.saturating_sub(2)..=y {
                window.enter(&plane[y * width..][..width]);
            }
            let pixels = window.neighbours();
            for (wide, row) in wide.iter_mut().zip(pixels) {
                wide.clear();
                wide.extend(row.iter().map(|&p| i16::from(p)));
            }
            for (wide, plane) in wide[NEIGHBOURS..].iter_mut().zip(before) {
                wide.clear();
                wide.extend(plane[y * width..][..width].iter().map(|&r| i16::from(r.cast_signed())));
            }
            wide[unknowns - 1].clear();
            wide[unknowns - 1].resize(width, 1);
            wide[unknowns].clear();
            wide[unknowns].extend(plane[y * width..][..width].iter().map(|&p| i16::from(p)));
            for (j, a) in wide.iter().enumerate() {
                for (k, b) in wide[..=j].iter().enumerate() {
                    sums[j][k] += dot(a, b);
                    sums[k][j] = sums[j][k];
                }
            }
        }
        Self { sums, unknowns }
    }

    /// The weights of the unknowns `used` that leave least of what is to be predicted, of which `known` is taken away.
    fn solve(&self, used: &[usize], known: &[(usize, f64)]) -> Vec<f64> {
        let n = used.len();
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n);
        for &j in used {
            let mut row: Vec<f64> = used.iter().map(|&k| self.sums[j][k]).collect();
            let left =
                self.sums[j][self.unknowns] - known.iter().map(|&(k, weight)| weight * self.sums[j][k]).sum::<f64>();
            row.push(left);
            rows.push(row);
        }
        // So that what is the same as something else, or always zero, is no division by zero.
        for (i, row) in rows.iter_mut().enumerate() {
            row[i] += row[i] * 1e-9 + 1e-3;
        }
        for i in 0..n {
            let (done, rest) = rows.split_at_mut(i + 1);
            for row in rest {
                let factor = row[i] / done[i][i];
                row[i..].iter_mut().zip(&done[i][i..]).for_each(|(a, b)| *a -= factor * b);
            }
        }
        let mut weights = vec![0.0; n];
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|k| rows[i][k] * weights[k]).sum();
            weights[i] = (rows[i][n] - known) / rows[i][i];
        }
        weights
    }

    /// The squared error that is left by the best weights of `used`.
    fn error(&self, used: &[usize]) -> f64 {
        let weights = self.solve(used, &[]);
        let taken: f64 = used.iter().zip(&weights).map(|(&k, weight)| weight * self.sums[k][self.unknowns]).sum();
        self.sums[self.unknowns][self.unknowns] - taken
    }

    /// Weights in 1/128 and the constant. Rounded one after the other, the largest first, the others each time solved
    /// anew, so that they make up for it.
    fn rounded(&self, used: &[usize]) -> (Vec<i8>, i16) {
        let one = f64::from(1 << WEIGHT_BITS);
        let mut weights = vec![0; used.len()];
        let mut known: Vec<(usize, f64)> = Vec::with_capacity(used.len());
        let mut free = [used, &[self.unknowns - 1]].concat();
        while free.len() > 1 {
            let solved = self.solve(&free, &known);
            let sizes = solved[..free.len() - 1].iter().map(|weight| weight.abs());
            let largest = sizes.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(i, _)| i);
            let unknown = free.remove(largest);
            let at = used.iter().position(|&k| k == unknown).expect("what is free is used");
            // What the other neighbour of a pair leaves; see `Model::is_sound`.
            let pair = PAIRS.into_iter().find(|pair| pair.contains(&at));
            let other = pair.map_or(0, |pair| i16::from(weights[if pair[0] == at { pair[1] } else { pair[0] }]));
            let least = (WEIGHTS_OF_PAIR.start() - other.min(0)).max(-127);
            let most = (WEIGHTS_OF_PAIR.end() - other.max(0)).min(127);
            let weight = (solved[largest] * one).round().clamp(f64::from(least), f64::from(most)) as i8;
            known.push((unknown, f64::from(weight) / one));
            weights[at] = weight;
        }
        let bias = self.solve(&free, &known)[0] * one;
        (weights, bias.round() as i16)
    }
}

/// The sum of the products of two rows.
fn dot(a: &[i16], b: &[i16]) -> f64 {
    // As long as 32 bits hold the sums of 255 times 255; said to wrap around, so that vectors are made of it.
    let parts = a.chunks(1 << 14).zip(b.chunks(1 << 14));
    let sum = |(a, b): (&[i16], &[i16])| {
        let products = a.iter().zip(b).map(|(&a, &b)| i32::from(a).wrapping_mul(i32::from(b)));
        f64::from(products.fold(0, i32::wrapping_add))
    };
    parts.map(sum).sum()
}
