//! What modules and layers write everywhere: projections and scalar functions, at any scalar.

use ndarray::{
    Array, Array2, Array3, ArrayBase, ArrayD, ArrayView1, ArrayViewD, Axis, Data, Dimension, Ix2, OwnedRepr, Zip,
};

use crate::real::Real;

/// A projection of every token: the last axes of `w` are summed with all axes of `x` but the first. `[T, D]` by `[H, K, D]`
/// is `[T, H, K]`; `[T, H, V]` by `[D, H, V]` is `[T, D]`. Memory holds what comes out.
pub fn linear<F: Real, S: Data<Elem = F>, D: Dimension>(x: &ArrayBase<S, D>, w: ArrayViewD<'_, F>) -> ArrayD<F> {
    stored(product(x, w))
}

/// The same with a bias, which is added before memory holds what comes out.
pub fn affine<F: Real, S: Data<Elem = F>, D: Dimension>(
    x: &ArrayBase<S, D>,
    w: ArrayViewD<'_, F>,
    bias: ArrayViewD<'_, F>,
) -> ArrayD<F> {
    stored(plus(product(x, w), bias))
}

fn product<F: Real, S: Data<Elem = F>, D: Dimension>(x: &ArrayBase<S, D>, w: ArrayViewD<'_, F>) -> ArrayD<F> {
    let tokens = x.shape()[0];
    let (outputs, inputs) = w.shape().split_at(w.ndim() + 1 - x.ndim());
    assert_eq!(inputs, &x.shape()[1..], "a projection sums what it is given");
    let (wide, narrow) = (outputs.iter().product(), inputs.iter().product());
    let y = F::rows(matrix(x, tokens, narrow).view(), matrix(&w, wide, narrow).view());
    let shape: Vec<usize> = std::iter::once(tokens).chain(outputs.iter().copied()).collect();
    ArrayD::from_shape_vec(shape, y.into_iter().collect()).expect("an element for each row and column")
}

/// What one kernel leaves to another, as memory holds it.
pub fn stored<F: Real, D: Dimension>(x: Array<F, D>) -> Array<F, D> {
    x.mapv_into(F::stored)
}

/// The same elements, in order, in two dimensions.
pub fn matrix<F: Real, S: Data<Elem = F>, D: Dimension>(x: &ArrayBase<S, D>, rows: usize, columns: usize) -> Array2<F> {
    Array2::from_shape_vec((rows, columns), x.iter().copied().collect()).expect("as many elements as before")
}

/// `[T, D]` as `[T, H, D/H]`.
pub fn heads<F: Real, S: Data<Elem = F>, D: Dimension>(x: &ArrayBase<S, D>, heads: usize) -> Array3<F> {
    let tokens = x.shape()[0];
    let width = x.shape()[1..].iter().product::<usize>() / heads;
    Array3::from_shape_vec((tokens, heads, width), x.iter().copied().collect()).expect("heads divide the channels")
}

/// An array of known rank.
///
/// # Panics
/// When it has another rank.
pub fn rank<F, D: Dimension>(x: ArrayD<F>) -> ArrayBase<OwnedRepr<F>, D> {
    x.into_dimensionality().expect("a layer knows the ranks of its own arrays")
}

/// `x + y`, `y` repeated along the axes that it lacks in front.
pub fn plus<F: Real, D: Dimension>(mut x: Array<F, D>, y: ArrayViewD<'_, F>) -> Array<F, D> {
    let y = y.broadcast(x.raw_dim().into_dyn()).expect("a bias has the last axes of what it is added to");
    let y = y.into_dimensionality::<D>().expect("broadcasting keeps the rank");
    Zip::from(&mut x).and(&y).for_each(|x, &y| *x = *x + y);
    x
}

/// `x · y`, `y` repeated along the axes that it lacks in front.
pub fn times<F: Real, D: Dimension>(mut x: Array<F, D>, y: ArrayViewD<'_, F>) -> Array<F, D> {
    let y = y.broadcast(x.raw_dim().into_dyn()).expect("a factor has the last axes of what it multiplies");
    let y = y.into_dimensionality::<D>().expect("broadcasting keeps the rank");
    Zip::from(&mut x).and(&y).for_each(|x, &y| *x = *x * y);
    x
}

/// A bottleneck: `[T, D]` to `[T, E]` by `[E, D]`, then by `[.., E]`.
pub fn bottleneck<F: Real, S: Data<Elem = F>>(
    x: &ArrayBase<S, Ix2>,
    down: ArrayViewD<'_, F>,
    up: ArrayViewD<'_, F>,
) -> ArrayD<F> {
    lora(x, down, |y| y, up)
}

/// `x σ(x)`, also named SiLU.
pub fn swish<F: Real>(x: F) -> F {
    x * x.sigmoid()
}

/// `ln σ(x)`.
pub fn log_sigmoid<F: Real>(x: F) -> F {
    -(-x).softplus()
}

/// `tanh x`, by way of the sigmoid.
pub fn tanh<F: Real>(x: F) -> F {
    let two = F::from_f64(2.0);
    two * (two * x).sigmoid() - F::one()
}

/// `max(x, 0)`; its derivative at 0 is 0. What is not a number stays so.
pub fn relu<F: Real>(x: F) -> F {
    if x.value() <= 0.0 { F::zero() } else { x }
}

/// `eˣ` below 0, `x + 1` above.
pub fn elu_p1<F: Real>(x: F) -> F {
    if x.value() > 0.0 { x + F::one() } else { x.exp() }
}

/// The softmax along the last axis.
pub fn softmax<F: Real, D: Dimension>(mut x: Array<F, D>) -> Array<F, D> {
    let last = Axis(x.ndim() - 1);
    for mut lane in x.lanes_mut(last) {
        let largest = F::from_f64(lane.iter().map(|z| z.value()).fold(f64::NEG_INFINITY, f64::max));
        lane.mapv_inplace(|z| (z - largest).exp());
        let total = lane.iter().copied().sum::<F>();
        lane.mapv_inplace(|z| z / total);
    }
    x
}

/// `ln Σ exp(x)`, the largest element taken out first, so that nothing overflows.
pub fn log_sum_exp<F: Real>(row: ArrayView1<'_, F>) -> F {
    let largest = F::from_f64(row.iter().fold(f64::NEG_INFINITY, |m, x| m.max(x.value())));
    largest + row.iter().map(|&x| (x - largest).exp()).sum::<F>().ln()
}

/// `x Φ(x)`, with Φ the distribution function of the standard normal: the exact one, not its approximation by a tanh.
pub fn gelu_exact<F: Real>(x: F) -> F {
    let half = F::from_f64(0.5);
    // beyond, Φ is 0 or 1 within 1e-17
    if x.value().abs() > 8.5 {
        return relu(x);
    }
    // Φ(x) = 1/2 + φ(x) (x + x³/3 + x⁵/15 + …), whose terms have the sign of x
    let (square, mut term, mut sum) = (x * x, x, x);
    for odd in (3..).step_by(2).map(f64::from) {
        term = term * square / F::from_f64(odd);
        sum = sum + term;
        if term.value().abs() <= 1e-18 * sum.value().abs() {
            break;
        }
    }
    let density = (-(half * square)).exp() * F::from_f64(std::f64::consts::TAU.powf(-0.5));
    x * (half + density * sum)
}

/// `max(x, 0)²`.
pub fn squared_relu<F: Real>(x: F) -> F {
    relu(x) * relu(x)
}

/// A bottleneck with an activation in the middle.
pub fn lora<F: Real, S: Data<Elem = F>>(
    x: &ArrayBase<S, Ix2>,
    down: ArrayViewD<'_, F>,
    act: fn(F) -> F,
    up: ArrayViewD<'_, F>,
) -> ArrayD<F> {
    linear(&rank::<F, Ix2>(linear(x, down)).mapv(act), up)
}

/// Cosine and sine by their values and derivatives at that angle.
pub fn cos_sin<F: Real>(angle: F) -> (F, F) {
    let (sin, cos) = angle.value().sin_cos();
    let (sin, cos, change) = (F::from_f64(sin), F::from_f64(cos), angle - F::from_f64(angle.value()));
    (cos - sin * change, sin + cos * change)
}

/// `x σ(2u)` with `u = √(2/π) (x + 0.044715 x³)`: the Gaussian unit by way of `tanh u`.
pub fn gelu<F: Real>(x: F) -> F {
    let twice = F::from_f64(2.0 * (2.0 / std::f64::consts::PI).sqrt());
    x * (twice * x * (F::one() + F::from_f64(0.044_715) * x * x)).sigmoid()
}

/// `x^(power / (√x + 1)) σ(x)` above 0, `x σ(x)` below: the gate named PowLU.
pub fn powlu<F: Real>(x: F, power: f64) -> F {
    if x.value() > 0.0 {
        let exponent = F::from_f64(power) / (x.sqrt() + F::one());
        (exponent * x.ln()).exp() * x.sigmoid()
    } else {
        swish(x)
    }
}

/// The products `xᵢ yⱼ` with `j ≥ i + apart`, row by row: a triangle of the outer product.
pub fn triangle<F: Real>(x: ArrayView1<'_, F>, y: ArrayView1<'_, F>, apart: usize) -> Vec<F> {
    let row = |(i, &x): (usize, &F)| y.iter().skip(i + apart).map(move |&y| x * y).collect::<Vec<F>>();
    x.iter().enumerate().flat_map(row).collect()
}

/// `value`, with the derivative of `x`: the straight-through estimator.
pub fn straight_through<F: Real>(x: F, value: f64) -> F {
    (x - detached(x)) + F::from_f64(value)
}

/// `x` without its derivative.
pub fn detached<F: Real>(x: F) -> F {
    F::from_f64(x.value())
}
